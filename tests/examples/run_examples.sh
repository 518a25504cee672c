#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs an example alone, under mpirun with 1, 2 and 4 ranks, and two ranks started by hand, and
# compares what it prints with expected/NN.txt. Wrong input must end all ranks with a sentence.
#
#   run_examples.sh build/examples/05_pagerank
#
# In an expected file @RANKS@ stands for the number of ranks, a line that starts with @EACH@ for one
# line a rank with its number in place of @R@, and # for a number that differs from run to run.
set -u

program=$(realpath "${1:?usage: $0 build/examples/NN_name}") || exit 1
name=$(basename "$program")
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d) || exit 1
limit_s=50
failed=0

# Ranks that were started by hand and are still there when the script ends.
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# In the tests alone: as root, and with more ranks than cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
unset DSM_RANK DSM_SIZE DSM_ROOT DSM_STATS

# run_by_hand RANKS [ARGUMENT...]: no launcher; rank 0's output and the first failure's status.
run_by_hand()
{
	local ranks=$1 rank status=0
	local -a pids=()
	local root=127.0.0.1:$((20000 + RANDOM % 10000))

	shift
	for ((rank = 0; rank < ranks; rank++)); do
		DSM_RANK=$rank DSM_SIZE=$ranks DSM_ROOT=$root DSM_TOKEN=examples-$$-$root \
			timeout -k 5 $limit_s "$program" "$@" &
		pids+=($!)
	done
	for rank in "${!pids[@]}"; do
		wait "${pids[$rank]}" || status=$?
	done
	return $status
}

# run WAY RANKS [ARGUMENT...]: stdout and stderr go to $tmp/out and $tmp/err.
run()
{
	local way=$1 ranks=$2

	shift 2
	case $way in
	alone) timeout -k 5 $limit_s "$program" "$@" ;;
	mpirun) timeout -k 5 $limit_s mpirun --oversubscribe -n "$ranks" "$program" "$@" ;;
	hand) run_by_hand "$ranks" "$@" ;;
	esac >"$tmp/out" 2>"$tmp/err" </dev/null
}

fail()
{
	echo "FAILED: $*"
	sed 's/^/  stdout: /' "$tmp/out"
	sed 's/^/  stderr: /' "$tmp/err"
	failed=1
}

# What an expected file says for this number of ranks.
expand()
{
	awk -v ranks="$2" '
		{ gsub(/@RANKS@/, ranks) }
		sub(/^@EACH@/, "") {
			for (r = 0; r < ranks; r++) {
				line = $0
				gsub(/@R@/, r, line)
				print line
			}
			next
		}
		{ print }' "$1"
}

# What varies from run to run: times, speeds, who took how many.
strip()
{
	sed -E -e 's/ +[0-9.]+ us each/ # us each/' -e 's/took [0-9]+$/took #/' \
		-e 's/: [0-9]+ million/: # million/' "$1"
}

# expect FILE WAY RANKS [ARGUMENT...]
expect()
{
	local file=$here/expected/$1 what="$2, $3 ranks: $name ${*:4}" status=0

	run "${@:2}" || status=$?
	if ((status)); then
		fail "$what: exit status $status"
	elif ! diff -u --label expected --label "$what" <(expand "$file" "$3") \
		<(strip "$tmp/out") >"$tmp/diff"; then
		cat "$tmp/diff"
		fail "$what: differs from $file"
	else
		echo "ok: $what"
	fi
}

# expect_real WAY RANKS: the default input, which differs from machine to machine.
expect_real()
{
	local what="$1, $2 ranks: $name" status=0

	run "$@" || status=$?
	if ((status)); then
		fail "$what: exit status $status"
	elif ! grep -q '^10\. ' "$tmp/out" || ! grep -qx 'same as alone' "$tmp/out"; then
		fail "$what: no ten lines, or no comparison"
	else
		echo "ok: $what"
	fi
}

# expect_refusal SENTENCE WAY RANKS [ARGUMENT...]: all ranks end, and soon, with this on stderr.
expect_refusal()
{
	local what="$2, $3 ranks: $name ${*:4}" status=0

	run "${@:2}" || status=$?
	if ((status == 0 || status == 124 || status == 137)); then
		fail "$what: exit status $status (124 and 137: did not end)"
	elif ! grep -qF "$1" "$tmp/err"; then
		fail "$what: does not say \"$1\""
	else
		echo "ok: $what: $1"
	fi
}

# each_way COMMAND [ARGUMENT...]: once for each way; its two words take the place of "@".
each_way()
{
	local way word
	local -a words

	for way in "${ways[@]}"; do
		words=()
		for word in "$@"; do
			[[ $word == @ ]] && words+=("${way% *}" "${way#* }") || words+=("$word")
		done
		"${words[@]}"
	done
}

ways=("alone 1" "hand 2")
if command -v mpirun >/dev/null; then
	ways+=("mpirun 1" "mpirun 2" "mpirun 4")
else
	echo "mpirun is not installed: not tried (Debian: openmpi-bin)"
fi

case $name in
05_*)
	each_way expect 05.txt @ "$here/data/packages.txt"
	each_way expect 05-links.txt @ "$here/data/links.txt"
	[[ -r /var/lib/dpkg/status ]] && each_way expect_real @
	each_way expect_refusal "No such file" @ "$tmp/missing"
	expect_refusal "line 1: not two names" hand 2 "$here/data/texts/sea.txt"
	expect_refusal "usage: " alone 1 a b
	;;
06_*)
	each_way expect 06.txt @ "$here/data/texts"
	[[ -d /usr/share/common-licenses ]] && each_way expect_real @
	each_way expect_refusal "No such file" @ "$here/data/texts" "$tmp/missing"
	expect_refusal "there is no text" hand 2 "$here/data/texts/empty.txt"
	;;
*)
	each_way expect "${name%%_*}.txt" @
	;;
esac
exit $failed
