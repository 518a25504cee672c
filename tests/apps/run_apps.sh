#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run_apps.sh DIRECTORY: the applications of bench/apps, built there, at their least size: each form
# gets what it expects, and the forms agree with one another, with 1, 2 and 4 ranks. Then that a
# disagreement is found at all, and that the script that measures them says so.
set -u
dir=$(realpath "${1:?usage: $0 build/bench/apps}") || exit 1
apps=$(realpath "$(dirname "$0")/../../bench/apps")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

if ! command -v mpirun >/dev/null; then
	echo "skipped: mpirun is not installed (Debian: openmpi-bin)"
	exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
unset "${!DSM_@}"

fail()
{
	echo "FAILED: $*"
	cat "$tmp/out" "$tmp/err" 2>/dev/null
	exit 1
}

# run RANKS COMMAND [ARGUMENT...]: its lines, as of repeat RANKS.
run()
{
	timeout -k 5 60 "${@:2}" >"$tmp/out" 2>"$tmp/err" || fail "${*:2}: exit status $?"
	sed -n "s/^app=/repeat=$1 &/p" "$tmp/out" >>"$tmp/lines"
}

run 1 "$dir/dsm_apps" --form=seq all
expected=$(wc -l <"$tmp/lines")
((expected >= 13)) || fail "$expected lines, and there are 13 applications"
runs=1
for ranks in 1 2 4; do
	run $ranks mpirun --bind-to none -n $ranks "$dir/dsm_apps" all
	run $ranks mpirun --bind-to none -n $ranks "$dir/dsm_apps" --form=plain all
	((runs += 2))
	if [[ -x $dir/dsm_apps_mpi ]]; then
		run $ranks mpirun --bind-to none -n $ranks "$dir/dsm_apps_mpi" all
		((++runs))
	else
		echo "no dsm_apps_mpi: the forms over MPI are not tried (Debian: libopenmpi-dev)"
	fi
done
awk -f "$apps/csv.awk" "$tmp/lines" >"$tmp/csv" || fail "forms disagree"
lines=$(($(wc -l <"$tmp/csv") - 1))
((lines == runs * expected)) || fail "$lines results of $runs runs with $expected each"

# Every checksum but one thread's a little off: as many must be found.
sed '/form=seq/!s/checksum=[0-9]*/&1/' "$tmp/lines" >"$tmp/off"
if awk -f "$apps/csv.awk" "$tmp/off" >"$tmp/out" 2>"$tmp/err" ||
	(($(grep -c '^FAILED: ' "$tmp/err") != lines - expected)); then
	fail "wrong checksums are not found"
fi

if "$dir/dsm_apps" --class=X heat >"$tmp/out" 2>"$tmp/err" || [[ $? -ne 2 ]]; then
	fail "a class that there is not has status $? where 2 is expected"
fi
"$apps/run.sh" --build="${dir%/bench/apps}" --class S --repeats 2 --csv "$tmp/csv" heat \
	>"$tmp/out" 2>"$tmp/err" || fail "run.sh: exit status $?"
[[ $(head -n 1 "$tmp/csv") == app,class,form,ranks,repeat,seconds,ok,rate,unit ]] ||
	fail "run.sh: columns are $(head -n 1 "$tmp/csv")"
grep -q '^heat,S,dsm,2,2,[0-9.e-]*,1,[0-9.]*,Mcell/s$' "$tmp/csv" || fail "run.sh: no row of heat"
echo "ok: $lines results agree"
