#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fetch.sh [ARCHITECTURE]: what guests are made of, as Debian packages unpacked into a cache; prints
# the directory that holds it. Touches none of the machine's own packages and needs no privilege.
#
#	host/    QEMU, busybox and kmod, with all their libraries, to run here
#	guest/   programs and kernel modules that are laid over the guest's root
#	vmlinux  the kernel, uncompressed; kver: its release; qemu: QEMU's major version
#
# The kernel is what Debian calls linux-image-$DSM_VM_KERNEL (default 6.12-ARCHITECTURE; 6.1 is called
# by the architecture alone). The cache is $DSM_VM_CACHE, else libdsm-vm in $XDG_CACHE_HOME or ~/.cache. A set is verified
# before it is used again and appears at once, whole; one that is broken is fetched anew.
# Exit status 77, with the reason on stdout: the download was refused.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=tests/vm/apt.sh
. "$here/apt.sh"

arch=${1:-amd64}
kernel=${DSM_VM_KERNEL:-6.12-$arch}
cache=${DSM_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libdsm-vm}
# A change of what is fetched or how makes another set.
recipe=$(cat "$here/fetch.sh" "$here/apt.sh" | sha256sum)
set=$cache/$arch-linux-$kernel-${recipe:0:12}

host_packages=(busybox-static kmod xz-utils zstd)
guest_packages=(busybox-static kmod iproute2 ibverbs-utils ibverbs-providers rdmacm-utils perftest)

# Where the host's own programs are of no use, the guest brings what the scripts in it call.
[[ $arch == amd64 ]] || guest_packages+=(bash coreutils grep mawk sed util-linux mount hostname)

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

# manifest DIRECTORY: a line for each file that is used, in a fixed order.
manifest()
{
	(cd "$1" && find . -type f ! -name manifest -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum)
}

# run_host PROGRAM [ARGUMENT...]: one of host/, with the libraries that came with it.
run_host()
{
	"$here/run_host.sh" "$new/host" "$@"
}

fetch_host()
{
	local system=qemu-system-x86

	[[ $arch == amd64 ]] || system=qemu-system-arm
	apt_init "$new/apt" amd64
	apt_suites bookworm bookworm-updates bookworm-security ||
		refused "the package lists of Debian 12 cannot be fetched from $apt_mirror"
	apt_fetch "$new/host" "${host_packages[@]}" || refused "apt-get cannot fetch ${host_packages[*]}"
	# QEMU 10 where backports can be reached; 7.2 emulates cmpxchg16b in a way that crashes 6.12.
	if apt_suites bookworm bookworm-updates bookworm-security bookworm-backports &&
		apt_fetch "$new/host" -t bookworm-backports "$system"; then
		echo 10 >"$new/qemu"
	else
		apt_suites bookworm bookworm-updates bookworm-security &&
			apt_fetch "$new/host" "$system" || refused "apt-get cannot fetch $system"
		echo 7 >"$new/qemu"
	fi
}

fetch_guest()
{
	local package

	rm -rf "$new/apt"
	apt_init "$new/apt" "$arch"
	apt_suites bookworm bookworm-updates bookworm-security ||
		refused "the package lists of Debian 12 for $arch cannot be fetched from $apt_mirror"
	apt_fetch "$new/guest" "${guest_packages[@]}" ||
		refused "apt-get cannot fetch ${guest_packages[*]}"
	package=$(apt_dependency "linux-image-$kernel")
	[[ -n $package ]] || failed "Debian has no package linux-image-$kernel"
	apt_fetch_alone "$new/guest" "$package" || refused "apt-get cannot fetch $package"
	basename "$new"/guest/usr/lib/modules/* >"$new/kver"
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

make_set()
{
	fetch_host
	fetch_guest
	rm -rf "$new/apt" "$new"/{host,guest}/usr/share/{doc,man,locale,info}
	run_host depmod -b "$new/guest" "$(cat "$new/kver")" || failed "depmod fails"
	"extract_$arch" "$new/guest/boot/vmlinuz-$(cat "$new/kver")" >"$new/vmlinux" ||
		failed "the kernel cannot be extracted"
	rm -rf "$new/guest/boot"
	manifest "$new" >"$new/manifest" || failed "the manifest cannot be written"
}

usable()
{
	[[ -f $set/manifest ]] && cmp -s "$set/manifest" <(manifest "$set") && touch "$set"
}

mkdir -p "$cache" || exit 1
log=$cache/fetch-$arch.log
exec {lock}>"$cache/lock"
flock "$lock"
if ! usable; then
	for program in apt-get dpkg-deb; do
		command -v $program >/dev/null || {
			echo "skipped: there is no $program here to fetch Debian packages with"
			exit 77
		}
	done
	# Sets that nobody used for long, and what an interrupted fetch left.
	find "$cache" -mindepth 1 -maxdepth 1 -type d \( -name '*-new.*' -o -mtime +14 \) \
		-exec rm -rf {} +
	new=$(mktemp -d "$cache/$arch-new.XXXXXX") || exit 1
	trap 'rm -rf "$new"' EXIT
	chmod 755 "$new"
	make_set >"$log" 2>&1 {lock}>&-
	mv "$new" "$set" || exit 1
fi
echo "$set"
