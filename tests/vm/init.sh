#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
#
# A guest's first program: makes its root and hands over to agent.sh there.
#
# The root is an overlay: at the bottom the host's own / (shared read-only; a guest of another
# architecture has none), over it what was fetched for guests, and a tmpfs takes what is written. So
# all that is installed on the host, and the build, is there and is the guest's own to change.
# Directories named in the configuration are shared and laid under the same way, at their own paths;
# read-only where they are to be seen as they change.
bb=/bin/busybox

die()
{
	echo "init: $*" >/dev/console
	exec $bb poweroff -f
}

share()
{
	$bb mkdir -p "$2"
	$bb mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2" ||
		die "cannot mount $1 at $2"
}

# layer LOWER NAME DIRECTORY: what LOWER has, and what is written goes into memory.
layer()
{
	$bb mkdir -p "/upper/$2/files" "/upper/$2/work" "$3"
	$bb mount -t overlay -o "lowerdir=$1,upperdir=/upper/$2/files,workdir=/upper/$2/work" \
		overlay "$3" || die "cannot lay $1 under $3"
}

$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs dev /dev
$bb ln -s /proc/self/fd /dev/fd # as udev would
for module in /modules/*; do
	$bb insmod "$module" || die "cannot load $module"
done
share lab /lab cache=none
# shellcheck source=/dev/null
. /lab/config
: "${lab_base:?}" "${lab_expose:?}" "${lab_live:?}"

lower=
share guest /lower/guest ro,cache=loose
if [ "$lab_base" = 1 ]; then
	share base /lower/base ro,cache=loose
	lower=/lower/base:
fi
$bb mkdir -p /upper
$bb mount -t tmpfs -o size=75% upper /upper
layer "$lower/lower/guest" root /root
for dir in proc sys dev tmp run root var/tmp; do
	$bb mkdir -p "/root/$dir"
done
for dir in tmp run; do
	$bb mount -t tmpfs -o mode=1777 $dir /root/$dir
done
i=0
for dir in $lab_expose; do
	if [ "$lab_live" = 1 ]; then
		# What the host builds anew is seen, which a layer would hide.
		share "expose$i" "/root$dir" ro,cache=mmap
	else
		share "expose$i" "/lower/expose$i" ro,cache=loose
		layer "/lower/expose$i" "expose$i" "/root$dir"
	fi
	i=$((i + 1))
done
$bb mkdir -p /root/run/lab /root/lib/modules
for dir in proc sys dev; do
	$bb mount --move /$dir /root/$dir
done
$bb mkdir -p /root/dev/shm /root/dev/pts
$bb mount -t tmpfs -o mode=1777 shm /root/dev/shm
$bb mount -t devpts devpts /root/dev/pts
$bb mount --move /lab /root/run/lab
exec $bb chroot /root /bin/bash /run/lab/agent.sh
