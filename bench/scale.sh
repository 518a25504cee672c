#!/bin/bash
# SPDX-License-Identifier: MIT
#
# How libdsm scales, on paper: runs build/bench/scale and draws what it found. Arguments are its own
# (build/bench/scale --help); results go to build/scale, or to DSM_SCALE_DIR:
#
#	bench/scale.sh                                     # 2 to 4096 ranks, 128 racks of 32
#	bench/scale.sh --racks=4x16 --kernels=read,barrier
set -u -o pipefail
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/..")
build=${DSM_BUILD_DIR:-$top/build}
dir=${DSM_SCALE_DIR:-$build/scale}
if [[ ! -x $build/bench/scale ]]; then
	echo "${0##*/}: there is no $build/bench/scale: build it, or say by DSM_BUILD_DIR where it is" >&2
	exit 2
fi
mkdir -p "$dir" || exit

"$build/bench/scale" --csv="$dir/scale.csv" "$@" | tee "$dir/scale.txt"
status=${PIPESTATUS[0]}
[[ -s $dir/scale.csv ]] || exit "$status"

# plot FILE COLUMN BASE TITLE LABEL; a column may be empty for the kernels that were asked for.
plot()
{
	if awk -v x=ranks -v y="$2" -v y_log="$3" -v series=kernel -v title="$4" -v y_label="$5" \
		-f "$top/bench/plot.awk" "$dir/scale.csv" >"$dir/$1.svg"; then
		printf 'plot: %s\n' "$dir/$1.svg"
	else
		rm -f "$dir/$1.svg"
		status=1
	fi
}
plot messages messages_per_operation 0 'Messages per operation' messages
plot bytes bytes_per_operation 10 'Bytes on the wire per operation' bytes
plot time time_us_per_operation 10 'Time per operation, in virtual time' us
plot directory directory_bytes_per_page 0 'Directory, a page of 4096 bytes' bytes
exit "$status"
