#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs bench/report.sh --quick and looks at all that comes out of it; then at what it does when it
# is called wrongly, and when peers are missing.
#
#	run_report.sh BUILD_DIRECTORY
set -u -o pipefail
build=$(realpath "${1:?usage: $0 BUILD_DIRECTORY}") || exit 1
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
report=$top/bench/report.sh
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
failed=0

fail()
{
	echo "FAILED: $*"
	failed=1
}

# A csv file: its heading, the number of its fields, at least so many lines, figures where they belong.
check_csv()
{
	local file=$1 heading=$2 lines=$3 figure=$4

	[[ $(head -n 1 "$file") == "$heading" ]] || fail "$file begins with $(head -n 1 "$file")"
	awk -F, -v n="$(tr ',' '\n' <<<"$heading" | wc -l)" -v figure="$figure" -v lines="$lines" '
		NF != n { print FILENAME ":" FNR ": " NF " fields: " $0; bad = 1 }
		FNR > 1 && $figure !~ /^[0-9.e+]+$/ { print FILENAME ":" FNR ": no figure: " $0; bad = 1 }
		END { if (NR < lines) print FILENAME ": only " NR " lines"; exit bad || NR < lines }' "$file" ||
		fail "$file"
}

# Each table's rows have as many cells as its heading; nothing that awk could not print.
check_markdown()
{
	awk -F'|' '
		/^\|/ && !inside { cells = NF; inside = 1; tables++ }
		/^\|/ && NF != cells { print FILENAME ":" FNR ": " NF - 2 " cells, not " cells - 2 ": " $0; bad = 1 }
		!/^\|/ { inside = 0 }
		/nan|inf\>/ { print FILENAME ":" FNR ": " $0; bad = 1 }
		END { if (tables < 15) print "only " tables " tables"; exit bad || tables < 15 }' "$1" || fail "$1"
}

check_svg()
{
	if command -v xmllint >/dev/null; then
		xmllint --noout "$1" || fail "$1 is not well formed"
	fi
	[[ $(head -c 4 "$1") == "<svg" && $(tail -n 1 "$1") == "</svg>" ]] || fail "$1 is no whole picture"
	grep -q '<polyline.*points="[0-9]' "$1" || fail "$1 has no curve"
	! grep -Eq 'nan|inf[" ,]' "$1" || fail "$1 has a point nowhere"
	grep -q '>libdsm, ' "$1" || fail "$1 does not show libdsm"
}

check_results()
{
	local test svg plots=0

	check_csv "$out/report.csv" test,size,ranks,system,repeat,value,unit 300 6
	check_csv "$out/medians.csv" test,size,ranks,system,unit,median,least,most,runs 300 6
	for test in get put get_again put_again barrier fetch_add relock lock_handover; do
		grep -q "^$test,[0-9]*,3,libdsm" "$out/report.csv" || fail "report.csv has no $test of 3 ranks"
	done
	grep -q "^read_miss,4096,2,floor: .*SIGBUS" "$out/report.csv" || fail "report.csv has no inline floor"
	for svg in "$out"/{get,put}-{latency,rate}-{2,3}.svg; do
		check_svg "$svg"
		grep -qF "](${svg##*/})" "$out/report.md" || fail "report.md does not show ${svg##*/}"
		((++plots))
	done
	check_markdown "$out/report.md"
	echo "ok: $(wc -l <"$out/report.csv") figures, $plots plots"
}

# Each peer is measured, or its column says that it is missing, and why.
check_peers()
{
	local peer

	for peer in openmpi mpich openshmem; do
		if ! grep -q "^$peer: " "$out/missing"; then
			grep -q "^barrier,0,2,$peer," "$out/report.csv" || grep -q "^$peer" "$out/notes" ||
				fail "$peer is neither measured nor missing"
		elif ! grep -q "^Missing: $peer: ..*" "$out/report.md"; then
			fail "report.md does not say why $peer is missing"
		fi
	done
}

# The same figures without MPICH's: the column stays, and says so.
check_missing()
{
	local without=$tmp/without

	mkdir "$without"
	cp "$out/notes" "$out/systems" "$out/machine" "$without/"
	grep -v ',mpich,' "$out/report.csv" >"$without/report.csv"
	echo "mpich: not installed (Debian: mpich libmpich-dev)" >"$without/missing"
	"$report" --from "$without" >/dev/null || fail "--from without MPICH's figures"
	grep -q '^| N |.* MPICH (missing) |' "$without/report.md" || fail "MPICH's column does not say that it is missing"
	grep -q '^Missing: mpich: not installed (Debian: mpich' "$without/report.md" || fail "it is not said why"
	check_markdown "$without/report.md"
}

# expect STATUS SENTENCE ARGUMENT...: of report.sh; expect_of PROGRAM ...: of another.
expect()
{
	expect_of "$report" "$@"
}

expect_of()
{
	local status=0

	"$1" "${@:4}" >"$tmp/said" 2>&1 || status=$?
	((status == $2)) || fail "${1##*/} ${*:4}: status $status, not $2"
	grep -qF -- "$3" "$tmp/said" || fail "${1##*/} ${*:4} does not say: $3"
}

check_refusals()
{
	expect 2 "--fast: no such option" --fast
	expect 2 "--out needs a directory" --out
	expect 2 "usage: " everything
	expect 2 "--docs takes no --quick run" --docs --quick
	expect 1 "$tmp/report.csv: no such file" --from "$tmp"
	expect 1 "$tmp/bench/dsm_bench: no such program" --build "$tmp"
	expect 0 "--quick" --help
	expect 1 "is of a --quick run" --docs --from "$out"
	expect_of "$build/bench/dsm_bench" 2 "--format=cvs: give text, json or csv" --format=cvs get
	expect_of "$build/bench/dsm_bench" 2 "--sizes=8,,4K: give up to" --sizes=8,,4K get
	expect_of "$build/bench/dsm_bench" 2 "--sizes=32M: give up to" --sizes=32M get
	expect_of "$build/bench/dsm_bench" 2 "--blocks=0: give a number" --blocks=0 get
	expect_of "$build/bench/dsm_bench" 2 "--system=a,b: give a name" --system=a,b get
	expect_of "$build/bench/dsm_bench" 2 "did you mean get" got
	echo "size,system" >"$tmp/report.csv"
	expect 1 "is no report" --from "$tmp"
}

"$build/tools/dsm_info" --check >"$tmp/check" 2>&1 || {
	echo "skipped: libdsm cannot run here: $(grep -i fail "$tmp/check" | head -n 1)"
	exit 77
}
start=$SECONDS
"$report" --quick --no-install --build "$build" --out "$out" >"$tmp/said" 2>&1 || {
	fail "report.sh --quick: status $?"
	cat "$tmp/said" "$out/report.log"
	exit 1
}
echo "ok: report.sh --quick took $((SECONDS - start)) s"
check_results
check_peers
check_missing
check_refusals
exit $failed
