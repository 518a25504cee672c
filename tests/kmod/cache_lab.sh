# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Guests with a cache: lab.sh, with the plugin cache_model in each QEMU. Sourced.

# shellcheck source=tests/vm/lab.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../vm/lab.sh"
cache_lab_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

# cache_lab_build DIRECTORY: the plugin; what it sees goes to DIRECTORY/model.out. After lab_fetch.
cache_lab_build()
{
	if (($(cat "$lab_set"/qemu "$lab_set"/host/qemu 2>/dev/null | head -n 1) < 10)); then
		echo "skipped: QEMU is older than 10, whose plugins can read registers"
		return 77
	fi
	cache_lab_dir=$1
	"${CC:-cc}" -shared -fPIC -O2 -Wall -Wextra -Wshadow -Werror -fvisibility=hidden -D_GNU_SOURCE= \
		"$cache_lab_here/cache_model.c" -o "$cache_lab_dir/cache_model.so"
}

# The guest's machine as ever, with the plugin.
eval "$(declare -f lab_machine | sed '1s/lab_machine/cache_lab_machine/')"
lab_machine()
{
	cache_lab_machine "$@"
	lab_command=("${lab_command[@]/thread=multi/thread=single}"
		-plugin "$cache_lab_dir/cache_model.so,out=$cache_lab_dir/model.out")
}
