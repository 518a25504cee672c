#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vm_ratios.sh BUILD [ROUNDS]: libdsm between two machines beside what its RDMA device does by itself.
# Boots two guests with soft-RoCE (tests/vm), runs dsm_bench across them and perftest in the same guests
# in turns, ROUNDS (5) times, and prints the medians and their ratios as a Markdown table; beside them the
# ratio of the shortest times, which a busy machine spoils less. Times of an emulated machine mean nothing;
# the ratios are what it is about. About five minutes.
#
# The last rows compare with chain_lat, which posts the library's own requests and does nothing else: what
# separates them is libdsm's, and what separates chain_lat from perftest is what more requests than one
# take, on soft-RoCE a processor's time each.
#
# Raw figures are the better of two: perftest polls, or sleeps between events, which helps where the
# program takes the processor from the kernel's part of the adapter. libdsm is as it is by default: it polls for
# a while, which is less than a round trip here, and then sleeps.
# Settings: those of tests/vm.
# Exit status 77, with the reason: what guests are made of cannot be downloaded.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
build=$(realpath "${1:?usage: vm_ratios.sh BUILD [ROUNDS]}") || exit 2
rounds=${2:-5}
DSM_VM_EXPOSE="${DSM_VM_EXPOSE:-} $build"
# shellcheck source=tests/vm/lab.sh
. "$here/../tests/vm/lab.sh"
lab_life_s=${DSM_VM_LIFE_S:-3000}
figures=$(mktemp) || exit 1

# run GUEST SECONDS COMMAND: lab_run, and what it said if it fails.
run()
{
	local status=0

	lab_run "$@" || status=$?
	((status == 0)) && return
	echo "status $status in guest $1 of: $3" >&2
	lab_output "$lab_job" >&2
	return $status
}

step()
{
	[[ ! -t 2 ]] || printf '\r\033[K%s' "$*" >&2
}

# perf NAME COLUMN BEST PROGRAM [OPTION...]: perftest's (-x 1: over the GID that stands for the IPv4
# address), or chain_lat's; the columns of its usual figure and of its best one.
perf()
{
	local name=$1 column=$2 best=$3 server how

	shift 3
	for how in "" -e; do
		step "round $round of $rounds: $* $how"
		lab_start 1 120 "$* $how" || return
		server=$lab_job
		run 2 120 "for i in \$(seq 100); do $* $how g1 && exit 0; sleep 0.2; done; exit 1" || return
		# Its last line of figures: bytes, iterations, and so on.
		lab_output "$lab_job" | awk -v name="$name" -v column="$column" -v best="$best" '
			$1 ~ /^[0-9]+$/ && NF > 3 { typical = $column; least = $best }
			END { print name, typical, least; exit !typical }' >>"$figures" || return
		lab_wait "$server" || return
	done
}

# ours TEST ITERATIONS: dsm_bench's, rank 0 in g2 and the home in g1, as perftest has it.
ours()
{
	step "round $round of $rounds: dsm_bench $1"
	run 2 400 "mpirun -n 2 --host g2,g1 $build/bench/dsm_bench --iterations=$2 $1" || return
	# Figures by test, bytes and label, its words joined.
	lab_output "$lab_job" | awk -v test="$1" '$1 ~ /^[0-9]+$/ && NF > 10 {
		label = $11
		for (i = 12; i <= NF; i++)
			label = label "_" $i
		print test ":" $1 ":" label, $5, $3
	}' >>"$figures"
}

measure()
{
	for ((round = 1; round <= rounds; round++)); do
		perf read_lat 5 3 ib_read_lat -x 1 -s 4096 -n 500 &&
			perf chain 5 3 "$build/bench/chain_lat" -n 500 &&
			ours read_miss 100 &&
			perf atomic_lat 5 3 ib_atomic_lat -x 1 -n 500 &&
			ours fetch_add 50 &&
			perf read_bw 4 3 ib_read_bw -x 1 -s 1048576 -n 20 &&
			perf chains 5 3 "$build/bench/chain_lat" -c 256 -n 20 &&
			ours acquire_read 32 || return
	done
	step
}

