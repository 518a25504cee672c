#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Check one variant of the model and print one row about it: states, depth, seconds, verdict.
#
#	run.sh holds|breaks <model.pml> <directory to work in> [option...]
#
#	-D<switch>      a switch of the model, see its head comment
#	--ltl <name>    check this formula under weak fairness, instead of assertions and deadlocks
#	--bitstate <n>  two bits a state in a table of 2^n bits: for what is too large to be stored
#	--fast          compile the verifier for speed: pays for a run of minutes
#	--depth <n>     longest path that is followed, in steps
#	--dfs           look for what breaks depth first: some way to it, not the shortest, but with
#	                fewer states
#
# "holds": nothing may be violated, and nothing left out by a limit. "breaks": something must be
# violated; the row says what. Ends with 77, and the reason, where spin or a C compiler is missing.
set -eu

expected=$1
model=$(realpath "$2")
work=$3
shift 3

memory_limit_mb=${DSM_MODEL_MEMORY_LIMIT_MB:-4000}
time_limit_s=${DSM_MODEL_TIME_LIMIT_S:-280}
depth=2000000
switches=()
search=(-DSAFETY)
breadth=(-DBFS)
options=()
store=(-DCOLLAPSE)
optimise=-O0 # the verifier is one huge function: -O2 pays only for a run of a minute

while [ $# -gt 0 ]; do
	case $1 in
	-D*) switches+=("$1") ;;
	--ltl) search=(-DNFAIR=3); options+=(-a -f -N "$2"); shift ;;
	--bitstate) optimise=-O2; store=(-DBITSTATE); options+=("-w$2"); shift ;;
	--fast) optimise=-O2 ;;
	--depth) depth=$2; shift ;;
	--dfs) breadth=() ;;
	*) echo "run.sh: unknown option $1"; exit 2 ;;
	esac
	shift
done
# What is to break is searched breadth first: the shortest way to it is the one to read.
if [ "$expected" = breaks ] && [ "${search[0]}" = -DSAFETY ] && [ ${#breadth[@]} -gt 0 ]; then
	search+=("${breadth[@]}")
else
	options+=("-m$depth")
fi

cc=${CC:-cc}
for tool in spin "$cc"; do
	command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

rm -rf "$work"
mkdir -p "$work"
cd "$work"
spin "${switches[@]}" -a "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
"$cc" "$optimise" -w "-DMEMLIM=$memory_limit_mb" "${search[@]}" "${store[@]}" -o pan pan.c
ended=0
timeout "$time_limit_s" ./pan "${options[@]}" >pan.log 2>&1 || ended=$?

# What the last step of the counterexample violates, as the model's text has it.
violated()
{
	local line

	if grep -q '^pan:[0-9]*: acceptance cycle' pan.log; then
		echo "not answered for ever"
	elif grep -q '^pan:[0-9]*: invalid end state' pan.log; then
		echo "deadlock"
	else
		line=$(spin "${switches[@]}" -t -p -k ./*.trail "$model" 2>&1 |
		       sed -n 's/^spin: .*:\([0-9]*\), Error: assertion violated.*/\1/p' | tail -1)
		sed -n "${line:-1}s/^[[:space:]:]*//p" "$model"
	fi
}

errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
if [ "$ended" -eq 124 ]; then
	verdict="out of time after $time_limit_s s"
elif grep -q 'MEMLIM bound' pan.log; then
	verdict="out of memory at $memory_limit_mb MB"
elif [ "${errors:-x}" = x ]; then
	verdict="the verifier ended with status $ended"
elif [ "$errors" -gt 0 ]; then
	verdict="broken: $(violated)"
elif grep -q 'max search depth too small' pan.log; then
	verdict="not all: a path is longer than $depth steps"
else
	verdict="holds"
fi

printf '%12s %10s %8s  %s\n' states depth seconds verdict
printf '%12s %10s %8s  %s\n' \
	"$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)" \
	"$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' pan.log)" \
	"$(sed -n 's/^pan: elapsed time \([0-9.e+]*\) seconds/\1/p' pan.log)" "$verdict"
sed -n 's/^hash factor: /states of the table to a state stored: /p' pan.log

case $expected:$verdict in
holds:holds | breaks:broken:*)
	rm -f pan pan.*
	exit 0
	;;
holds:broken:*)
	echo "see the steps: cd $work && spin ${switches[*]} -t -p -k $(basename "$model").trail $model"
	exit 1
	;;
*)
	tail -20 pan.log
	exit 1
	;;
esac
