#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh PROGRAM [ARGUMENT...]: run a unit test under valgrind. Errors in it and in the children that
# it forks fail it; leaks count in the program itself alone: a child of a process with threads has
# what these had at hand, and leaves by _exit().
# Exit status 77, with the reason: there is no valgrind.
set -u
: "${1:?usage: $0 PROGRAM [ARGUMENT...]}"

if ! command -v valgrind >/dev/null; then
	echo "skipped: valgrind is not installed (Debian: valgrind)"
	exit 77
fi
ulimit -c 0 # valgrind writes a core of its own of a child that is meant to fault
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT

valgrind -q --error-exitcode=99 --errors-for-leak-kinds=none \
	--leak-check=full --show-leak-kinds=definite --log-file="$logs/%p" "$@" &
pid=$!
wait $pid
status=$?
# A child that is meant to be killed is reported, too, which is no error.
if ((status)); then
	grep -hv 'WARNING: unhandled\|You may be able to\|README_MISSING\|consider this a bug\|it at http' \
		"$logs"/* | head -n 100
fi
if grep -q 'definitely lost in loss record' "$logs/$pid"; then
	cat "$logs/$pid"
	status=1
fi
exit $status
