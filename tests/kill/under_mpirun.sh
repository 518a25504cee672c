#!/bin/bash
# SPDX-License-Identifier: MIT
# under_mpirun.sh TEST_KILL: a rank of three kills itself while the others are in a barrier. mpirun
# must end the job in time, with a status that is not zero, and leave no rank behind.
# Exit status 77, with the reason: there is no mpirun.
set -u
program=${1:?usage: $0 build/tests/kill/test_kill}
limit_s=20

if ! command -v mpirun >/dev/null; then
	echo "skipped: mpirun is not installed (Debian: openmpi-bin)"
	exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
unset DSM_RANK DSM_SIZE DSM_ROOT
export DSM_LOG=error DSM_SPACE=256M DSM_SYNC_TIMEOUT_MS=60000
pids=$(mktemp) || exit 1
trap 'rm -f "$pids"' EXIT

status=0
for victim in 0 2; do
	for signal in KILL SEGV; do
		: >"$pids"
		start_s=$SECONDS
		timeout -k 5 $limit_s mpirun --oversubscribe --bind-to none -n 3 \
			"$program" --mpirun "$victim" "$signal" >"$pids" 2>/dev/null </dev/null
		ended=$?
		took_s=$((SECONDS - start_s))
		echo "rank $victim by SIG$signal: exit status $ended after $took_s s"
		if [ $ended -eq 0 ] || [ $took_s -ge $limit_s ]; then
			echo "FAILED: mpirun did not end the job in time, or called it a success"
			status=1
		fi
		if [ "$(grep -c '^pid ' "$pids")" -ne 3 ]; then
			echo "FAILED: not every rank has started"
			cat "$pids"
			status=1
		fi
		for pid in $(sed -n 's/^pid //p' "$pids"); do
			# mpirun may have ended a moment before its last child.
			for _ in {1..50}; do
				kill -0 "$pid" 2>/dev/null || continue 2
				sleep 0.1
			done
			echo "FAILED: process $pid is left"
			status=1
		done
	done
done
exit $status
