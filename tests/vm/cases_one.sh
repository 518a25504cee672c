# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in one guest of two processors: the set-up script, the unit tests, and ranks over shm, under
# the kernel that guests have, which is nearer to the oldest that will do than the build machine's.

boot_guests()
{
	lab_cpus=2
	lab_memory_mib=1024
	lab_boot 1
}

rxe=$here/../../tools/rxe-setup.sh

rxe_verify()
{
	in_guest 1 60 "$rxe verify" && says "rxe0 over eth0 (10.77.0.1) works: 20 pings came back right"
}

rxe_up_and_down()
{
	refuses 1 20 "$rxe up lo" "not over lo" &&
		refuses 1 20 "$rxe up eth7" "no network interface eth7; there is: eth0 lo" &&
		in_guest 1 20 "$rxe up" && says "rxe0 is there already, over eth0" &&
		in_guest 1 20 "$rxe down" && says "rxe0 is gone from over eth0" &&
		in_guest 1 20 "$rxe down" && says "there is no device" &&
		refuses 1 20 "$rxe verify" "there is no device of rdma_rxe; as root: rxe-setup.sh up" &&
		refuses 1 20 "setpriv --reuid 65534 --clear-groups $rxe up" "only root" &&
		refuses 1 20 "ip link set eth0 down; $rxe up eth0" "eth0 is down" &&
		in_guest 1 20 "ip link set eth0 up mtu 1500; $rxe up eth0" &&
		says "MTU of 1500, eth0 carries 1024 bytes" && says "rxe0 is up" &&
		in_guest 1 20 "ip link set eth0 mtu 4200; $rxe verify"
}

rxe_without_modules()
{
	refuses 1 20 "rmmod rdma_ucm && $rxe verify" "no /dev/infiniband/rdma_cm; as root: modprobe rdma_ucm" &&
		in_guest 1 20 "$rxe down && rmmod rdma_rxe" &&
		refuses 1 20 "mount -t tmpfs no /lib/modules && $rxe up eth0" "modules of this kernel are not here" &&
		refuses 1 20 "mkdir /lib/modules/\$(uname -r) && $rxe up eth0" "has no module rdma_rxe; it is in linux-image" &&
		in_guest 1 20 "umount /lib/modules && $rxe up eth0 && $rxe verify"
}

info()
{
	in_guest 1 20 "$build/tools/dsm_info --check" && says "libdsm can run here" &&
		in_guest 1 20 "$build/tools/dsm_info" && says "Linux 6.12" && says "^  rxe0 " &&
		says "port 1 *ACTIVE"
}

# A device that no address leads to: why, and what to do.
info_of_no_address()
{
	local why="rxe0:1 *not chosen: its network interface eth0"

	in_guest 1 20 "ip address flush dev eth0; $build/tools/dsm_info" &&
		says "$why has no IP address (ip address add ... dev eth0)" &&
		in_guest 1 20 "ip address add fe80::77/64 dev eth0 nodad; $build/tools/dsm_info" &&
		says "$why has link-local addresses alone" &&
		in_guest 1 20 "ip link set eth0 down; $build/tools/dsm_info" &&
		says "$why is down (ip link set eth0 up)" &&
		in_guest 1 20 "ip link set eth0 up; ip address add 10.77.0.1/24 dev eth0; $build/tools/dsm_info" &&
		says "rxe0:1 *10.77.0.1 (eth0).* chosen"
}

# As many schedules as an emulated processor does in half a minute.
unit()
{
	in_guest 1 200 "cd $build && SCHEDULES=60 ctest -L '^unit$' -j 2 --no-tests=error --output-on-failure"
}

# Two ranks: one under a launcher, and the others by hand.
ranks()
{
	in_guest 1 "$1" "cd $build && TEST_SHORT=1 ctest -R '$2' --no-tests=error --output-on-failure"
}

run_cases()
{
	check rxe_verify rxe_verify
	check rxe_up_and_down rxe_up_and_down
	check rxe_without_modules rxe_without_modules
	check info info
	check info_of_no_address info_of_no_address
	check unit unit
	check ranks ranks 240 '^mpi\.(test_(sync|syscall|threads|bad_input|stats)\.2|test_cache\.by_hand)$'
}
