#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What does cache maintenance cost libdsm's own operations? Two ranks that reach one another by RDMA in
# one guest, arm64 and amd64, with DSM_CACHE_MAINTENANCE none, user and kernel in turns: a read miss, an
# upgrade, a write-back. The guest's clock counts instructions (one is a nanosecond), so what is seen is
# the length of the path, on any machine and however busy; an instruction of maintenance counts like any
# other there, and what a real cache takes for a line comes on top. So calls and lines of each operation
# are counted as well, which are the same on every machine, and a call and a line are measured by
# themselves: in the guests, and by instructions on the processor that this runs on. Prints tables, draws
# maintenance_cost.svg.
set -u -o pipefail
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/..")
repeats=3
arches=()

usage()
{
	echo "usage: ${0##*/} [--repeats=N] [--arch=arm64|amd64] [DIRECTORY]
  results go to DIRECTORY (default: build/poc); N runs of each (default $repeats); default: both" >&2
	exit 2
}

while [[ ${1:-} == -* ]]; do
	case $1 in
	--repeats=[1-9]*) repeats=${1#*=} ;;
	--arch=arm64 | --arch=amd64) arches+=("${1#*=}") ;;
	*) usage ;;
	esac
	shift
done
((${#arches[@]})) || arches=(arm64 amd64)
dir=$(realpath -m "${1:-$top/build/poc}")
mkdir -p "$dir" || exit 1

# In the guest: the ranks, so often with each back end in turns.
write_runs()
{
	cat >"$dir/$1/runs.sh" <<-END
		cd '$dir/$1'
		export LD_LIBRARY_PATH='$dir/$1/lib' DSM_TRANSPORT=verbs DSM_SIZE=2 DSM_ROOT=127.0.0.1:7000
		export DSM_TOKEN=operations DSM_SPACE=64M DSM_CACHE_SIZE=16M DSM_PREFETCH=0 DSM_TIMEOUT_MS=600000
		mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
		insmod dsm_cache.ko || exit
		for ((i = 0; i < $repeats; i++)); do
			for DSM_CACHE_MAINTENANCE in none user kernel; do
				export DSM_CACHE_MAINTENANCE
				DSM_RANK=1 ./operations & other=\$!
				DSM_RANK=0 ./operations && wait \$other || exit
			done
		done
		./lines
	END
}

# The guest's machine, but with instructions for a clock, which takes one thread.
count_instructions()
{
	eval "$(declare -f lab_machine | sed '1s/lab_machine/lab_machine_as_ever/')"
	lab_machine()
	{
		lab_machine_as_ever "$@"
		lab_command=("${lab_command[@]/thread=multi/thread=single}" -icount "shift=0,sleep=off")
	}
}

# build_lines COMPILER PROGRAM: what measures calls by themselves.
build_lines()
{
	$1 -O2 -Wall -Wextra -D_GNU_SOURCE= -I"$top/include" -I"$top/lib" -I"$top/kmod/uapi" \
		"$top/bench/poc/lines.c" "$top"/lib/maintenance*.c "$top"/lib/{error,log}.c -lpthread -o "$2"
}

# measure ARCHITECTURE: what operations.c prints, in measured.
measure()
(
	local out=$dir/$1 compile status

	mkdir -p "$out" || exit 1
	export DSM_VM_ARCH=$1 DSM_VM_KERNEL=6.12-$1 DSM_VM_RXE=1 DSM_VM_EXPOSE=$out
	export DSM_VM_MEMORY_MIB=1024 DSM_VM_BOOT_S=240
	# shellcheck source=tests/vm/lab.sh
	. "$top/tests/vm/lab.sh"
	count_instructions
	lab_fetch || exit
	"$top/tests/kmod/build.sh" "$(cat "$lab_set/kver")" "$out" || exit
	compile=$("$top/tests/kmod/library.sh" "$1" "$out") || { status=$?; echo "$compile"; exit $status; }
	$compile "$top/bench/poc/operations.c" -ldsm -o "$out/operations" &&
		build_lines "$compile -static" "$out/lines" || exit
	write_runs "$1"
	trap lab_off EXIT
	lab_boot 1 || exit
	# Its clock leaps where it waits: no limit by that one. The guest's life is one by the host's.
	lab_run 1 999999999 "bash '$out/runs.sh'" || { lab_output >&2; lab_check; exit 1; }
	{
		echo "arch $1, Linux $(cat "$lab_set/kver")"
		lab_output
	} >"$out/measured"
	lab_check || exit 1
)

for arch in "${arches[@]}"; do
	measure "$arch" >&2 || exit
done
build_lines "${CC:-cc}" "$dir/lines" || exit
{
	for arch in "${arches[@]}"; do
		cat "$dir/$arch/measured"
	done
	echo "processor $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
	"$dir/lines"
} >"$dir/costs"
awk -f "$top/bench/poc/cost_tables.awk" "$dir/costs" | tee "$dir/cost_tables.txt"
awk -f "$top/bench/poc/cost_plot.awk" "$dir/cost_tables.txt" >"$dir/maintenance_cost.svg"
echo
echo "plot: $dir/maintenance_cost.svg"
