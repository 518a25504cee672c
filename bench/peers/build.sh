#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the peers' programs that can be built here, one for each system:
#
#	bench/peers/build.sh DIRECTORY
#
# Prints a line a system: its name, a tab, and its version, or "-", a tab and the reason why not.
# Exit status 0, however many there are.
set -u
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
dir=${1:?usage: ${0##*/} DIRECTORY}
flags=(-O2 -g -std=gnu11 -D_GNU_SOURCE= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes)
mkdir -p "$dir" || exit 1

# first COMMAND...: the first of them that is installed.
first()
{
	local command

	for command in "$@"; do
		command -v "$command" && return
	done
	return 1
}

# Debian has mpicc.openmpi and mpicc.mpich beside one another; elsewhere mpicc is one of them.
is_of()
{
	"$1" -show 2>/dev/null | grep -qi "$2"
}

# build NAME LAYER PACKAGES COMPILER...
build()
{
	local name=$1 layer=$2 packages=$3 compiler

	if ! compiler=$(first "${@:4}"); then
		printf '%s\t-\tnot installed (Debian: %s)\n' "$name" "$packages"
	elif [[ $name != openshmem ]] && ! is_of "$compiler" "$name"; then
		printf '%s\t-\t%s is of another MPI (Debian: %s)\n' "$name" "$compiler" "$packages"
	elif ! "$compiler" "${flags[@]}" -o "$dir/$name" "$here"/{main,transfers,sync}.c \
		"$here/$layer.c" "$here/../samples.c" -lm >"$dir/$name.log" 2>&1; then
		printf '%s\t-\t%s could not build it: %s\n' "$name" "$compiler" "$(head -n 1 "$dir/$name.log")"
	else
		printf '%s\t%s\n' "$name" "$(version_of "$name")"
	fi
}

# Of the package, so that no rank has to be started.
version_of()
{
	local version

	case $1 in
	mpich) version=$(mpichversion.mpich 2>/dev/null || mpichversion 2>/dev/null) ;;
	*) version=$(ompi_info --version 2>/dev/null) ;;
	esac
	head -n 1 <<<"$version" | grep -o '[0-9][0-9.]*' | head -n 1
}

build openmpi peer_mpi "openmpi-bin libopenmpi-dev" mpicc.openmpi mpicc
build mpich peer_mpi "mpich libmpich-dev" mpicc.mpich mpicc
build openshmem peer_shmem "openmpi-bin libopenmpi-dev" oshcc
