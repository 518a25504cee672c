# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in one guest of two processors whose ranks reach one another by RDMA alone: through the
# guest's own device and back.

boot_guests()
{
	lab_cpus=2
	lab_memory_mib=1024
	lab_boot 1
}

by_rdma="export DSM_TRANSPORT=verbs; cd $build"

# ranks HOW RANKS [PATTERN]: launcher tests whose names match, HOW is under_mpirun or by_hand. Each repeats a
# tenth as often as elsewhere; with DSM_VM_FULL=1 all do as often, which takes an hour.
ranks()
{
	local short="export TEST_SHORT=1" limit_s=240

	[[ -z ${DSM_VM_FULL:-} ]] || { short=:; limit_s=1200; }
	# Many ranks on two emulated processors, each of which waits for all others.
	(($2 < 4)) || short+="; export DSM_TIMEOUT_MS=120000"
	in_guest 1 $((limit_s * 4)) "$by_rdma; $short; failed=0
for test in tests/mpi/mpi_test_*; do
	[[ \$test =~ _(${3:-.*})\$ ]] || continue
	start=\$SECONDS
	timeout $limit_s $here/../mpi/$1.sh $2 \$test >/tmp/out 2>&1
	status=\$?
	echo \"\$test: status \$status after \$((SECONDS - start)) s\"
	((status == 0 || status == 77)) || { cat /tmp/out; failed=1; }
done
exit \$failed" && says "status 0"
}

litmus()
{
	in_guest 1 60 "$by_rdma; mpirun -n 2 tests/litmus/litmus --only '*.seqcst.apart.*' --seconds 5" &&
		says "^[1-9][0-9]* instances, .* 0 forbidden outcomes"
}

# pair_of PROGRAM: two ranks by hand, as whoever the command says; the worse status.
pair_of()
{
	echo "$by_rdma; export DSM_SIZE=2 DSM_ROOT=127.0.0.1:7000; DSM_RANK=1 $* & DSM_RANK=0 $*; first=\$?; wait \$!; exit \$((first | \$?))"
}

device()
{
	in_guest 1 20 "$(pair_of env DSM_LOG=info examples/01_hello)" &&
		says "RDMA device rxe0 port 1 at 10.77.0.1 (eth0).*chosen since" && says "0 ranks by shared memory, 1 by RDMA" &&
		refuses 1 20 "$(pair_of env DSM_RDMA_DEVICE=nosuch examples/01_hello)" 'DSM_RDMA_DEVICE is "nosuch", and there is: rxe0:1' &&
		in_guest 1 20 "$build/tools/dsm_info" &&
		says "rxe0:1 .*10.77.0.1 (eth0).* MTU 4096, remote atomics: yes; chosen"
}

# hello_by DEVICE DEVICE: two ranks, each told which to use.
hello_by()
{
	pair_of sh -c "'test \$DSM_RANK = 0 && d=$1 || d=$2; DSM_RDMA_DEVICE=\$d exec examples/01_hello'"
}

# all_over_eth1 DEVICE DEVICE: both ways to name it lead to the one over eth1.
all_over_eth1()
{
	in_guest 1 20 "export DSM_LOG=info; $(hello_by "$1" "$2")" && says "0 ranks by shared memory, 1 by RDMA" &&
		(($(lab_output "$lab_job" | grep -c "rxe1 port 1 at 10.78.0.1 (eth1).*asks for it") == 2))
}

# Two devices, in networks of their own: which is used, what is said about it, and what about ranks in
# different ones.
devices()
{
	in_guest 1 20 "modprobe dummy numdummies=0; ip link add eth1 type dummy && ip link set eth1 mtu 4200 up &&
ip address add 10.78.0.1/24 dev eth1 && $here/../../tools/rxe-setup.sh up eth1" &&
		in_guest 1 20 "$build/tools/dsm_info; DSM_RDMA_DEVICE=eth1 $build/tools/dsm_info" &&
		says "rxe0:1 .*10.77.0.1 (eth0).*; chosen since it comes first" &&
		says "rxe1:1 .*10.78.0.1 (eth1).*; not chosen: another comes first" &&
		says "rxe0:1 .*; not chosen: DSM_RDMA_DEVICE asks for another" &&
		says "rxe1:1 .*; chosen since DSM_RDMA_DEVICE asks for it" &&
		all_over_eth1 rxe1 rxe1:1 && all_over_eth1 eth1 10.78.0.1 &&
		refuses 1 20 "export DSM_TIMEOUT_MS=6000; $(hello_by 10.77.0.1 10.78.0.1)" \
			"missing: 1 at 10.78.0.1.*all devices are of one network (ping -I eth0)" &&
		in_guest 1 20 "rdma link del rxe1; ip link del eth1"
}

# Somebody who may open the device, but lock little.
memlock()
{
	refuses 1 20 "chmod a+rw /dev/infiniband/* /dev/userfaultfd
$(pair_of prlimit --memlock=65536:65536 setpriv --reuid 65534 --clear-groups examples/01_hello)" \
		"the limit is 64 KiB; raise it: ulimit -l"
}

# What ranks that have ended leave behind: nothing but the kernel's own.
leaks()
{
	in_guest 1 20 "rdma resource show" && says "rxe0: pd 1 cq 1 qp 1 cm_id 0 mr 0 "
}

# perf PROGRAM: one of perftest's against itself here, asleep between events, because where all spin on
# two processors none gets on; its typical figure, in microseconds.
perf()
{
	in_guest 1 60 "$* -e -x 1 -u 18 >/dev/null & for i in \$(seq 50); do $* -e -x 1 -u 18 localhost && break; sleep 0.2; done; wait" &&
		lab_output "$lab_job" | awk '$1 == 4096 && NF > 6 { typical = $5 } END { print typical; exit !typical }'
}

# A read miss beside the raw read of a page and the fault that it rests on: each is one-sided.
read_miss()
{
	local raw

	raw=$(perf ib_read_lat -s 4096 -n 500) || return 1
	in_guest 1 100 "$by_rdma; mpirun -n 2 bench/dsm_bench --iterations=100 read_miss" &&
		lab_output "$lab_job" | awk -v raw="$raw" '
			/first touch of a page$/ { miss = $5 }
			/floor: .*MISSING.*memfd.*yields/ { floor = $5 }
			/note: .* read misses/ { one_sided = $2 == $8 || $2 + 0 == $8 + 0 }
			END {
				printf "a miss %.0f us, a raw read %.0f, a fault %.0f: (miss - fault) / read = %.2f\n",
					miss, raw, floor, (miss - floor) / raw
				exit !(miss && floor && one_sided)
			}'
}

run_cases()
{
	check device device
	check devices devices
	check memlock memlock
	check litmus litmus
	check two_ranks ranks under_mpirun 2
	check four_ranks ranks under_mpirun 4 "${DSM_VM_FULL:+.*|}sync|one_sided"
	check ranks_by_hand ranks by_hand 2 "${DSM_VM_FULL:+.*|}stats|sync"
	check read_miss read_miss
	[[ ! -s $lab_dir/case ]] || sed 's/^/                /' "$lab_dir/case"
	check leaks leaks
}
