#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh BUILD SET [PATTERN]: boot the guests of a set of cases (cases_SET.sh: one, two, old, arm64,
# rdma_one, rdma_two, rdma_mixed), run its cases, or those whose names match, on the programs in the
# build directory BUILD, and look at what the guests' kernels say. Prints "N passed, N failed".
# What the guests have said is kept in BUILD/log/vm-SET if a case fails, or the run is ended.
# Exit status 77, with the reason: what guests are made of cannot be downloaded.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
build=$(realpath "$1") || exit 2
cases=$2
pattern=${3:-.}
logs=$build/log/vm-$cases
# Before the end that ctest makes, so that a guest that hangs is looked at.
: "${DSM_VM_LIFE_S:=$((${DSM_VM_FULL:-0} ? 7000 : 570))}"
DSM_VM_EXPOSE="${DSM_VM_EXPOSE:-} $build"
unset "${!DSM_RANK@}" "${!DSM_SIZE@}"

passed=0
failed=0
done=0
# A command's limit is what it takes on a slow machine that has nothing else to do; others have.
patience=3

# start_in GUEST SECONDS COMMAND: as lab_start; its output is shown if the case fails.
start_in()
{
	lab_start "$1" $(($2 * patience)) "$3" || return
	jobs_of_case+=("$lab_job")
}

# in_guest GUEST SECONDS COMMAND: as lab_run, so too.
in_guest()
{
	start_in "$@" && lab_wait "$lab_job"
}

# await JOB PATTERN SECONDS: as lab_await.
await()
{
	lab_await "$1" "$2" $(($3 * patience))
}

# says PATTERN [JOB]: does a line of what it printed match?
says()
{
	lab_output "${2:-$lab_job}" | grep -q -e "$1" && return
	echo "no line matches: $1"
	return 1
}

# refuses GUEST SECONDS COMMAND PATTERN: it fails, by itself and with such a sentence.
refuses()
{
	local status=0

	in_guest "$1" "$2" "$3" || status=$?
	((status != 0 && status != 124 && status != 250)) && says "$4" && return
	echo "status $status of: $3"
	return 1
}

show_jobs()
{
	local job

	for job in "${jobs_of_case[@]}"; do
		echo "--- guest ${job%%/*}: $(tail -n 3 "$lab_dir/${job%%/*}/share/jobs/${job##*/}/command")"
		lab_output "$job" | tail -n 60
	done
}

# check NAME FUNCTION [ARGUMENT...]: one case.
check()
{
	local name=$1 start=$SECONDS status=0

	shift
	[[ $cases.$name =~ $pattern ]] || return 0
	jobs_of_case=()
	"$@" >"$lab_dir/case" 2>&1 || status=$?
	if ((status == 0)); then
		passed=$((passed + 1))
		printf 'ok      %4d s  %s\n' $((SECONDS - start)) "$cases.$name"
		return
	fi
	failed=$((failed + 1))
	printf 'FAILED  %4d s  %s\n' $((SECONDS - start)) "$cases.$name"
	cat "$lab_dir/case"
	show_jobs
}

# kernels: none of the guests' has anything to complain of.
kernels()
{
	lab_check
}

# However this ends.
finish()
{
	if ((!done || failed)) && ((lab_guests)); then
		lab_keep "$logs"
		echo "consoles, commands and their outputs: $logs"
	fi
	lab_off
}

# shellcheck source=tests/vm/lab.sh
. "$here/lab.sh"
# shellcheck source=/dev/null
. "$here/cases_$cases.sh"
trap finish EXIT
trap 'exit 143' TERM INT HUP
rm -rf "$logs"
boot_guests || exit
run_cases
check kernels kernels
done=1
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
