#!/bin/bash
# SPDX-License-Identifier: MIT
#
# headers.sh KERNEL: what modules are built against for a Debian kernel (6.12.117+deb12-arm64,
# 6.1.0-56-amd64), on an amd64 machine whatever the kernel's architecture; prints the directory.
#
# KERNEL can also be what Debian's newest is called: 6.12-amd64, 6.12-arm64, 6.12-arm64-16k, amd64 or
# arm64 (6.1). Kept in the guests' cache. Exit status 77, with the reason on stdout: the download was
# refused.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=tests/vm/apt.sh
. "$here/../vm/apt.sh"

kernel=$1
arch=amd64
[[ $kernel != *arm64* ]] || arch=arm64
cache=${DSM_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libdsm-vm}
recipe=$(cat "$here/headers.sh" "$here/../vm/apt.sh" | sha256sum)
set=$cache/headers-$kernel-${recipe:0:12}

# Stdout is the directory's name or the reason; what fetches goes to the log.
exec {out}>&1 {err}>&2

refused()
{
	echo "skipped: $* (see $log)" >&"$out"
	exit 77
}

# suites ARCHITECTURE: the lists of what there is.
suites()
{
	rm -rf "$new/apt"
	apt_init "$new/apt" "$1"
	apt_suites bookworm bookworm-updates bookworm-security ||
		refused "the package lists of Debian 12 for $1 cannot be fetched from $apt_mirror"
}

# fetch PACKAGE...: into root/, without what they depend on.
fetch()
{
	apt_fetch_alone "$new/root" "$@" || refused "apt-get cannot fetch $*"
}

# The compiler is this machine's, so the programs of the build must be too.
make_set()
{
	local headers=linux-headers-$kernel release

	suites "$arch"
	# What a name that stays stands for.
	case $kernel in
	6.12-* | amd64 | arm64) headers=$(apt_dependency "$headers") ;;
	esac
	release=${headers#linux-headers-}
	release=${release%%-a[mr]*}
	fetch "$headers" "linux-headers-$release-common"
	suites amd64
	fetch "linux-kbuild-$(kbuild_of "$release")"
	rm -rf "$new/apt"
	ln -s "root/usr/src/$headers" "$new/build"
	# The only path that is not relative.
	sed -i "s#/usr/src/#\$(dir \$(realpath \$(lastword \$(MAKEFILE_LIST))))../#" "$new/build/Makefile"
	# Types for tracers, which nobody needs here, and which take pahole.
	rm -f "$new/build/vmlinux"
}

# 6.1.0-56 -> 6.1; 6.12.117+deb12 as it is.
kbuild_of()
{
	case $1 in
	6.1.0-*) echo 6.1 ;;
	*) echo "$1" ;;
	esac
}

mkdir -p "$cache" || exit 1
log=$cache/headers-$kernel.log
exec {lock}>"$cache/lock-headers"
flock "$lock"
if [[ ! -e $set/build/Makefile ]]; then
	new=$(mktemp -d "$cache/headers-new.XXXXXX") || exit 1
	trap 'rm -rf "$new"' EXIT
	make_set >"$log" 2>&1 {lock}>&-
	if [[ ! -e $new/build/Makefile ]]; then
		tail -n 5 "$log" >&"$err"
		echo "headers.sh: $kernel: there is no Makefile in what was fetched (see $log)" >&2
		exit 1
	fi
	rm -rf "$set"
	mv "$new" "$set" || exit 1
fi
touch "$set"
echo "$set/build"
