#!/bin/bash
# SPDX-License-Identifier: MIT
#
# initramfs.sh SET FILE: what the kernel starts with, from a fetched set: busybox, init.sh, and the
# modules without which nothing else can be reached.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
set=$1
file=$2
kver=$(cat "$set/kver")
modules=(virtio_pci virtio_net virtio_console 9pnet_virtio 9p overlay)

run_host()
{
	"$here/run_host.sh" "$set/host" "$@"
}

# Paths in the order in which the kernel takes them.
module_paths()
{
	local module

	for module in "${modules[@]}"; do
		run_host modprobe -d "$set/guest" -S "$kver" --show-depends "$module" || return
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir"/{bin,modules,proc,sys,dev}
cp "$set/guest/usr/bin/busybox" "$dir/bin/" && cp "$here/init.sh" "$dir/init" || exit 1
chmod 755 "$dir/init"
order=10
while read -r path; do
	# 6.12's are compressed, 6.1's are not.
	run_host xz -dcf <"$path" >"$dir/modules/$order-$(basename "${path%.xz}")" || exit 1
	order=$((order + 1))
done < <(module_paths)
((order > 10)) || { echo "initramfs.sh: no modules in $set" >&2; exit 1; }
(cd "$dir" && find . | "$here/run_host.sh" "$set/host" busybox cpio -o -H newc 2>/dev/null) |
	gzip -1 >"$file"
