/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line of a file of tests/import changed, and what import says then. */
#ifndef SOCKTABLES_IMPORT_REFUSALS_H
#define SOCKTABLES_IMPORT_REFUSALS_H

struct refusal {
	const char *file; /* NULL ends the table */
	const char *find; /* the first line that has this in it ... */
	const char *put;  /* ... is replaced by these ('&': itself), or dropped if NULL */
	const char *at;	  /* what is in the line that is named; NULL: the first of put */
	const char *why;
};

extern const struct refusal refusals[];

#endif
