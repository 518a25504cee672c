#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fetch.sh [ARCHITECTURE]: what guests (amd64, arm64) are made of, as Debian packages unpacked into a
# cache; prints the directory that holds it. Touches none of the machine's own packages and needs no
# privilege. The kernel is Debian's linux-image-$DSM_VM_KERNEL: 6.12-ARCHITECTURE if that is not
# given; ARCHITECTURE alone is 6.1. With DSM_VM_DEVEL=1 guest/ of another architecture also has
# what this project is built and run with: for a compiler it is a sysroot.
#
#	host/    QEMU, busybox, kmod and unpackers with all their libraries, to run here (a link to
#	         a set of its own, which holds QEMU's major version in the file qemu)
#	guest/   programs and kernel modules for the guest's root
#	vmlinux  the kernel, uncompressed; kver: its release
#
# The cache is $DSM_VM_CACHE, else libdsm-vm in $XDG_CACHE_HOME or ~/.cache. A set appears at once,
# whole, and is verified each time it is used; one that is broken is fetched anew.
# Exit status 77, with the reason on stdout: the download was refused.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=tests/vm/apt.sh
. "$here/apt.sh"

arch=${1:-amd64}
kernel=${DSM_VM_KERNEL:-6.12-$arch}
suites=(bookworm bookworm-updates bookworm-security)
host_packages=(busybox-static kmod xz-utils zstd)
guest_packages=(busybox-static kmod iproute2 ibverbs-utils ibverbs-providers rdmacm-utils perftest)
# Where the host's own programs are of no use, the guest brings what the scripts in it call.
[[ $arch == amd64 ]] || guest_packages+=(bash dash coreutils grep mawk sed util-linux mount hostname)
devel_packages=(libc6-dev liburcu-dev libnuma-dev libpmix-dev libcmocka-dev libibverbs-dev
	librdmacm-dev openmpi-bin)

cache=${DSM_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libdsm-vm}
# A change of what is fetched, or how, makes other sets.
recipe=$(cat "$here/fetch.sh" "$here/apt.sh" | sha256sum)
recipe=${recipe:0:12}
host=host-$arch-$recipe
set=guest-$kernel-$recipe
if [[ -n ${DSM_VM_DEVEL:-} && $arch != amd64 ]]; then
	guest_packages+=("${devel_packages[@]}")
	set=devel-$kernel-$recipe
fi
log=$cache/fetch.log
new=

# Stdout and stderr of what fetches are the log.
exec {out}>&1 {err}>&2

refused()
{
	echo "skipped: $* (see $log)" >&"$out"
	exit 77
}

failed()
{
	tail -n 5 "$log" >&"$err"
	echo "fetch.sh: $* (see $log)" >&"$err"
	exit 1
}

#
# Sets
#

# manifest DIRECTORY: a line for each of its files, in a fixed order.
manifest()
{
	(cd "$1" && find . -type f ! -name manifest -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum)
}

usable()
{
	[[ -f $1/manifest ]] && cmp -s "$1/manifest" <(manifest "$1") && touch "$1"
}

# provide SET MAKER: the set is there; else MAKER makes it, in the directory new.
provide()
{
	usable "$cache/$1" && return
	new=$(mktemp -d "$cache/new.XXXXXX") || failed "$cache cannot be written"
	chmod 755 "$new"
	"$2"
	rm -rf "${new:?}/apt" "$new"/{.,guest}/usr/share/{doc,man,locale,info}
	manifest "$new" >"$new/manifest" || failed "the manifest cannot be written"
	rm -rf "${cache:?}/$1"
	mv "$new" "$cache/$1" || failed "$cache/$1 cannot be made"
}

#
# What runs here
#

