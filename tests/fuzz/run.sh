#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh TARGET [HOW_MUCH [BUILD]]: build the fuzz targets with clang's libFuzzer, address and
# undefined-behaviour sanitizers, in a directory of their own (default: build/fuzz), and run one on
# the corpus. HOW_MUCH: a number of inputs (default: 5000), which are the same every time; or as 60s,
# a time, from a seed of its own; 0s: until stopped.
#
# What a run of some time finds that is new goes to BUILD/corpus/TARGET; what fails goes to
# BUILD/TARGET-*, and its path is printed. Exit status 77, with the reason: no libFuzzer here.
set -u
target=${1:?usage: $0 config|launch|ring|attach|message [INPUTS|SECONDSs [BUILD]]}
how_much=${2:-5000}
seed=1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${3:-$top/build/fuzz}

skip()
{
	echo "skipped: $*"
	exit 77
}

has_fuzzer()
{
	local probe status

	probe=$(mktemp) || return 1
	echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n > 1u << 30; }' |
		clang -x c -fsanitize=fuzzer,address,undefined -o "$probe" - >/dev/null 2>&1
	status=$?
	rm -f "$probe"
	return $status
}

generator=()
command -v ninja >/dev/null && generator=(-G Ninja)

# One at a time: ctest may start several targets at once.
build_targets()
{
	(
		flock 9
		[ -f "$build/CMakeCache.txt" ] ||
			cmake -S "$top" -B "$build" -DCMAKE_C_COMPILER=clang -DDSM_FUZZER=ON \
				-DDSM_SANITIZE=address,undefined -DDSM_BUILD_TESTS=ON \
				-DDSM_BUILD_EXAMPLES=OFF -DDSM_BUILD_BENCH=OFF -DDSM_BUILD_TOOLS=OFF \
				"${generator[@]}" || exit 1
		cmake --build "$build" --parallel 2 --target fuzz_programs
	) 9>"$build/lock" >"$build/log" 2>&1 && return
	tail -n 25 "$build/log"
	exit 1
}

command -v clang >/dev/null || skip "clang is not installed (Debian: clang libclang-rt-dev)"
has_fuzzer || skip "clang has no libFuzzer or sanitizers here (Debian: libclang-rt-dev)"
mkdir -p "$build"
build_targets

fuzzer=("$build/tests/fuzz/fuzz_$target" -timeout=10 -max_len=600 -len_control=0
	-rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/$target-")
if [ "${how_much%s}" != "$how_much" ]; then
	mkdir -p "$build/corpus/$target"
	seed=$(date +%s)
	fuzzer+=(-seed="$seed" -max_total_time="${how_much%s}" "$build/corpus/$target"
		"$here/corpus/$target")
else
	# What makes runs differ besides the seed: where things lie in memory, the order of files in
	# a directory, and when new ones are looked for.
	find "$here/corpus/$target" -type f | sort | paste -sd, - >"$build/$target.inputs"
	rm -rf "$build/same/$target"
	mkdir -p "$build/same/$target"
	fuzzer+=(-seed="$seed" -runs="$how_much" -reload=0 -seed_inputs=@"$build/$target.inputs"
		"$build/same/$target")
	setarch "$(uname -m)" -R true 2>/dev/null && fuzzer=(setarch "$(uname -m)" -R "${fuzzer[@]}")
fi

unset "${!DSM_@}" # the environment is an input
export UBSAN_OPTIONS=print_stacktrace=1
"${fuzzer[@]}" >"$build/$target.log" 2>&1
status=$?
if [ $status -ne 0 ]; then
	tail -n 60 "$build/$target.log"
	echo "FAILED: again by: $build/tests/fuzz/fuzz_$target $build/$target-*"
	exit 1
fi
awk -v target="$target" -v seed="$seed" -v seconds="$SECONDS" '
	/stat::number_of_executed_units/ { n = $2 }
	/stat::new_units_added/ { found = $2 }
	END { printf "%s: %d inputs in %d s from seed %s, %d of them new\n", target, n, seconds, seed,
		found }' "$build/$target.log"
