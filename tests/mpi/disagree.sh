#!/bin/sh
# SPDX-License-Identifier: MIT
# disagree.sh JOIN: ranks that do not go together, started by hand. Each must end by itself, in time,
# with status 1 and with a sentence that names what is wrong.
join=$1
here=$(dirname "$0")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failures=0
count=0

# start PATTERN [VARIABLE=VALUE...] [-- ARGUMENT]: a rank that is to fail with such a sentence.
start() {
	count=$((count + 1))
	echo "$1" >"$dir/pattern.$count"
	shift
	variables=
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		variables="$variables $1"
		shift
	done
	[ $# -gt 0 ] && shift
	# shellcheck disable=SC2086 # several variables, none with a space
	env DSM_TIMEOUT_MS=1200 "DSM_ROOT=127.0.0.1:$port" $variables timeout 20 "$join" "$@" \
		>"$dir/out.$count" 2>"$dir/err.$count" &
	echo $! >"$dir/pid.$count"
}

# begin: before the ranks of a case.
begin() {
	port=$("$here/free_port.sh")
	count=0
}

# end NAME: wait for the case's ranks and look at what they said.
end() {
	i=0
	good=1
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		wait "$(cat "$dir/pid.$i")"
		status=$?
		if [ "$status" -ne 1 ] || ! grep -q -e "$(cat "$dir/pattern.$i")" "$dir/err.$i"; then
			good=0
			echo "$1: process $i: status $status (1 is right), wanted: $(cat "$dir/pattern.$i")"
			sed 's/^/    /' "$dir/err.$i" "$dir/out.$i"
		fi
	done
	[ "$good" = 1 ] && echo "$1: right"
	failures=$((failures + 1 - good))
}

two="DSM_SIZE=2"

begin
start "rank 1 .*base address 0x7e9000000000" DSM_RANK=0 $two
start "rank 0 .*base address 0x7e8000000000" DSM_RANK=1 $two DSM_BASE=0x7e9000000000
end "another DSM_BASE"

begin
start "rank 1 .*global range of 0x800000000.*DSM_SPACE" DSM_RANK=0 $two
start "rank 0 .*global range of 0x1000000000.*DSM_SPACE" DSM_RANK=1 $two DSM_SPACE=32G
end "another DSM_SPACE"

begin
start "Rank 1 .*has ended: .*DSM_SIZE=3" DSM_RANK=0 $two DSM_TIMEOUT_MS=15000
start "DSM_SIZE=3.*DSM_SIZE=2" DSM_RANK=1 DSM_SIZE=3
end "another DSM_SIZE"

begin
start "rank 1.*DSM_TOKEN" DSM_RANK=0 $two DSM_TOKEN=abcdefgh
start "DSM_TOKEN" DSM_RANK=1 $two DSM_TOKEN=abcdefgi
end "another DSM_TOKEN"

begin
start "Rank 1 .*has ended: .*DSM_TOKEN" DSM_RANK=0 $two DSM_TIMEOUT_MS=15000
start "DSM_TOKEN" DSM_RANK=1 $two DSM_TOKEN=abcdefgi
end "a DSM_TOKEN in one"

begin
start "rank 2" DSM_RANK=0 DSM_SIZE=3
start "" DSM_RANK=1 DSM_SIZE=3
start "" DSM_RANK=1 DSM_SIZE=3
end "the same DSM_RANK twice"
if ! grep -q "Rank 1 is here already" "$dir/err.2" "$dir/err.3"; then
	echo "the same DSM_RANK twice: neither says so"
	failures=$((failures + 1))
fi

begin
start "" DSM_RANK=0 $two
start "" DSM_RANK=0 $two
end "DSM_RANK=0 twice"
if ! grep -q "cannot listen\|is taken\|in use" "$dir/err.1" "$dir/err.2"; then
	echo "DSM_RANK=0 twice: neither says that the port is taken"
	cat "$dir/err.1" "$dir/err.2"
	failures=$((failures + 1))
fi

begin
start "rank 1 .*could not start.*is taken" DSM_RANK=0 $two
start "is taken.*DSM_BASE" DSM_RANK=1 $two -- occupy
end "the global range is taken in one"

begin
start "rank 1 .*could not start.*pages of this machine have 16384 bytes" DSM_RANK=0 $two
start "pages of this machine have 16384 bytes" DSM_RANK=1 $two -- large
end "another page size"

begin
start "rank 1" DSM_RANK=0 $two
end "nobody comes"

begin
start "127.0.0.1:$port" DSM_RANK=1 $two
end "nobody is there"

begin
start "DSM_RANK is 2" DSM_RANK=2 $two
start "DSM_ROOT" DSM_RANK=0 $two DSM_ROOT=nowhere
start "DSM_SIZE" DSM_RANK=0
end "settings that make no rank"

exit "$((failures > 0))"
