# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What demo.sh and test.sh share: find out what is missing and install it, build, and run with a
# time limit. Sourced by them; sets `top`, the top of the tree.
#
# Whatever runs for long runs through limited(), which is the one place that starts processes in the
# background; they end with the script, also when it is interrupted.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
self=${0##*/}
running=

say()
{
	printf '%s: %s\n' "$self" "$*"
}

die()
{
	printf '%s: %s\n' "$self" "$*" >&2
	exit 1
}

end_running()
{
	[[ -n $running ]] || return 0
	kill -TERM "$running" 2>/dev/null
	wait "$running" 2>/dev/null
	running=
}

trap end_running EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# limited SECONDS COMMAND [ARGUMENT...]: run it; status 124 if it was ended at its limit.
limited()
{
	local status=0

	# timeout leads a process group of its own, and ends all of it: 10 s after TERM by KILL.
	timeout ${foreground:+--foreground} -k 10 "$@" </dev/null &
	running=$!
	wait "$running" || status=$?
	running=
	return $status
}

# quietly LOG SECONDS COMMAND [ARGUMENT...]: output goes to LOG; its end is shown on failure.
quietly()
{
	local log=$1 status=0

	shift
	mkdir -p "$(dirname "$log")"
	limited "$@" >"$log" 2>&1 || status=$?
	if ((status)); then
		tail -n 25 "$log" >&2
		((status == 124)) && say "ended after $1 s: ${*:2}" >&2
		say "all of it is in $log" >&2
	fi
	return $status
}

#
# What the machine has. Each need is "package|test"; the names are Debian's, the tests ask for the
# thing itself, so that it may come from elsewhere.
#

has_command()
{
	local command

	for command in "$@"; do
		command -v "$command" >/dev/null 2>&1 && return 0
	done
	return 1
}

has_header()
{
	printf '#include <%s>\n' "$1" | "${CC:-cc}" -E -x c - >/dev/null 2>&1
}

has_library()
{
	pkg-config --exists "$1" 2>/dev/null
}

# clang's libFuzzer, for tests/fuzz.
has_fuzzer()
{
	local file

	file=$(clang -fsanitize=fuzzer -### -x c /dev/null 2>&1 |
		grep -o '[^" ]*libclang_rt\.fuzzer[^" ]*\.a' | head -n 1)
	[[ -n $file && -f $file ]]
}

needs_build=(
	"gcc|has_command cc gcc clang"
	"libc6-dev|has_header stdio.h"
	"cmake|has_command cmake"
	"ninja-build|has_command ninja make"
	"pkg-config|has_command pkg-config"
	"liburcu-dev|has_library liburcu"
	"libnuma-dev|has_library numa"
)
wants_launch=(
	"libpmix-dev|has_library pmix"
	"openmpi-bin|has_command mpirun"
	"libibverbs-dev|has_library libibverbs"
	"librdmacm-dev|has_library librdmacm"
)
# What bench/report.sh compares with.
wants_peers=(
	"openmpi-bin|has_command mpirun.openmpi mpirun"
	"libopenmpi-dev|has_command mpicc.openmpi mpicc"
	"mpich|has_command mpirun.mpich mpiexec.hydra"
	"libmpich-dev|has_command mpicc.mpich"
)
needs_test=("libcmocka-dev|has_library cmocka")
wants_test=(
	"systemtap-sdt-dev|has_header sys/sdt.h"
	"libopenmpi-dev|has_command mpicc"
	"g++|has_command g++ clang++"
	"spin|has_command spin"
	"make|has_command make"
	"gcc-12|has_command gcc-12"
	"gcc-aarch64-linux-gnu|has_command aarch64-linux-gnu-gcc-12"
	"libc6-dev-arm64-cross|test -e /usr/aarch64-linux-gnu/lib/libc.a"
)
wants_full_test=(
	"clang|has_command clang"
	"libclang-rt-dev|has_fuzzer"
	"valgrind|has_command valgrind"
	"clang-format|has_command clang-format"
	"gcovr|has_command gcovr lcov"
)

# missing NEED...: the packages whose test fails, one a line.
missing()
{
	local need

	for need in "$@"; do
		${need#*|} || printf '%s\n' "${need%%|*}"
	done
}

# As root, by sudo, or empty if neither will do.
as_root()
{
	if ((EUID == 0)); then
		echo env
	elif has_command sudo && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
		echo sudo env
	fi
}

# apt_install PACKAGE...: a machine without package lists fetches them first.
apt_install()
{
	local -a apt=($(as_root))
	local log=$top/build/log/apt.log
	local foreground=1 # sudo stops when it is not in the terminal's process group

	if ! has_command apt-get; then
		say "there is no apt-get here" >&2
		return 1
	elif ((${#apt[@]} == 0)); then
		say "not root, and sudo is not there or wants a password" >&2
		return 1
	fi
	# It asks for the password here, where stdin is still the terminal.
	[[ ${apt[0]} != sudo ]] || sudo true || return 1
	apt+=(DEBIAN_FRONTEND=noninteractive apt-get -q -y)
	if ! limited 600 "${apt[@]}" install --no-install-recommends "$@" >/dev/null 2>&1; then
		quietly "$log" 300 "${apt[@]}" update || return 1
		quietly "$log" 900 "${apt[@]}" install --no-install-recommends "$@"
	fi
}

# provide INSTALL NEEDS WANTS: names of arrays of what must be there and what is better there.
# Without the first the script ends; without the second it goes on.
provide()
{
	local install=$1
	local -n needs_=$2 wants_=$3
	local -a lack

	mapfile -t lack < <(missing "${needs_[@]}" "${wants_[@]}")
	((${#lack[@]})) || return 0
	if ((install)); then
		say "installing what is missing: ${lack[*]}"
		apt_install "${lack[@]}" || say "apt-get could not install it" >&2
	fi
	mapfile -t lack < <(missing "${wants_[@]}")
	((${#lack[@]})) && say "going on without: ${lack[*]}" >&2
	mapfile -t lack < <(missing "${needs_[@]}")
	((${#lack[@]} == 0)) ||
		die "missing: ${lack[*]}; as root: apt-get update && apt-get install ${lack[*]}"
}

# configure DIRECTORY [OPTION...]: with ninja where it is there; keeps a build that has been made.
configure()
{
	local dir=$1 home
	local -a generator=()

	shift
	home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$dir/CMakeCache.txt" 2>/dev/null)
	if [[ -n $home && $home != "$top" ]]; then
		rm -rf "$dir/CMakeCache.txt" "$dir/CMakeFiles" # the tree was moved or copied
		home=
	fi
	[[ -z $home ]] && has_command ninja && generator=(-G Ninja)
	quietly "$top/build/log/configure-${dir##*/}.log" 120 \
		cmake -S "$top" -B "$dir" "${generator[@]}" "$@"
}

# build DIRECTORY SECONDS
build()
{
	quietly "$top/build/log/build-${1##*/}.log" "$2" cmake --build "$1" --parallel "$(nproc)"
}

# Open MPI refuses root and more ranks than cores, unless it is told: which is this machine's
# business and not a program's.
allow_mpirun()
{
	export OMPI_MCA_rmaps_base_oversubscribe=1
	((EUID)) || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}
