#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What does software coherency cost on arm64? Two experiments on the module dsm_cache, whose mapped
# memory is cleaned to the point of coherency block by block when a mapping goes away:
#
#	1. blocks of one size, more and more pages of them
#	2. as many pages, in blocks that are larger and larger
#
# Each is measured by ftrace on the clean function and by the module's own trace point, in an arm64
# guest whose clock counts instructions (one is a nanosecond): what is seen is the length of the path,
# on any machine and however busy; what a real cache takes for a line comes on top. Builds the module, boots the
# guest, prints tables and fits, draws experiment_1.svg and experiment_2.svg.
set -u -o pipefail
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/..")
dir=$(realpath -m "${1:-$top/build/poc}")
case ${1:-} in
-*)
	echo "usage: ${0##*/} [DIRECTORY]   results go to DIRECTORY (default: build/poc)" >&2
	exit 2
	;;
esac
mkdir -p "$dir" || exit 1

export DSM_VM_ARCH=arm64 DSM_VM_KERNEL=6.12-arm64 DSM_VM_RXE=0
DSM_VM_MEMORY_MIB=1024
DSM_VM_EXPOSE=$dir
# shellcheck source=tests/vm/lab.sh
. "$top/tests/vm/lab.sh"

# The guest's machine, but with instructions for a clock, which takes one thread.
eval "$(declare -f lab_machine | sed '1s/lab_machine/lab_machine_as_ever/')"
lab_machine()
{
	lab_machine_as_ever "$@"
	lab_command=("${lab_command[@]/thread=multi/thread=single}" -icount "shift=0,sleep=off")
}

lab_fetch || exit
"$top/tests/kmod/build.sh" "$(cat "$lab_set/kver")" "$dir" || exit
aarch64-linux-gnu-gcc-12 -static -O2 -Wall -Wextra -I"$top/kmod/uapi" "$top/bench/poc/measure.c" \
	-o "$dir/measure" || exit
trap lab_off EXIT
lab_boot 1 || exit
# The guest's clock leaps where it waits for the host: no limit by that clock, and nothing to wait for
# while it measures. On the host's clock the guest's life is the limit.
lab_run 1 999999999 "cp '$dir'/{dsm_cache.ko,measure} /tmp && cd /tmp && insmod dsm_cache.ko &&
	./measure >measured && cat measured && uname -rm" >&2 ||
	{ lab_output "$lab_job" >&2; lab_check; exit 1; }
lab_output "$lab_job" >"$dir/measured"
lab_check || exit 1

{
	echo "Linux $(tail -n 1 "$dir/measured") in QEMU $(cat "$lab_set"/{,host/}qemu 2>/dev/null | head -n 1)," \
		"cortex-a76, -icount shift=0: one instruction is 1 ns; pages of 4 KiB, lines of 64 bytes"
	awk -v lines_per_page=64 -f "$top/bench/poc/tables.awk" "$dir/measured"
} | tee "$dir/tables.txt"
awk '
	BEGIN { print "experiment,series,pages,order,ns" }
	$1 == "experiment" { experiment = $2 }
	NF == 8 { printf "%d,\"%s%s\",%d,%d,%s\n", experiment, $1, experiment == 1 ? ", order " $3 : "", $2, $3, $6 }
	' "$dir/measured" >"$dir/measured.csv"
plot()
{
	awk -v where="experiment=$1" -v x="$2" -v y=ns -v series=series -v x_log="$3" -v title="$4" -v x_label="$5" \
		-v y_label="ns a call, median" -f "$top/bench/plot.awk" "$dir/measured.csv" >"$dir/experiment_$1.svg"
}
plot 1 pages 2 "Controlled allocation size, variable page count" pages
plot 2 order 0 "Controlled page count (1,024), variable allocation size" "order: blocks of 2^order pages"
echo
printf 'plot: %s\n' "$dir"/experiment_{1,2}.svg