make_host()
{
	local system=qemu-system-x86

	[[ $arch == amd64 ]] || system=qemu-system-arm
	apt_init "$new/apt" amd64
	apt_suites "${suites[@]}" ||
		refused "the package lists of Debian 12 cannot be fetched from $apt_mirror"
	apt_fetch "$new" "${host_packages[@]}" || refused "apt-get cannot fetch ${host_packages[*]}"
	# QEMU 10 where backports can be reached, else 7.2.
	echo 10 >"$new/qemu"
	apt_suites "${suites[@]}" bookworm-backports &&
		apt_fetch "$new" -t bookworm-backports "$system" && return
	echo 7 >"$new/qemu"
	apt_suites "${suites[@]}" || refused "the package lists are gone"
	apt_fetch "$new" "$system" || refused "apt-get cannot fetch $system"
}

run_host()
{
	"$here/run_host.sh" "$cache/$host" "$@"
}

#
# What runs in guests
#

make_guest()
{
	local package kver

	apt_init "$new/apt" "$arch"
	apt_suites "${suites[@]}" ||
		refused "the package lists of Debian 12 for $arch cannot be fetched from $apt_mirror"
	apt_fetch "$new/guest" "${guest_packages[@]}" ||
		refused "apt-get cannot fetch ${guest_packages[*]}"
	package=$(apt_dependency "linux-image-$kernel")
	[[ -n $package ]] || failed "Debian 12 has no package linux-image-$kernel"
	apt_fetch_alone "$new/guest" "$package" || refused "apt-get cannot fetch $package"
	link_alternatives "$new/guest/usr/bin"
	kver=$(basename "$new"/guest/usr/lib/modules/*)
	echo "$kver" >"$new/kver"
	run_host depmod -b "$new/guest" "$kver" || failed "depmod fails"
	"extract_$arch" "$new/guest/boot/vmlinuz-$kver" >"$new/vmlinux" ||
		failed "the kernel cannot be extracted"
	rm -rf "$new/guest/boot"
	ln -s "../$host" "$new/host"
}

# link_alternatives DIRECTORY: names that installing, and not unpacking, would give.
link_alternatives()
{
	[[ ! -e $1/mawk || -e $1/awk ]] || ln -s mawk "$1/awk"
	[[ ! -e $1/mpirun.openmpi || -e $1/mpirun ]] || ln -s mpirun.openmpi "$1/mpirun"
}

# little_endian FILE OFFSET BYTES: the number that is there.
little_endian()
{
	od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# The ELF kernel in a bzImage: QEMU starts it by PVH, without the time that unpacking itself takes in
# emulation. The setup header (at 0x1f1) says where the compressed kernel is.
extract_amd64()
{
	local image=$1 setup start length unpack

	setup=$(little_endian "$image" $((0x1f1)) 1)
	start=$(((setup + 1) * 512 + $(little_endian "$image" $((0x248)) 4)))
	length=$(little_endian "$image" $((0x24c)) 4)
	case $(od -An -t x1 -j $start -N 4 "$image" | tr -d ' ') in
	fd377a58) unpack=xz ;;
	28b52ffd) unpack=zstd ;;
	*) return 1 ;;
	esac
	# Behind the stream stands its length, which the program takes for rubbish.
	head -c $((start + length - 4)) "$image" | tail -c +$((start + 1)) | run_host $unpack -dc
}

extract_arm64()
{
	cat "$1"
}

main()
{
	for program in apt-get dpkg-deb; do
		command -v $program >/dev/null ||
			refused "there is no $program here, to fetch Debian packages with"
	done
	# Sets that nobody used for long, and what an interrupted fetch left.
	find "$cache" -mindepth 1 -maxdepth 1 -type d \( -name 'new.*' -o -mtime +14 \) \
		-exec rm -rf {} +
	provide "$host" make_host
	provide "$set" make_guest
}

mkdir -p "$cache" || exit 1
exec {lock}>"$cache/lock"
flock "$lock"
trap '[[ -z $new ]] || rm -rf "$new"' EXIT
main >"$log" 2>&1 {lock}>&-
echo "$cache/$set"
