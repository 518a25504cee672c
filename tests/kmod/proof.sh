#!/bin/bash
# SPDX-License-Identifier: MIT
#
# proof.sh DIRECTORY [CALL...]: is each call of cache maintenance in the library needed, and are they enough? In
# an arm64 guest with a cache (cache_model.c) three ranks run cache_traffic.c, two of which share memory
# while the third is reached by RDMA: with all calls nothing may go wrong, through either back end; with
# none much must; and with any one of them (or of those named: reads:home) left out something must.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(realpath "$here/../..")
dir=$(realpath -m "$1")
mkdir -p "$dir" || exit 1
export DSM_VM_ARCH=arm64 DSM_VM_KERNEL=6.12-arm64 DSM_VM_RXE=1 DSM_VM_EXPOSE=$dir
export DSM_VM_MEMORY_MIB=1024 DSM_VM_BOOT_S=240
# shellcheck source=tests/kmod/cache_lab.sh
. "$here/cache_lab.sh"

calls=(reads:{message,staging,grants,home,neighbour,atomics,keys} writes:{message,landing,home}
	wrote:{message,landing,pulled,pushed,home,atomics,readers,keys})
(($# == 1)) || calls=("${@:2}")

# The library for arm64, that tells the model what devices do; and the programs. With small arenas: each
# of their lines is told.
build()
{
	local compile

	compile=$("$here/library.sh" arm64 "$dir" \
		-DCMAKE_C_FLAGS="-DDSM_MAINTENANCE_PROBE -DVERBS_ARENA_BYTES=4194304u") ||
		{ set -- $?; echo "$compile"; return "$1"; }
	$compile "$here/cache_traffic.c" -ldsm -o "$dir/cache_traffic" &&
		$compile -static "$here/cache_hint.c" -o "$dir/cache_hint"
}

# In the guest: one run of the ranks. NUMBER BACK_END [CALL]. To rank 2 the kernel shows itself as
# another, so the others take it for one of another host.
write_run()
{
	echo 11111111-2222-3333-4444-555555555555 >"$dir/boot_id"
	cat >"$dir/run.sh" <<-END
		cd '$dir'
		export LD_LIBRARY_PATH='$dir/lib' DSM_TRANSPORT=auto DSM_SIZE=3 DSM_ROOT=127.0.0.1:7000
		export DSM_TOKEN=cache-traffic DSM_SPACE=64M DSM_CACHE_SIZE=16M
		export DSM_CACHE_MAINTENANCE=\$2 MAINTENANCE_OMIT=\${3:-}
		./cache_hint forget
		DSM_RANK=2 unshare -m bash -c 'mount --bind boot_id /proc/sys/kernel/random/boot_id &&
			exec timeout 200 ./cache_traffic' & others=\$!
		DSM_RANK=1 timeout 200 ./cache_traffic & others+=" \$!"
		DSM_RANK=0 timeout 200 ./cache_traffic
		status=\$?
		for other in \$others; do wait \$other || status+=" \$?"; done
		[[ \$status == 0 ]] || { echo "run \$*: the ranks end with \$status"; exit 1; }
		./cache_hint report \$1
	END
}

lab_fetch || exit
cache_lab_build "$dir" || exit
"$here/build.sh" "$(cat "$lab_set/kver")" "$dir" || exit
build || exit
write_run
trap lab_off EXIT
lab_boot 1 || exit

number=0
plan=()
commands="insmod '$dir/dsm_cache.ko'"
# run WHAT EXPECTED BACK_END [CALL]
run()
{
	number=$((number + 1))
	plan+=("$number $2 $1")
	commands+=" && bash '$dir/run.sh' $number ${*:3}"
}
run "by instructions" nothing user
run "by the module" nothing kernel
run "no maintenance" something none
for call in "${calls[@]}"; do
	run "without $call" something user "$call"
done
lab_run 1 800 "$commands" || { lab_output "$lab_job" >&2; lab_check; exit 1; }
lab_check || exit 1

printf '%s\n' "${plan[@]}" | awk '
	NR == FNR { sum[$1] = $3 + $5 + $7 + $9; seen[$1] = $0; next }
	{
		text = $0
		sub(/^[0-9]+ [a-z]+ /, "", text)
		good = ($1 in seen) && (($2 == "nothing") == (sum[$1] == 0))
		counts = seen[$1]
		sub(/^[0-9]+ /, "", counts)
		printf "%s %s: %s\n", good ? "ok    " : "FAILED", text, counts
		good ? passed++ : failed++
	}
	END { printf "%d passed, %d failed\n", passed, failed; exit failed || !passed }' \
	"$dir/model.out" -
