/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every fuzzer of a parser demands. */
#ifndef SOCKTABLES_FUZZ_CHECK_H
#define SOCKTABLES_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/err.h"

/* Unlike assert() it is there in any build, and unlike abort() says where. */
#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

static inline void check_line(const char *text, size_t size)
{
	CHECK(memchr(text, '\0', size));
	for (; *text; text++)
		CHECK((unsigned char)*text >= ' ' && *text != 127);
}

static inline void check_error(const struct st_err *e)
{
	CHECK(e->text[0]);
	check_line(e->text, sizeof(e->text));
	check_line(e->hint, sizeof(e->hint));
}

/* The bytes as a file, which may hold anything and nothing. */
static inline FILE *bytes_open(const char *text, size_t n)
{
	FILE *f = n ? fmemopen((void *)text, n, "r") : fopen("/dev/null", "r");

	CHECK(f);
	return f;
}

#endif
