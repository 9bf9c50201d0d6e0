/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A cmocka test a row, for the programs that ask different verdicts the same rows. */
#ifndef SOCKTABLES_ROWS_RUN_H
#define SOCKTABLES_ROWS_RUN_H

#include "rows.h"

/* Fails the current test unless v is what the row wants. */
void row_check(const struct row *row, struct verdict v);

/* The main() of such a program: argv[1] is the table, tests/cases.tsv if it is missing. Each test
 * gets its struct row as *state. Returns an exit status.
 */
int rows_run(int argc, char **argv, const char *group, void (*test)(void **state),
	     int (*setup)(void **state), int (*teardown)(void **state));

#endif
