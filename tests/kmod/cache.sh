#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cache.sh DIRECTORY: an arm64 guest with a cache, which QEMU does not have by itself (cache_model.c),
# and in it cache_guest.c: what it says must happen is compared with what the model saw.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(realpath "$here/../..")
dir=$(realpath -m "$1")
mkdir -p "$dir" || exit 1
export DSM_VM_ARCH=arm64 DSM_VM_KERNEL=6.12-arm64 DSM_VM_RXE=0 DSM_VM_EXPOSE=$dir
# shellcheck source=tests/kmod/cache_lab.sh
. "$here/cache_lab.sh"

lab_fetch || exit
cache_lab_build "$dir" || exit
"$here/build.sh" "$(cat "$lab_set/kver")" "$dir" || exit
aarch64-linux-gnu-gcc-12 -static -O2 -g -Wall -Wextra -Wshadow -Werror -D_GNU_SOURCE= -I"$top/include" \
	-I"$top/lib" -I"$top/kmod/uapi" "$here/cache_guest.c" "$top"/lib/maintenance*.c \
	"$top"/lib/{error,log}.c -lpthread -o "$dir/cache_guest" || exit
trap lab_off EXIT
lab_boot 1 || exit
lab_run 1 240 "cd '$dir' && insmod dsm_cache.ko && ./cache_guest" ||
	{ lab_output "$lab_job" >&2; lab_check; exit 1; }
lab_output "$lab_job" >"$dir/expected"
lab_check || exit 1

# Number by number; the comment is the expectation's.
awk 'NR == FNR { seen[$1] = $0; next }
	{
		text = $0
		sub(/^[^#]*# /, "", text)
		sub(/ # .*/, "")
		good = $0 == seen[$1]
		printf "%s %s: %s\n", good ? "ok    " : "FAILED", text, $0
		if (!good)
			print "       the model saw: " seen[$1]
		failed += !good
		passed += good
	}
	END { printf "%d passed, %d failed\n", passed, failed; exit failed || !passed }' \
	"$dir/model.out" "$dir/expected"
