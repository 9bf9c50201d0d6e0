/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Command line flags as tables, over getopt_long. Prints no error and never exits. */
#ifndef SOCKTABLES_OPTIONS_H
#define SOCKTABLES_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "err.h"

struct option_row {
	const char *name; /* long name, without the dashes; NULL ends a table */
	char letter;	  /* short name, 0 if there is none */
	const char
		*metavar; /* what --help calls the value, "[=WHAT]" if it may be left out; NULL: a
			      * boolean */
	const char *help;
	/* Takes one value into ctx; for a boolean NULL means the flag stood alone. A flag given
	 * twice is set twice, and the last one must win. Returns 0 or -errno with e filled.
	 */
	int (*set)(void *ctx, const struct option_row *row, const char *value, struct st_err *e);
	size_t offset; /* of the field in ctx, for setters that serve many rows */
};

struct option_table {
	const char *title; /* of its part of --help */
	const struct option_row *rows;
	void *ctx; /* for its setters; not needed for options_help() */
};

#define OPTIONS_HELP (-ECANCELED) /* --help or -h was given */

/* Parses argv[1..] of "socktables COMMAND"; flags and arguments may mix, "--" ends the flags, a
 * long flag may be cut short as long as it is clear. Reorders argv: the arguments become its last
 * ones. Returns how many arguments there are, OPTIONS_HELP, or -EINVAL/-ENOMEM with e filled.
 * getopt_long has one state for the process: not for two threads at once.
 */
int options_parse(const char *command, const struct option_table *tables, size_t nr_tables,
		  int argc, char **argv, struct st_err *e);

void options_help(FILE *f, const struct option_table *tables, size_t nr_tables);

/* The row of that long name, or NULL. For values that come from somewhere else. */
const struct option_row *options_find(const struct option_row *rows, const char *name);

/* How messages call a flag, e.g. -b/--istio-inbound-ports. Into text[OPTION_TEXT_MAX]. */
#define OPTION_TEXT_MAX 80
void option_print(const struct option_row *row, char *text);

/* Setter of a boolean: an int at row->offset of ctx. */
int option_set_bool(void *ctx, const struct option_row *row, const char *value, struct st_err *e);

#endif
