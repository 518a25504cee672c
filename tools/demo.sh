#!/bin/bash
# SPDX-License-Identifier: MIT
#
# From a fresh Debian machine to a result: installs what is missing, builds into build/, and ranks
# the packages of this machine on four ranks that share memory.
set -u
# shellcheck source=tools/common.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common.sh"

usage()
{
	cat <<END
usage: $self [--no-install] [FILE]
  Build libdsm and run examples/05_pagerank on 4 ranks.
  FILE          rank this instead of /var/lib/dpkg/status (the same format, or two names a line)
  --no-install  never call apt-get; say what is missing
END
}

# Four ranks by mpirun; where that is not there, by hand.
run_pagerank()
{
	local program=$top/build/examples/05_pagerank

	if has_command mpirun && has_library pmix; then
		limited 300 mpirun --oversubscribe -n 4 "$program" "$@"
		return
	fi
	# shellcheck disable=SC2016 # expanded by the inner shell
	limited 300 bash -c '
		export DSM_SIZE=4 DSM_ROOT=127.0.0.1:$((20000 + RANDOM % 10000)) DSM_TOKEN=demo-$$-$RANDOM
		for rank in 1 2 3; do DSM_RANK=$rank "$@" & done
		DSM_RANK=0 "$@"
		status=$?
		wait
		exit $status' bash "$program" "$@"
}

install=1
while (($#)); do
	case $1 in
	--no-install) install=0 ;;
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done
(($# > 1)) && { usage >&2; exit 2; }
if (($#)); then
	[[ -r $1 ]] || die "$1: no such file, or not readable"
elif [[ ! -r /var/lib/dpkg/status ]]; then
	set -- "$top/tests/examples/data/packages.txt"
	say "no /var/lib/dpkg/status here: ranking $1"
fi

provide $install needs_build wants_launch
options=()
[[ -f $top/build/CMakeCache.txt ]] || options=(-DDSM_BUILD_TESTS=OFF)
say "building into $top/build"
configure "$top/build" "${options[@]}" || die "could not configure"
build "$top/build" 600 || die "could not build"

allow_mpirun
export DSM_STATS=1
say "4 ranks at work on ${1:-/var/lib/dpkg/status}"
run_pagerank "$@" || {
	status=$?
	[[ -x $top/build/tools/dsm_info ]] && "$top/build/tools/dsm_info" --check >&2
	die "the ranks did not succeed (status $status); what this machine lacks is named above"
}
