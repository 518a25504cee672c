/* SPDX-License-Identifier: MIT */
/* The least program that uses libdsm: it shows that header, library and flags belong together. */
#include <stdio.h>
#include <dsm/dsm.h>

int main(void)
{
	printf("libdsm %s\n", dsm_version_string());
	return dsm_version() / 10000 != DSM_VERSION_MAJOR;
}
