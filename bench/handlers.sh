#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The ways to serve page faults, side by side: runs dsm_bench with each value of DSM_FAULT_HANDLER in
# turn, as often as told, and prints a table in Markdown: for each row the median of the runs' medians, and
# how it compares with the default. The lowest of a row is in bold.
#
#	bench/handlers.sh [-n ROUNDS] [-b DSM_BENCH] [--] [TEST or OPTION of dsm_bench...]
set -u -o pipefail
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/..")
bench=$top/build/bench/dsm_bench
rounds=5
while getopts n:b:h option; do
	case $option in
	n) rounds=$OPTARG ;;
	b) bench=$OPTARG ;;
	*)
		sed -n '4,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))
(($#)) || set -- read_miss read_miss_busy_home acquire_read write_upgrade ping_pong relock \
	lock_handover barrier fetch_add scan write_scan
((EUID)) || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# One line a row that is not a floor: handler, test, row, bytes, median.
rows()
{
	awk -v mode="$1" '
	function field(name, n)
	{
		if (!match($0, "\"" name "\": (\"[^\"]*\"|[^,}]*)"))
			return ""
		n = length(name) + 4
		name = substr($0, RSTART + n, RLENGTH - n)
		gsub(/^ |"/, "", name)
		return name
	}
	/^ *\{"name"/ { test = field("name") }
	/"floor": false/ {
		print mode "\t" test "\t" field("label") "\t" field("bytes") "\t" field("t_typical_us")
	}'
}

measure()
{
	local round mode

	for ((round = 1; round <= rounds; round++)); do
		for mode in agent core inline; do
			[[ -t 2 ]] && printf '\rround %d of %d: %-6s ' $round "$rounds" $mode >&2
			DSM_FAULT_HANDLER=$mode mpirun --bind-to none -n 2 "$bench" --format=json "$@" |
				rows $mode || return
		done
	done
	[[ -t 2 ]] && printf '\r%40s\r' '' >&2
	return 0
}

measure "$@" | sort -t $'\t' -k5,5g | awk -F '\t' -v rounds="$rounds" '
{
	row = $2 "\t" $3 "\t" $4
	value[$1, row, ++n[$1, row]] = $5
	rows[row] = 1
}
function median(mode, row, k)
{
	k = n[mode, row]
	return k % 2 ? value[mode, row, (k + 1) / 2] : (value[mode, row, k / 2] + value[mode, row, k / 2 + 1]) / 2
}
function shown(us, least)
{
	return sprintf(us == least ? "**%.2f**" : "%.2f", us)
}
END {
	printf "| test | row | bytes | agent | core | inline | core / agent | inline / agent |\n"
	printf "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
	sort = "sort"
	for (row in rows) {
		a = median("agent", row)
		c = median("core", row)
		i = median("inline", row)
		least = a < c ? a : c
		least = i < least ? i : least
		split(row, part, "\t")
		printf "| %s | %s | %d | %s | %s | %s | %.2f | %.2f |\n", part[1], part[2], part[3], shown(a, least),
			shown(c, least), shown(i, least), c / a, i / a | sort
	}
	close(sort)
	printf "\nMicroseconds; medians of %d interleaved runs of two ranks.\n", rounds
}'
