# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in two guests, of one processor each, with ranks on both: RDMA between them, shared memory
# within each.

boot_guests()
{
	lab_boot 2
}

# Under mpirun: two ranks, then four on two guests.
ranking()
{
	in_guest 1 90 "mpirun -n $1 --host $2 -x DSM_LOG=info $build/examples/05_pagerank" &&
		says "iterations on $1 ranks" && says "same as alone" && says "$3"
}

heat()
{
	in_guest 1 200 "mpirun -n 4 --host g1:2,g2:2 $build/examples/04_heat" &&
		says "steps on 4 ranks" && says "all cells as alone"
}

litmus()
{
	in_guest 1 90 "mpirun -n 2 --host g1,g2 $build/tests/litmus/litmus --only '*.seqcst.apart.*' --seconds 8" &&
		says "^[1-9][0-9]* instances, .* 0 forbidden outcomes"
}

# by_hand GUEST RANK SECONDS PROGRAM: a rank of two, in the background.
by_hand()
{
	start_in "$1" "$3" "export DSM_RANK=$2 DSM_SIZE=2 DSM_ROOT=10.77.0.1:7000 DSM_TIMEOUT_MS=20000; $4"
}

ranking_by_hand()
{
	local first

	by_hand 1 0 90 "$build/examples/05_pagerank"
	first=$lab_job
	by_hand 2 1 90 "$build/examples/05_pagerank"
	lab_wait "$lab_job" && lab_wait "$first" && says "same as alone" "$first"
}

# Two ranks in the midst of work; sets first and second.
two_at_work()
{
	local work="$build/tests/litmus/litmus --seconds 100 --only '*.seqcst.apart.*'"

	by_hand 1 0 120 "DSM_LOG=info $work"
	first=$lab_job
	by_hand 2 1 120 "DSM_LOG=info $work"
	second=$lab_job
	lab_await "$first" "0 ranks by shared memory, 1 by RDMA" 40
}

# ends JOB ADDRESS PEER: by itself, soon, and says why.
ends()
{
	local status=0

	lab_wait "$1" || status=$?
	((status != 0 && status != 124 && status != 250)) &&
		says "closing the connection from $2 to rank [01] at $3" "$1" &&
		says "is down or cut off" "$1" && says "rank [01] has died" "$1"
}

cable_cut()
{
	local first second start status=0

	two_at_work || return
	start=$SECONDS
	lab_link 2 off
	ends "$first" 10.77.0.1 10.77.0.2 || status=1
	ends "$second" 10.77.0.2 10.77.0.1 || status=1
	lab_link 2 on
	echo "both ended $((SECONDS - start)) s after the cut"
	((status == 0 && SECONDS - start < 40))
}

# After a failure, what it left is gone and the two work together again.
after_cut()
{
	in_guest 1 60 "rdma resource show" && says "cm_id 0 mr 0 " &&
		ranking 2 g1,g2 "0 ranks by shared memory, 1 by RDMA"
}

guest_killed()
{
	local first second start

	two_at_work || return
	start=$SECONDS
	lab_kill 2
	ends "$first" 10.77.0.1 10.77.0.2 || return
	echo "ended $((SECONDS - start)) s after its peer"
	((SECONDS - start < 40)) && in_guest 1 20 "rdma resource show" && says "cm_id 0 mr 0 "
}

run_cases()
{
	check ranking_2 ranking 2 g1,g2 "0 ranks by shared memory, 1 by RDMA"
	check ranking_4 ranking 4 g1:2,g2:2 "1 ranks by shared memory, 2 by RDMA"
	check ranking_by_hand ranking_by_hand
	check heat heat
	check litmus litmus
	check cable_cut cable_cut
	check after_cut after_cut
	check guest_killed guest_killed
}
