/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of pods, one a line, each with the flags that attach takes on its command line. */
#ifndef SOCKTABLES_PODS_FILE_H
#define SOCKTABLES_PODS_FILE_H

#include "err.h"

/* What becomes of a line. The first two return an exit status (enum exit_status), with e filled if that is
 * not EXIT_DONE.
 */
struct pods_line_ops {
	/* Its words; argv[0] is none of it. What comes of them, *ret, may point into the words, which outlive it.
	 * Nothing is done yet.
	 */
	int (*parse)(void *ctx, int argc, char **argv, void **ret, struct st_err *e);
	int (*run)(void *parsed, struct st_err *e);
	void (*free)(void *parsed); /* also NULL, and what parse left behind when it failed */
};

/* All lines are parsed before anything is done, and one that is wrong is all that comes of it. None is parsed
 * twice: lists may be in pipes. Then a failure is told on stderr, and the others are done. PATH: "-" is stdin.
 * Blanks separate words, '...' and "..." keep them together, # at the beginning of a word makes the rest of
 * the line a comment. How far it has come is shown on stderr, if that is a terminal. Returns an exit status,
 * with e filled if that is not EXIT_DONE.
 */
int pods_file_run(const char *path, const struct pods_line_ops *ops, void *ctx, struct st_err *e);

#endif
