/* SPDX-License-Identifier: MIT */
#ifndef DSM_VIRTUAL_DIRECTORY_H
#define DSM_VIRTUAL_DIRECTORY_H

/* Called before each atomic on a directory's words; NULL: nothing. */
extern void (*virtual_directory_hook)(void);

#endif
