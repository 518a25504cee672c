#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh TARGET [SECONDS [BUILD]]: build the fuzz targets with clang's libFuzzer, address and
# undefined-behaviour sanitizers, in a directory of their own (default: build/fuzz), and run one for
# so long (default: 20; 0: until stopped) on the corpus. In up to a minute it is the same run every
# time, as far as the machine's speed allows; beyond, each has another seed.
#
# What it finds that is new goes to BUILD/corpus/TARGET; what fails, to BUILD/TARGET-*, and its path
# is printed. Exit status 77, with the reason: there is no libFuzzer here.
set -u
target=${1:?usage: $0 config|launch|ring|attach|message [SECONDS [BUILD]]}
seconds=${2:-20}
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
mkdir -p "$build/corpus/$target"
build_targets

seed=1
[ "$seconds" -ge 1 ] && [ "$seconds" -le 60 ] || seed=$(date +%s)
unset "${!DSM_@}" # the environment is an input
export UBSAN_OPTIONS=print_stacktrace=1
"$build/tests/fuzz/fuzz_$target" -seed="$seed" -max_total_time="$seconds" -timeout=10 \
	-max_len=600 -len_control=0 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	-artifact_prefix="$build/$target-" "$build/corpus/$target" "$here/corpus/$target" \
	>"$build/$target.log" 2>&1
status=$?
if [ $status -ne 0 ]; then
	tail -n 60 "$build/$target.log"
	echo "FAILED: again by: $build/tests/fuzz/fuzz_$target $build/$target-*"
	exit 1
fi
awk -v target="$target" -v seed="$seed" -v seconds="$seconds" '
	/stat::number_of_executed_units/ { n = $2 }
	/stat::new_units_added/ { found = $2 }
	END { printf "%s: %d inputs in %d s from seed %d, %d of them new\n", target, n, seconds, seed,
		found }' "$build/$target.log"
