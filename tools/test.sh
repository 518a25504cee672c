#!/bin/bash
# SPDX-License-Identifier: MIT
#
# All tests: formatting; gcc and clang builds; address, undefined-behaviour and thread sanitizers;
# line coverage; guests in QEMU. Installs what is missing. Builds are kept in build/, one directory a step.
set -u
# shellcheck source=tools/common.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common.sh"

limit_s=4200 # of everything; on a machine of two processors it takes half of that
steps=(format main clang asan tsan coverage vm)
results=()
failures=()
wrapper=() # what ctest runs under

usage()
{
	cat <<END
usage: $self [--quick] [--no-install] [STEP...]
  Build libdsm and run its tests; takes at most $((limit_s / 60)) minutes.
  STEP          of: ${steps[*]} (default: all)
  --quick       only main: the build in build/, and all tests in it
  --no-install  never call apt-get; say what is missing
END
}

left_s()
{
	local left=$((limit_s - SECONDS))

	echo $((left > 1 ? left : 1))
}

# run_ctest DIRECTORY [OPTION...]: tests of one process each side by side, then the others one by
# one, because each of them has several ranks; those in guests have a step of their own. Counts go to
# `counts`.
run_ctest()
{
	local dir=$1 status=0 log alone='unit|valgrind|model|sim|fuzz'
	local -a ctest=("${wrapper[@]}" ctest --output-on-failure --timeout 120 --no-tests=ignore --test-dir "$dir")

	log=$top/build/log/ctest-${dir##*/}
	shift
	limited "$(left_s)" "${ctest[@]}" "$@" -O "$log-unit.log" -L "^($alone)\$" -j 2 || status=1
	limited "$(left_s)" "${ctest[@]}" "$@" -O "$log.log" -LE "^($alone|vm|kmod)\$" || status=1
	counts=$(awk '/tests passed,/ { failed += $4; all += $NF }
		/\*\*\*Skipped/ { skipped++ }
		END { printf "%d tests, %d failed, %d skipped", all, failed, skipped }' \
		"$log-unit.log" "$log.log" 2>/dev/null)
	if [[ $counts == 0\ tests* ]]; then
		say "no test was run in $dir" >&2
		status=1
	fi
	return $status
}

# make_build DIRECTORY [OPTION...]
make_build()
{
	configure "$1" -DDSM_BUILD_TESTS=ON "${@:2}" && build "$1" "$(left_s)"
}

step_format()
{
	local -a files

	if ! has_command clang-format; then
		counts="clang-format is not installed"
		return 77
	fi
	mapfile -t files < <(find "$top"/{bench,examples,include,kmod,lib,tests,tools} \
		-name '*.[ch]' 2>/dev/null | sort)
	counts="${#files[@]} files"
	limited 120 clang-format --dry-run -Werror "${files[@]}"
}

step_main()
{
	make_build "$top/build" && run_ctest "$top/build"
}

# Warnings are errors here and in the sanitizers' builds, which are gcc's.
step_clang()
{
	if ! has_command clang; then
		counts="clang is not installed"
		return 77
	fi
	make_build "$top/build/clang" -DCMAKE_C_COMPILER=clang -DDSM_WERROR=ON &&
		run_ctest "$top/build/clang" -L 'unit|mpi'
}

# suppressions KIND: the option that names the file of them, if the tree has one.
suppressions()
{
	[[ ! -f $top/tests/$1.supp ]] || echo ":suppressions=$top/tests/$1.supp"
}

step_asan()
{
	local -x UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS
	LSAN_OPTIONS=print_suppressions=0$(suppressions lsan)

	make_build "$top/build/asan" -DDSM_SANITIZE=address,undefined -DDSM_WERROR=ON &&
		run_ctest "$top/build/asan" -L 'unit|mpi'
}

step_tsan()
{
	local -x TSAN_OPTIONS
	local -a wrapper=()

	# gcc 12's thread sanitizer cannot start where addresses are more random than this.
	if (($(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0) > 28)) &&
		setarch "$(uname -m)" -R true 2>/dev/null; then
		wrapper=(setarch "$(uname -m)" -R)
	fi
	TSAN_OPTIONS=second_deadlock_stack=1$(suppressions tsan)

	make_build "$top/build/tsan" -DDSM_SANITIZE=thread -DDSM_WERROR=ON &&
		run_ctest "$top/build/tsan" -L 'unit|mpi'
}

# Lines of lib/ that the tests run. Ranks that are killed leave no counts.
print_coverage()
{
	local dir=$1 log=$top/build/log/coverage.log info=$1/coverage.info

	if has_command gcovr; then
		quietly "$log" "$(left_s)" gcovr --root "$top" --filter "$top/lib/" \
			--object-directory "$dir" "$dir" || return 1
		awk '$1 == "TOTAL" { print $NF }' "$log" >"$dir/percent"
	elif has_command lcov; then
		quietly "$log" "$(left_s)" lcov --quiet --capture --directory "$dir" \
			--output-file "$info" || return 1
		quietly "$log" 60 lcov --quiet --extract "$info" "$top/lib/*" \
			--output-file "$info.lib" || return 1
		quietly "$log" 60 lcov --list "$info.lib" || return 1
		awk -F '|' '/Total:/ { sub(/ .*/, "", $2); print $2 }' "$log" >"$dir/percent"
	else
		echo "? (neither gcovr nor lcov is installed)" >"$dir/percent"
		return 0
	fi
	cat "$log"
}

step_coverage()
{
	local dir=$top/build/coverage status=0

	make_build "$dir" -DDSM_COVERAGE=ON || return 1
	find "$dir" -name '*.gcda' -delete
	run_ctest "$dir" -L 'unit|mpi|kill|examples' || status=1
	print_coverage "$dir" || status=1
	counts+=", line coverage $(cat "$dir/percent" 2>/dev/null)"
	return $status
}

# Guests are slow and know nothing of compilers, so once, on the build of step main.
step_vm()
{
	local log=$top/build/log/ctest-vm.log status=0

	make_build "$top/build" || return 1
	limited "$(left_s)" ctest --output-on-failure --no-tests=error -j 2 --test-dir "$top/build" \
		-L '^(vm|kmod)$' -O "$log" || status=1
	counts=$(awk '/tests passed,/ { printf "%d tests, %d failed", $NF, $4 }
		/\*\*\*Skipped/ { skipped++ }
		END { if (skipped) printf ", %d skipped", skipped }' "$log")
	return $status
}

# Run one step and remember how it went. Status 77: skipped, for the reason in `counts`.
run_step()
{
	local start=$SECONDS status=0 how

	counts="did not build"
	if ((SECONDS >= limit_s)); then
		failures+=("$1: no time left")
		return
	fi
	say "--- $1"
	"step_$1" || status=$?
	case $status in
	0) how=passed ;;
	77) how=skipped ;;
	*)
		how=FAILED
		failures+=("$1: $counts")
		;;
	esac
	results+=("$(printf '%-8s %-7s %4d s  %s' "$1" $how $((SECONDS - start)) "$counts")")
}

install=1
quick=0
chosen=()
while (($#)); do
	case $1 in
	--quick) quick=1 ;;
	--no-install) install=0 ;;
	-h | --help) usage; exit 0 ;;
	*)
		[[ " ${steps[*]} " == *" $1 "* ]] || { usage >&2; exit 2; }
		chosen+=("$1")
		;;
	esac
	shift
done
((quick)) && chosen=(main)
((${#chosen[@]})) || chosen=("${steps[@]}")

needs=("${needs_build[@]}" "${needs_test[@]}")
wants=("${wants_launch[@]}" "${wants_test[@]}")
((quick)) || wants+=("${wants_full_test[@]}")
provide $install needs wants
allow_mpirun
unset "${!DSM_@}" # a setting of the caller's would be tested instead of the default

for step in "${chosen[@]}"; do
	run_step "$step"
done
echo
printf '%s\n' "${results[@]}"
if ((${#failures[@]})); then
	printf -v joined '; %s' "${failures[@]}"
	say "FAILED after $SECONDS s: ${joined:2}"
	exit 1
fi
say "all passed in $SECONDS s"
