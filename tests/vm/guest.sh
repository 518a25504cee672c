#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest.sh DIRECTORY LIFE_S QEMU...: run one guest and hand its answers to those who wait for them.
# Started by lab_boot; lives as long as QEMU, QEMU at most as long as it, and both LIFE_S at most.
#
# A line "JOB STATUS" from the guest goes into the FIFO jobs/JOB/done. When QEMU ends, `gone` is made,
# and then every FIFO gets "gone".
set -u
dir=$1
life_s=$2
shift 2

exec {answers}<>"$dir/channel.out"

# A process of its own, which QEMU's end wakes. Whoever dies here takes the next along.
# shellcheck disable=SC2016 # expanded there
setpriv --pdeathsig KILL bash -c '
	dir=$1
	shift
	setpriv --pdeathsig KILL timeout -s KILL "$@" </dev/null >"$dir/qemu.log" 2>&1 &
	echo $! >"$dir/pid"
	wait $!
	echo "gone $?" 1<>"$dir/channel.out"
' supervise "$dir" "$life_s" setpriv --pdeathsig KILL "$@" {answers}>&- &

while read -r job status <&"$answers"; do
	[[ $job != gone ]] || break
	[[ ! -p $dir/share/jobs/$job/done ]] || echo "$status" 1<>"$dir/share/jobs/$job/done"
done
: >"$dir/gone"
for fifo in "$dir"/share/jobs/*/done; do
	echo gone 1<>"$fifo"
done
