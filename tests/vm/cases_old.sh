# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # names of run.sh and lab.sh
#
# Cases in a guest with Debian 12's own kernel, 6.1, which is too old: its userfaultfd cannot map a
# page write-protected in one step.

boot_guests()
{
	export DSM_VM_KERNEL=amd64
	lab_rxe=0
	lab_boot 1
}

info()
{
	refuses 1 20 "$build/tools/dsm_info --check" "Linux 6.6 has all that libdsm needs" &&
		in_guest 1 20 "uname -r" && says "^6\.1\."
}

program()
{
	refuses 1 20 "$build/examples/01_hello" "userfaultfd of this kernel lacks .* Linux 6.6"
}

run_cases()
{
	check info info
	check program program
}
