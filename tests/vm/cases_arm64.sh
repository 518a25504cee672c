# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in an arm64 guest of two processors, which take turns, on a build for it that is made here. They
# show that the library builds and runs there; of arm64's weaker memory model emulation shows nothing.

boot_guests()
{
	export DSM_VM_DEVEL=1
	lab_archs=(arm64)
	lab_cpus=2
	lab_memory_mib=1024
	lab_fetch || return
	build=$build/vm-arm64
	"$here/cross.sh" "$lab_set/guest" "$build" || return
	lab_expose+=("$build")
	lab_boot 1
}

info()
{
	in_guest 1 20 "$build/tools/dsm_info --check" && says "libdsm can run here" &&
		in_guest 1 20 "$build/tools/dsm_info" && says ", aarch64$"
}

# There is no ctest in this guest. A test that cannot run ends with status 77.
unit()
{
	in_guest 1 300 "cd $build/tests/unit && failed=0
for test in test_*; do
	SCHEDULES=30 ./\$test >/tmp/out 2>&1
	case \$? in
	0 | 77) echo \"\$test: right\" ;;
	*) cat /tmp/out; echo \"\$test: FAILED\"; failed=1 ;;
	esac
done
exit \$failed" && says "^test_wire: right" && says "^test_sync: right"
}

# ranks PROGRAM...: as two ranks by hand.
ranks()
{
	local program

	for program in "$@"; do
		in_guest 1 90 "export DSM_SIZE=2 DSM_ROOT=127.0.0.1:7000; cd $build/tests/mpi
DSM_RANK=1 ./$program & DSM_RANK=0 ./$program; first=\$?; wait \$!; exit \$((first | \$?))" || return
	done
}

ranks_under_mpirun()
{
	in_guest 1 90 "mpirun -n 2 $build/tests/mpi/mpi_test_sync"
}

litmus()
{
	in_guest 1 90 "mpirun -n 2 $build/tests/litmus/litmus --seconds 5 --only '*.seqcst.*'" &&
		says "^[1-9][0-9]* instances, .* 0 forbidden outcomes"
}

rxe_verify()
{
	in_guest 1 60 "$here/../../tools/rxe-setup.sh verify" && says "rxe0 over eth0 (10.77.0.1) works"
}

run_cases()
{
	check info info
	check rxe_verify rxe_verify
	check unit unit
	check ranks ranks mpi_test_syscall mpi_test_threads mpi_test_stats
	check inline ranks mpi_test_inline
	check ranks_under_mpirun ranks_under_mpirun
	check litmus litmus
}
