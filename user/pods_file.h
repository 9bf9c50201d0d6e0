/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of pods, one a line, each with the flags that attach takes on its command line. */
#ifndef SOCKTABLES_PODS_FILE_H
#define SOCKTABLES_PODS_FILE_H

#include "err.h"

/* What is done with one line's words; argv[0] is no word of it. TRY: the flags are looked at and nothing is
 * done. Returns an exit status (enum exit_status), with e filled if that is not EXIT_DONE.
 */
typedef int (*pods_file_each)(void *ctx, int argc, char **argv, int try, struct st_err *e);

/* All lines are tried before anything is done, and one that is wrong is all that comes of it. Then a failure is
 * told on stderr, and the others are done. PATH: "-" is stdin. Blanks separate words, '...' and "..." keep them
 * together, # at the beginning of a word makes the rest of the line a comment. How far it has come is shown
 * on stderr, if that is a terminal. Returns an exit status, with e filled if that is not EXIT_DONE.
 */
int pods_file_run(const char *path, pods_file_each each, void *ctx, struct st_err *e);

#endif
