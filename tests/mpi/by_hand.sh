#!/bin/sh
# SPDX-License-Identifier: MIT
# by_hand.sh RANKS PROGRAM [ARGUMENT...]: run a test as ranks that find one another by DSM_RANK, DSM_SIZE and DSM_ROOT.
# The worst exit status of the ranks is its own.
size=$1
shift
port=$("$(dirname "$0")/free_port.sh")
pids=
rank=0
while [ "$rank" -lt "$size" ]; do
	DSM_RANK=$rank DSM_SIZE=$size DSM_ROOT=127.0.0.1:$port "$@" &
	pids="$pids $!"
	rank=$((rank + 1))
done
worst=0
for pid in $pids; do
	wait "$pid" || { status=$?; [ "$status" -gt "$worst" ] && worst=$status; }
done
exit "$worst"
