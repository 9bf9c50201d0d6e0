/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* --watch[=SECONDS]: the same picture again and again, until Ctrl-C. */
#ifndef SOCKTABLES_WATCH_H
#define SOCKTABLES_WATCH_H

#include <stdio.h>

#include <linux/types.h>

#include "err.h"
#include "options.h"
#include "term.h"

#define WATCH_HELP "the same again every so many seconds (2) until Ctrl-C"

/* Setter of a row: a __u32 at row->offset of ctx, seconds; 0, as it should be before: not given. */
int watch_set(void *ctx, const struct option_row *row, const char *value, struct st_err *e);

/* Draws what there is to see now into f, as for T. Returns an exit status. */
typedef int (*watch_draw)(void *ctx, FILE *f, const struct term *t, struct st_err *e);

/* Draws once, or every so many seconds: on a terminal in the place of the last picture, else behind it.
 * Returns the first exit status that is not EXIT_DONE, or EXIT_DONE after SIGINT or SIGTERM.
 */
int watch_run(__u32 seconds, watch_draw draw, void *ctx, struct st_err *e);

/* A line with the time, before a picture for people. */
void watch_stamp(FILE *f);

#endif
