#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cross.sh SYSROOT BUILD: build the library and what guests run of its tests and tools for arm64 in the
# directory BUILD, with the libraries of SYSROOT. Exit status 77, with the reason: there is no compiler for it.
set -u
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
sysroot=$1
build=$2
compiler=aarch64-linux-gnu-gcc
libraries=$sysroot/usr/lib/aarch64-linux-gnu

command -v $compiler >/dev/null || {
	echo "skipped: there is no $compiler (Debian: gcc-aarch64-linux-gnu)"
	exit 77
}
export PKG_CONFIG_SYSROOT_DIR=$sysroot
export PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$sysroot/usr/share/pkgconfig
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
targets=(dsm_info 05_pagerank litmus)
for source in "$top"/tests/unit/test_*.c; do
	targets+=("$(basename "$source" .c)")
done
for source in "$top"/tests/mpi/test_*.c; do
	targets+=("mpi_$(basename "$source" .c)")
done
mkdir -p "$build"
{
	cmake -S "$top" -B "$build" "${generator[@]}" -DDSM_BUILD_TESTS=ON -DDSM_BUILD_BENCH=OFF \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
		-DCMAKE_C_COMPILER=$compiler -DCMAKE_SYSROOT="$sysroot" \
		-DCMAKE_FIND_ROOT_PATH="$sysroot" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
		-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
		-DCMAKE_EXE_LINKER_FLAGS="-Wl,-rpath-link,$libraries" \
		-DCMAKE_SHARED_LINKER_FLAGS="-Wl,-rpath-link,$libraries" &&
		cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"
} >"$build/cross.log" 2>&1 || {
	tail -n 30 "$build/cross.log"
	echo "cross.sh: the build for arm64 fails, see $build/cross.log" >&2
	exit 1
}
