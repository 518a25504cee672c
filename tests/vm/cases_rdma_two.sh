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

# A tenth of its steps: each takes these processors long.
heat()
{
	in_guest 1 120 "mpirun -n 4 --host g1:2,g2:2 $build/examples/04_heat 30" &&
		says "30 steps on 4 ranks" && says "all cells as alone"
}

litmus()
{
	in_guest 1 90 "mpirun -n 2 --host g1,g2 $build/tests/litmus/litmus --only '*.seqcst.apart.*' --seconds 8" &&
		says "^[1-9][0-9]* instances, .* 0 forbidden outcomes"
}

# Words of every rank, by adapter: its own, the other guest's, and those of the rank next door.
atomics()
{
	in_guest 1 120 "mpirun -n 4 --host g1:2,g2:2 $build/tests/mpi/mpi_test_atomics 16"
}

# by_hand GUEST RANK SECONDS PROGRAM: a rank of two, in the background.
by_hand()
{
	start_in "$1" "$3" "export DSM_RANK=$2 DSM_SIZE=2 DSM_ROOT=10.77.0.1:7000 DSM_TIMEOUT_MS=20000; $4"
}

# ranking_by_hand [SETTINGS OF RANK 0] [OF RANK 1]
ranking_by_hand()
{
	local first

	by_hand 1 0 90 "${1:-} $build/examples/05_pagerank"
	first=$lab_job
	by_hand 2 1 90 "${2:-} $build/examples/05_pagerank"
	lab_wait "$lab_job" && lab_wait "$first" && says "same as alone" "$first"
}

# two_at_work [SETTINGS OF RANK 0] [OF RANK 1]: two ranks in the midst of work; sets first and second.
two_at_work()
{
	local work="DSM_LOG=info $build/tests/litmus/litmus --seconds 100 --only '*.seqcst.apart.*'"

	by_hand 1 0 120 "${1:-} $work"
	first=$lab_job
	by_hand 2 1 120 "${2:-} $work"
	second=$lab_job
	await "$first" "0 ranks by shared memory, 1 by RDMA" 40 &&
		await "$first" "^litmus: 2 ranks" 40
}

# ends JOB SENTENCE: by itself, soon, and says why; a call of its fails, or, if it is touching a page, the page
# cannot be had.
ends()
{
	local status=0

	lab_wait "$1" || status=$?
	((status != 0 && status != 124 && status != 250)) && says "$2" "$1" &&
		says "rank [01] has died\|page .* cannot be had (Host is down, rank [01])" "$1"
}

# cut_off ADDRESS PEER: the sentence of a rank that is.
cut_off()
{
	echo "closing the connection from $1 to rank [01] at $2: .*is down or cut off"
}

# within SECONDS START: has it taken longer?
within()
{
	echo "$((SECONDS - $2)) s, of $1"
	((SECONDS - $2 < $1))
}

# cable_cut ADDRESS PEER [SETTINGS OF RANK 0] [OF RANK 1]
cable_cut()
{
	local first second start status=0

	two_at_work "${@:3}" || return
	start=$SECONDS
	lab_link 2 off
	ends "$first" "$(cut_off "$1" "$2")" || status=1
	ends "$second" "$(cut_off "$2" "$1")" || status=1
	lab_link 2 on
	within 40 "$start" && ((status == 0))
}

# Addresses that are not found by default.
ipv6()
{
	local settings="export DSM_ROOT=[fd77::1]:7000 DSM_RDMA_DEVICE=fd77::"

	in_guest 1 20 "ip address add fd77::1/64 dev eth0 nodad" &&
		in_guest 2 20 "ip address add fd77::2/64 dev eth0 nodad" &&
		ranking_by_hand "${settings}1;" "${settings}2;" &&
		cable_cut fd77::1 fd77::2 "${settings}1;" "${settings}2;"
}

# The device goes while ranks use it, and comes back.
device_removed()
{
	local first second start

	two_at_work || return
	start=$SECONDS
	in_guest 1 40 "rdma link del rxe0" &&
		ends "$first" "from 10.77.0.1 to rank 1 at 10.77.0.2: RDMA device rxe0 was removed" &&
		ends "$second" "lost the connection from 10.77.0.2 to rank 0 at 10.77.0.1: it died" &&
		within 40 "$start" &&
		in_guest 1 20 "rdma link show" && ! says rxe0 &&
		in_guest 1 20 "$here/../../tools/rxe-setup.sh up eth0"
}

rank_killed()
{
	local first second start

	two_at_work || return
	start=$SECONDS
	in_guest 2 20 "kill -KILL \$(pgrep -x litmus)" || return
	lab_wait "$second"
	ends "$first" "lost the connection from 10.77.0.1 to rank 1 at 10.77.0.2: it died" &&
		within 40 "$start"
}

# A network that loses packets, and is slow: what is lost is sent again, sooner with a shorter deadline.
lossy()
{
	local netem="modprobe sch_netem; tc qdisc add dev eth0 root netem delay 1ms loss 1%"
	local undo="tc -s qdisc show dev eth0; tc qdisc del dev eth0 root"

	in_guest 1 20 "$netem" && in_guest 2 20 "$netem" &&
		in_guest 1 90 "mpirun -n 2 --host g1,g2 -x DSM_TIMEOUT_MS=10000 $build/examples/05_pagerank" &&
		says "same as alone" && in_guest 1 20 "$undo" && says "dropped [1-9]" && in_guest 2 20 "$undo"
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
	ends "$first" "$(cut_off 10.77.0.1 10.77.0.2)" && within 40 "$start" &&
		in_guest 1 20 "rdma resource show" && says "cm_id 0 mr 0 "
}

run_cases()
{
	local apart="0 ranks by shared memory, 1 by RDMA"

	check ranking_2 ranking 2 g1,g2 "$apart"
	check ranking_4 ranking 4 g1:2,g2:2 "1 ranks by shared memory, 2 by RDMA"
	check ranking_by_hand ranking_by_hand
	check heat heat
	check litmus litmus
	check atomics atomics
	check lossy lossy
	check cable_cut cable_cut 10.77.0.1 10.77.0.2
	check after_cut after_cut
	check rank_killed rank_killed
	check device_removed device_removed
	check after_removal after_cut
	check ipv6 ipv6
	check guest_killed guest_killed
}
