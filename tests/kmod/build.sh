#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh KERNEL DIRECTORY: the module for a Debian kernel (see headers.sh) and the
# program that tests it, on an amd64 machine: DIRECTORY/dsm_cache.ko and DIRECTORY/guest_test.
# Warnings are errors. Exit status 77, with the reason on stdout: something is missing here.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(realpath "$here/../..")
kernel=$1
dir=$2

skip()
{
	echo "skipped: $*"
	exit 77
}

case $kernel in
*arm64*)
	arch=arm64
	cross=aarch64-linux-gnu-
	;;
*)
	arch=x86
	cross=
	;;
esac
# What Debian built these kernels with.
command -v ${cross}gcc-12 >/dev/null || skip "no ${cross}gcc-12 here: apt-get install gcc-aarch64-linux-gnu gcc-12"
command -v make >/dev/null || skip "no make here: apt-get install make"
[[ -z $cross || -e /usr/aarch64-linux-gnu/lib/libc.a ]] ||
	skip "no C library for arm64 here: apt-get install libc6-dev-arm64-cross"

headers=$("$here/headers.sh" "$kernel") || { set -- $?; echo "$headers"; exit "$1"; }
mkdir -p "$dir/module" || exit 1
# Only what is newer: make then has little to do.
cp -ru "$top/kmod/." "$dir/module/" || exit 1
make -s -C "$dir/module" KDIR="$headers" ARCH=$arch CROSS_COMPILE=$cross \
	DEB_BUILD_ARCH=amd64 DEB_HOST_ARCH=${arch/x86/amd64} DEB_HOST_GNU_TYPE=${cross%-} \
	KCFLAGS=-Werror 2>"$dir/module.log" >&2 ||
	{ cat "$dir/module.log" >&2; exit 1; }
# Debug information is of no use in a guest, and large.
${cross}strip --strip-debug -o "$dir/dsm_cache.ko" "$dir/module/dsm_cache.ko" || exit 1
${cross}gcc-12 -static -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror \
	-D_GNU_SOURCE= -I"$top/include" -I"$top/lib" -I"$top/kmod/uapi" \
	"$here"/guest_*.c "$top"/lib/maintenance*.c "$top"/lib/{error,log}.c \
	-lpthread -o "$dir/guest_test"
