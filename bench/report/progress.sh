# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Progress of steps that take long: on a terminal a bar with the time that is left, else a line a
# step. Sourced. A step has a kind; how long a kind takes is known as soon as one of it is done,
# until then it counts as much as progress_guess_ms says, or the average.
declare -A progress_guess_ms=()

# progress_begin STEP...: "REPEAT|RANKS|NAME|..." each, whose kind is "NAME RANKS".
progress_begin()
{
	local step repeat ranks name

	progress_kinds=()
	progress_at=0
	declare -gA progress_ms=()
	for step in "$@"; do
		IFS='|' read -r repeat ranks name _ <<<"$step"
		progress_kinds+=("$name $ranks")
	done
	: "$repeat"
	progress_start_ms=$(progress_now_ms)
}

progress_now_ms()
{
	echo $((${EPOCHREALTIME//[.,]/} / 1000))
}

# Milliseconds that the steps from this one on will take; empty as long as none is done.
progress_left_ms()
{
	local kind sum=0 mean=0 left=0

	((${#progress_ms[@]})) || return 0
	for kind in "${!progress_ms[@]}"; do
		sum=$((sum + progress_ms[$kind]))
	done
	mean=$((sum / ${#progress_ms[@]}))
	for kind in "${progress_kinds[@]:progress_at}"; do
		left=$((left + ${progress_ms[$kind]:-${progress_guess_ms[$kind]:-$mean}}))
	done
	echo $left
}

progress_time()
{
	local s=$((($1 + 500) / 1000))

	if ((s >= 100)); then
		echo "$(((s + 30) / 60)) min"
	else
		echo "$s s"
	fi
}

# progress_step WHAT KIND: a step begins.
progress_step()
{
	local left spent=$(($(progress_now_ms) - progress_start_ms)) share=0 bar=

	left=$(progress_left_ms)
	[[ -z $left ]] || share=$((spent + left ? 100 * spent / (spent + left) : 0))
	progress_step_ms=$(progress_now_ms)
	if [[ ! -t 2 ]]; then
		printf '%s: %s%s\n' "$self" "$1" "${left:+; $(progress_time "$left") left}" >&2
		return
	fi
	printf -v bar '%*s' $((share / 5)) ''
	printf '\r\033[K[%-20s] %3d %%  %s%s' "${bar// /#}" "$share" "$1" \
		"${left:+; $(progress_time "$left") left}" >&2
}

# progress_done KIND: it has ended.
progress_done()
{
	progress_ms[$1]=$(($(progress_now_ms) - progress_step_ms))
	((++progress_at))
}

progress_end()
{
	[[ ! -t 2 ]] || printf '\r\033[K' >&2
	say "measured for $(progress_time $(($(progress_now_ms) - progress_start_ms)))" >&2
}
