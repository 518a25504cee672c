# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in two guests with a cable between them, of one processor each. The first show that RDMA
# passes there at all, by programs that are not ours; what they measure is printed, to compare with.

boot_guests()
{
	lab_boot 2
}

# pair SECONDS SERVER CLIENT: SERVER in g1; CLIENT in g2, again until the server listens.
pair()
{
	local server

	start_in 1 "$1" "$2"
	server=$lab_job
	in_guest 2 "$1" "for i in \$(seq 50); do $3 && exit 0; sleep 0.2; done; exit 1" &&
		lab_wait "$server"
}

ping()
{
	pair 30 "rping -s -a 10.77.0.1 -C 20" "rping -c -a 10.77.0.1 -C 20 -V"
}

# perf PROGRAM [OPTION...]: one of perftest's, over the GID that stands for the IPv4 address. It waits for
# acknowledgements a second each (2^18 x 4 us), and not 67 ms: processors of a busy machine pause for longer.
perf()
{
	pair 60 "$* -x 1 -u 18" "$* -x 1 -u 18 g1" || return
	# Its last line of figures: bytes, iterations, and so on.
	lab_output "$lab_job" | awk '$1 ~ /^[0-9]+$/ && NF > 3 { line = $0 } END { print line; exit !line }'
}

figures()
{
	check "$1" perf "${@:2}"
	[[ ! -s $lab_dir/case ]] || sed 's/^/                /' "$lab_dir/case"
}

apart="rank [01] runs on host g[12] and rank [01] on host g[12]: transport shm needs all ranks on one"

# A rank on each, started by hand: they meet, and see that shared memory cannot join them.
hosts_by_hand()
{
	local program=$build/tests/mpi/mpi_join first
	local ranks="DSM_TIMEOUT_MS=20000 DSM_SIZE=2 DSM_ROOT=10.77.0.1:7000 DSM_TRANSPORT=shm"

	start_in 1 60 "$ranks DSM_RANK=0 $program"
	first=$lab_job
	refuses 2 60 "$ranks DSM_RANK=1 $program" "$apart" || return
	lab_wait "$first" && return 1
	says "$apart" "$first"
}

hosts_under_mpirun()
{
	refuses 1 60 "mpirun -n 2 --host g1,g2 -x DSM_TRANSPORT=shm $build/tests/mpi/mpi_join" \
		"$apart"
}

# A cable that is pulled is noticed by nobody but those who wait.
cable()
{
	lab_link 2 off && ! in_guest 1 20 "busybox ping -c 1 -W 2 g2" && lab_link 2 on &&
		in_guest 1 60 "until busybox ping -c 1 -W 1 g2; do :; done"
}

run_cases()
{
	check rping ping
	figures read_lat ib_read_lat -s 4096 -n 500
	figures atomic_lat ib_atomic_lat -n 500
	figures read_bw ib_read_bw -s 1048576 -n 20
	check hosts_by_hand hosts_by_hand
	check hosts_under_mpirun hosts_under_mpirun
	check cable cable
}