# Medians of all rounds; of a raw figure, of the better way.
report()
{
	awk '
	function median(name, from, step,   n, i, j, t, v) {
		for (i = from; i <= count[name]; i += step)
			v[++n] = value[name, i]
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
				t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
			}
		return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	function all(name) {
		if (!(name in count)) {
			print "no figure: " name > "/dev/stderr"
			bad = 1
			return 1
		}
		return median(name, 1, 1)
	}
	# The bare fault, by the handler that is the quickest here.
	function quickest(prefix,   name, found) {
		for (name in count)
			if (index(name, prefix) == 1 && (found == "" || all(name) < all(found)))
				found = name
		return found == "" ? prefix : found
	}
	function raw(name, more,   a, b) {
		a = median(name, 1, 2)
		b = median(name, 2, 2)
		return (a > b) == more ? a : b
	}
	function latency(what, ours, base, floor, target,   us, least) {
		us = all(ours)
		least = best[ours] / (best[base] + (floor ? best[floor] : 0))
		base = raw(base, 0)
		floor = floor ? all(floor) : 0
		printf "| %s | %.0f us | %.0f us | %.0f us | %.2f | %.2f | %s |\n", what, us, base, floor,
			us / (base + floor), least, target
	}
	function rate(what, ours, base, floor,   mib, least) {
		mib = 1e6 / all(ours)
		least = 1e6 / best[ours] / most[base]
		base = raw(base, 1)
		printf "| %s | %.1f MiB/s | %.1f MiB/s | %.1f MiB/s | %.2f | %.2f | at least 0.80 |\n", what, mib, base,
			1e6 / (1e6 / base + all(floor)), mib / base, least
	}
	{
		value[$1, ++count[$1]] = $2
		if (!($1 in best) || $3 < best[$1])
			best[$1] = $3
		if ($3 > most[$1])
			most[$1] = $3
	}
	END {
		miss = quickest("read_miss:4096:floor:_userfaultfd_MISSING,_COPY(WP),_memfd,_handler")
		copy = "floor:_one_UFFDIO_COPY(WP)_of_the_range_into_a_memfd"
		refill = "floor:_memcpy_into_the_frames_and_one_UFFDIO_CONTINUE(WP)"
		print "| what | libdsm | raw | fault or copy floor | ratio | of the best | target |"
		print "| --- | --- | --- | --- | --- | --- | --- |"
		first = "first_time_here"
		again = "invalidated_before"
		least = "at most 1.50"
		latency("read miss, 4 KiB / (ib_read_lat + fault)", "read_miss:4096:first_touch_of_a_page", "read_lat",
			miss, least)
		latency("acquire, 4 KiB / (ib_read_lat + copy)", "acquire_read:4096:" first, "read_lat",
			"acquire_read:4096:" copy, least)
		latency("fetch_add / ib_atomic_lat", "fetch_add:8:by_rank_0", "atomic_lat", "", least)
		rate("acquire, 1 MiB, first time / ib_read_bw", "acquire_read:1048576:" first, "read_bw",
			"acquire_read:1048576:" copy)
		rate("acquire, 1 MiB, again / ib_read_bw", "acquire_read:1048576:" again, "read_bw",
			"acquire_read:1048576:" refill)
		latency("read miss, 4 KiB / (chain_lat + fault)", "read_miss:4096:first_touch_of_a_page", "chain", miss, "")
		latency("acquire, 4 KiB / (chain_lat + copy)", "acquire_read:4096:" first, "chain",
			"acquire_read:4096:" copy, "")
		latency("acquire, 1 MiB, first time / (chain_lat + copy)", "acquire_read:1048576:" first, "chains",
			"acquire_read:1048576:" copy, "")
		print ""
		print "Medians of " count["read_lat"] / 2 " rounds. The floor of a rate is that of the raw read and a copy of" \
			" its own, one after the other, as one processor does it."
		exit bad
	}' "$figures"
}

trap 'lab_off; rm -f "$figures"' EXIT
trap 'exit 143' TERM INT HUP
lab_boot 2 || exit
measure && lab_check && report
