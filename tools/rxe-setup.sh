#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Soft-RoCE for a machine without RDMA hardware: an RDMA device in software over any network
# interface. Says what is wrong, and what to do about it, where it cannot be had.
set -u
# shellcheck source=tools/common.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common.sh"

infiniband=/sys/class/infiniband
pings=20

usage()
{
	cat <<END
usage: $self up [INTERFACE]     load rdma_rxe and make an RDMA device over the network interface
                                (without one: that of the default route)
       $self down [INTERFACE]   remove it (without one: all such devices)
       $self verify [INTERFACE] check that programs can pass data through it; needs rping
up and down need root.
END
}

need_root()
{
	((EUID == 0)) || die "only root may do that: sudo $0 ${command[*]}"
}

need_command()
{
	has_command "$1" || die "there is no '$1' here; Debian has it in the package $2"
}

# The kernel's own words, where they may be read.
kernel_log()
{
	dmesg 2>/dev/null | tail -n 2 | tr '\n' ' '
}

#
# Devices. Only those of rdma_rxe have a file "parent", with the name of their interface.
#

# rxe_devices: lines "DEVICE INTERFACE".
rxe_devices()
{
	local parent

	for parent in "$infiniband"/*/parent; do
		[[ -r $parent ]] && echo "$(basename "${parent%/parent}") $(<"$parent")"
	done
}

# rxe_over INTERFACE: the device over it, if there is one.
rxe_over()
{
	rxe_devices | awk -v interface="$1" '$2 == interface { print $1; exit }'
}

# free_name: rxe0, or the first of its kind that is not taken.
free_name()
{
	local i=0

	while [[ -e $infiniband/rxe$i ]]; do
		i=$((i + 1))
	done
	echo "rxe$i"
}

#
# Interfaces
#

# interfaces: lines "INTERFACE ADDRESS" of those that are up and have an IPv4 address, but loopback.
interfaces()
{
	ip -4 -o address show up scope global | awk '{ sub(/\/.*/, "", $4); print $2, $4 }'
}

address_of()
{
	interfaces | awk -v interface="$1" '$1 == interface { print $2; exit }'
}

# default_interface: that of the default route, else the only one that is up.
default_interface()
{
	local interface
	local -a all

	interface=$(ip -4 -o route show default |
		awk '{ for (i = 1; i < NF; i++) if ($i == "dev") { print $(i + 1); exit } }')
	if [[ -z $interface ]]; then
		mapfile -t all < <(interfaces)
		case ${#all[@]} in
		1) interface=${all[0]% *} ;;
		0) die "no network interface is up and has an IPv4 address; e.g.:" \
			"ip link set eth0 up; ip address add 10.0.0.1/24 dev eth0" ;;
		*) die "there is no default route; name one of: ${all[*]% *}" ;;
		esac
	fi
	echo "$interface"
}

# rdma_mtu BYTES: what rdma_rxe puts into a packet of that size, beside its headers.
rdma_mtu()
{
	local mtu

	for mtu in 4096 2048 1024 512 256; do
		(($1 - 80 >= mtu)) && break
	done
	echo "$mtu"
}

