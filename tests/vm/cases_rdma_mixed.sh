# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases with a rank on x86_64 (g1) and one on arm64 (g2): what goes over the wire is laid out the same.

boot_guests()
{
	export DSM_VM_DEVEL=1
	lab_archs=(amd64 arm64)
	lab_fetch || return
	"$here/cross.sh" "${lab_sets[arm64]}/guest" "$build/vm-arm64" || return
	lab_boot 2
}

# by_hand PROGRAM [ARGUMENT...]: rank 0 on x86_64, rank 1 on arm64; leaves rank 0 in lab_job.
by_hand()
{
	local ranks="export DSM_SIZE=2 DSM_ROOT=10.77.0.1:7000" first

	start_in 1 120 "$ranks DSM_RANK=0; $build/$*"
	first=$lab_job
	in_guest 2 120 "$ranks DSM_RANK=1; $build/vm-arm64/$*" || return
	lab_job=$first
	lab_wait "$first"
}

ranking()
{
	# The same input for both, which have different packages.
	by_hand "examples/05_pagerank $here/../examples/data/links.txt" && says "iterations on 2 ranks" &&
		says "same as alone"
}

litmus()
{
	by_hand "tests/litmus/litmus --seed 1 --seconds 5 --only 'SB.seqcst.*'" &&
		says "^[1-9][0-9]* instances, .* 0 forbidden outcomes"
}

run_cases()
{
	check ranking ranking
	check sync by_hand tests/mpi/mpi_test_sync
	check litmus litmus
}
