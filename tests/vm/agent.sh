#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The first process in a guest's root: sets up its network, then runs what the host asks for.
#
# The channel is a virtio port. A request is a line "JOB SECONDS": /run/lab/jobs/JOB/command is run,
# with that limit, its output in /run/lab/jobs/JOB/out; the answer is a line "JOB STATUS". Jobs run
# side by side. "ready 0" says that the guest is up.
# shellcheck source=/dev/null
. /run/lab/config
: "${lab_guest:?}" "${lab_guests:?}" "${lab_rxe:?}" "${lab_top:?}"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
# This machine's business, and not a program's: all is root's here.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_oob_tcp_if_include=10.77.0.0/24 OMPI_MCA_plm_rsh_agent=/run/lab/rsh.sh

network()
{
	local i

	ip link set lo up
	hostname "g$lab_guest"
	echo "127.0.0.1 localhost" >/etc/hosts
	for ((i = 1; i <= lab_guests; i++)); do
		echo "10.77.0.$i g$i" >>/etc/hosts
	done
	if [[ -d /sys/class/net/eth0 ]]; then
		ip address add "10.77.0.$lab_guest/24" dev eth0
		ip link set eth0 up
		# The same shell for everybody: these guests reach nobody but one another.
		busybox nc -ll -p 514 -e /bin/bash </dev/null >/dev/null 2>&1 &
	fi
}

run_job()
{
	setsid timeout -k 5 "$2" bash "/run/lab/jobs/$1/command" \
		</dev/null >"/run/lab/jobs/$1/out" 2>&1 {channel}>&-
	echo "$1 $?" >&"$channel"
}

exec {channel}<>"$(echo /dev/vport*p1)"
network
((lab_rxe == 0)) || "$lab_top/tools/rxe-setup.sh" up eth0 >/dev/console 2>&1
echo "ready 0" >&"$channel"
while read -r job limit_s <&"$channel"; do
	run_job "$job" "$limit_s" &
done
poweroff -f