check_interface()
{
	local interface=$1 dir=/sys/class/net/$1 mtu rdma

	[[ -d $dir ]] ||
		die "there is no network interface $interface; there is: $(cd "${dir%/*}" && echo *)"
	[[ $interface != lo ]] ||
		die "not over lo: its first GID does not work, and it reaches no other host"
	((($(<"$dir/flags") & 1) == 1)) ||
		die "$interface is down; as root: ip link set $interface up"
	[[ -n $(address_of "$interface") ]] ||
		die "$interface has no IPv4 address; e.g., as root:" \
			"ip address add 10.0.0.1/24 dev $interface"
	mtu=$(<"$dir/mtu")
	rdma=$(rdma_mtu "$mtu")
	((rdma == 4096)) ||
		say "note: with its MTU of $mtu, $interface carries $rdma bytes a packet; for a page" \
			"in one (on all hosts and switches): ip link set $interface mtu 4200"
}

#
# The module
#

explain_no_module()
{
	local release

	release=$(uname -r)
	if [[ ! -e /proc/modules ]]; then
		die "this kernel ($release) loads no modules and has no rdma_rxe built in;" \
			"boot another, or use a virtual machine"
	elif [[ ! -d /lib/modules/$release ]]; then
		die "the modules of this kernel are not here (/lib/modules/$release); in a container:" \
			"run '$self up' on the host; else install this kernel's package again"
	elif [[ $release == *cloud* ]]; then
		die "the kernel $release is a flavour for clouds, without rdma_rxe; install" \
			"linux-image-$(dpkg --print-architecture 2>/dev/null || uname -m) and boot it"
	fi
	die "the kernel $release has no module rdma_rxe; it is in linux-image-amd64 or -arm64" \
		"(Debian), linux-modules-extra-$release (Ubuntu), kernel-modules-extra (Fedora)"
}

load_modules()
{
	local module message

	if [[ ! -d /sys/module/rdma_rxe ]]; then
		[[ -e /proc/modules && -d /lib/modules/$(uname -r) ]] || explain_no_module
		need_command modprobe kmod
		modprobe -n -q rdma_rxe || explain_no_module
	fi
	# rdma_rxe computes checksums by it, and does not ask for it where it is a module.
	modprobe -q crc32_generic
	for module in rdma_rxe ib_uverbs rdma_ucm; do
		[[ -d /sys/module/$module ]] && continue
		message=$(modprobe "$module" 2>&1) ||
			die "modprobe $module fails: $message (kernel: $(kernel_log))"
	done
}

#
# What programs open, and whether data passes
#

# uverbs_of DEVICE: the file that stands for it.
uverbs_of()
{
	local file

	for file in /sys/class/infiniband_verbs/*/ibdev; do
		[[ -r $file && $(<"$file") == "$1" ]] || continue
		echo "/dev/infiniband/$(basename "${file%/ibdev}")"
		return
	done
	echo "/dev/infiniband/uverbs0"
}

# check_file FILE MODULE: may this user open it?
check_file()
{
	[[ -c $1 ]] ||
		die "there is no $1; as root: modprobe $2 (for a container also: --device=$1)"
	[[ -r $1 && -w $1 ]] || die "$(id -un) may not open $1; as root: chmod a+rw $1"
}

check_memlock()
{
	local soft hard

	soft=$(ulimit -S -l)
	hard=$(ulimit -H -l)
	((EUID == 0)) || [[ $soft == unlimited ]] || ((soft >= 65536)) ||
		say "note: $(id -un) may lock $soft KiB of memory (the most: $hard), and what RDMA" \
			"reaches is locked; for more: memlock in /etc/security/limits.conf"
}

# exchange ADDRESS: a server and a client, which compares what comes back. The server needs a moment
# before it listens, so the client tries again while the server is there.
exchange()
{
	local port=$((20000 + RANDOM % 10000)) server status=1 tries

	timeout -k 5 30 rping -s -a "$1" -p $port -C $pings >/dev/null 2>&1 &
	server=$!
	for ((tries = 0; tries < 20 && status != 0 && status != 124; tries++)); do
		kill -0 $server 2>/dev/null || break
		timeout -k 5 10 rping -c -a "$1" -p $port -C $pings -V >/dev/null 2>&1
		status=$?
		((status == 0)) || sleep 0.2
	done
	((status == 0)) || kill $server 2>/dev/null
	wait $server 2>/dev/null
	return $status
}

#
# Commands
#

up()
{
	local interface device message

	need_root
	need_command ip iproute2
	need_command rdma iproute2
	interface=${1:-$(default_interface)}
	[[ -n $interface ]] || exit 1
	check_interface "$interface"
	load_modules
	device=$(rxe_over "$interface")
	if [[ -n $device ]]; then
		say "$device is there already, over $interface ($(address_of "$interface"))"
		return
	fi
	device=$(free_name)
	message=$(rdma link add "$device" type rxe netdev "$interface" 2>&1) ||
		die "rdma link add $device type rxe netdev $interface fails: $message" \
			"(kernel: $(kernel_log))"
	say "$device is up, over $interface ($(address_of "$interface")); next: $self verify"
}

down()
{
	local device interface message found=0

	need_root
	need_command rdma iproute2
	while read -r device interface; do
		[[ -z ${1:-} || $interface == "$1" ]] || continue
		message=$(rdma link delete "$device" 2>&1) ||
			die "rdma link delete $device fails: $message"
		say "$device is gone from over $interface"
		found=1
	done < <(rxe_devices)
	((found)) || say "there is no device of rdma_rxe${1:+ over $1}"
}

verify()
{
	local device='' interface='' address state status=0

	need_command ip iproute2
	read -r device interface < <(rxe_devices |
		awk -v interface="${1:-}" 'interface == "" || $2 == interface')
	[[ -n $device ]] ||
		die "there is no device of rdma_rxe${1:+ over $1}; as root: $self up${1:+ $1}"
	check_interface "$interface"
	state=$(<"$infiniband/$device/ports/1/state")
	[[ $state == *ACTIVE ]] ||
		die "$device is not active ($state); as root: ip link set $interface up"
	check_file "$(uverbs_of "$device")" ib_uverbs
	check_file /dev/infiniband/rdma_cm rdma_ucm
	check_memlock
	need_command rping rdmacm-utils
	address=$(address_of "$interface")
	exchange "$address" || status=$?
	((status == 0)) ||
		die "$device passes no data from $address to itself: rping ends with status $status" \
			"(124: nothing came for 10 s; kernel: $(kernel_log))"
	say "$device over $interface ($address) works: $pings pings came back right;" \
		"between hosts, UDP port 4791 must be open"
}

command=("$@")
case ${1:-}:$# in
up:1 | up:2 | down:1 | down:2 | verify:1 | verify:2) "$@" ;;
-h:1 | --help:1) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
