#!/bin/sh
# SPDX-License-Identifier: MIT
# under_mpirun.sh RANKS PROGRAM [ARGUMENT...]: run a test under mpirun, also as root and with more
# ranks than processors. Exit status 77, with the reason: there is no mpirun.
ranks=$1
shift
if ! command -v mpirun >/dev/null; then
	echo "skipped: mpirun is not installed (Debian: openmpi-bin)"
	exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
