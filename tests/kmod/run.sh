#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh ARCHITECTURE KERNEL DIRECTORY: build the module for a Debian kernel (6.12-amd64, 6.12-arm64,
# 6.12-arm64-16k; amd64 and arm64 are 6.1's) in DIRECTORY, boot a guest with that kernel, and run
# the module's tests in it. The guest's kernel must have nothing to complain of.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
export DSM_VM_ARCH=$1 DSM_VM_KERNEL=$2 DSM_VM_RXE=0 DSM_VM_CPUS=2
dir=$(realpath -m "$3")
mkdir -p "$dir" || exit 1
DSM_VM_EXPOSE=$dir
# shellcheck source=tests/vm/lab.sh
. "$here/../vm/lab.sh"

lab_fetch || exit
# The guest's own release: Debian's newest may be newer than what is kept.
"$here/build.sh" "$(cat "$lab_set/kver")" "$dir" || exit
trap lab_off EXIT
lab_boot 1 || exit
status=0
lab_run 1 240 "cd '$dir' && uname -rm && ./guest_test dsm_cache.ko" || status=1
lab_output "$lab_job"
lab_check || status=1
exit $status
