#!/bin/bash
# SPDX-License-Identifier: MIT
#
# library.sh ARCHITECTURE DIRECTORY [CMAKE_OPTION...]: libdsm for a guest, alone, without programs:
# DIRECTORY/build, and in DIRECTORY/lib what a program that is linked to it needs there. amd64 guests
# see the machine's own libraries; for arm64 they come from sysroot.sh. Prints the compiler with what
# it takes to link to the library. Exit status 77, with the reason on stdout: something is missing.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(realpath "$here/../..")
arch=$1
dir=$2
options=(-DDSM_WERROR=ON -DDSM_PMIX=OFF "-DDSM_BUILD_"{TESTS,BENCH,EXAMPLES,TOOLS}=OFF "${@:3}")
compiler=${CC:-cc}
libraries=()

if [[ $arch == arm64 ]]; then
	sysroot=$("$here/sysroot.sh") || { set -- $?; echo "$sysroot"; exit "$1"; }
	options+=(-DCMAKE_TOOLCHAIN_FILE="$sysroot/toolchain.cmake")
	compiler="aarch64-linux-gnu-gcc-12 --sysroot=$sysroot/root"
	libraries=("$sysroot"/root/usr/lib/aarch64-linux-gnu/lib{urcu*,numa}.so.[0-9])
fi
mkdir -p "$dir/lib" || exit 1
if ! cmake -S "$top" -B "$dir/build" "${options[@]}" >"$dir/build.log" 2>&1 ||
	! cmake --build "$dir/build" --parallel 2 >>"$dir/build.log" 2>&1; then
	tail -n 20 "$dir/build.log" >&2
	exit 1
fi
cp -L "$dir/build/libdsm.so.0" "${libraries[@]}" "$dir/lib/" || exit 1
echo "$compiler -O2 -Wall -Wextra -Werror -I$top/include -L$dir/build -Wl,--allow-shlib-undefined"
