#!/bin/bash
# SPDX-License-Identifier: MIT
#
# sysroot.sh: what libdsm for arm64 is built against on an amd64 machine, as Debian's packages
# unpacked into the guests' cache; prints the directory, which has a CMake toolchain.cmake in it. Exit
# status 77, with the reason on stdout: the download was refused.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=tests/vm/apt.sh
. "$here/../vm/apt.sh"

packages=(libc6-dev libibverbs-dev librdmacm-dev liburcu-dev libnuma-dev)
cache=${DSM_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libdsm-vm}
recipe=$(cat "$here/sysroot.sh" "$here/../vm/apt.sh" | sha256sum)
set=$cache/sysroot-arm64-${recipe:0:12}

exec {out}>&1

refused()
{
	echo "skipped: $* (see $log)" >&"$out"
	exit 77
}

make_set()
{
	apt_init "$new/apt" arm64
	apt_suites bookworm bookworm-updates bookworm-security ||
		refused "the package lists of Debian 12 for arm64 cannot be fetched from $apt_mirror"
	apt_fetch "$new/root" "${packages[@]}" || refused "apt-get cannot fetch ${packages[*]}"
	rm -rf "$new/apt"
	cat >"$new/toolchain.cmake" <<-END
		set(CMAKE_SYSTEM_NAME Linux)
		set(CMAKE_SYSTEM_PROCESSOR aarch64)
		set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc-12)
		set(CMAKE_SYSROOT $set/root)
		set(CMAKE_FIND_ROOT_PATH $set/root)
		set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
		set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
		set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
		set(ENV{PKG_CONFIG_SYSROOT_DIR} $set/root)
		set(ENV{PKG_CONFIG_LIBDIR} $set/root/usr/lib/aarch64-linux-gnu/pkgconfig)
	END
}

mkdir -p "$cache" || exit 1
log=$cache/sysroot-arm64.log
exec {lock}>"$cache/lock-sysroot"
flock "$lock"
if [[ ! -e $set/toolchain.cmake ]]; then
	new=$(mktemp -d "$cache/sysroot-new.XXXXXX") || exit 1
	trap 'rm -rf "$new"' EXIT
	make_set >"$log" 2>&1 {lock}>&-
	rm -rf "$set"
	mv "$new" "$set" || exit 1
fi
touch "$set"
echo "$set"
