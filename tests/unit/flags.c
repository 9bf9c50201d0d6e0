/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int flags_parse(struct config *c, const char *a, const char *b, struct st_err *e)
{
	struct option_table table = { "Policy", config_options, c };
	char *argv[] = { "test", a ? strdup(a) : NULL, b ? strdup(b) : NULL, NULL };
	char *first = argv[1], *second = argv[2]; /* getopt moves them about */
	int err;

	*e = (struct st_err){ 0 };
	assert_int_equal(config_init(c, e), 0);
	err = options_parse("test", &table, 1, 1 + !!a + !!b, argv, e);
	free(first);
	free(second);
	return err;
}

void flags_accept(struct config *c, const char *a, const char *b)
{
	struct st_err e;

	if (flags_parse(c, a, b, &e))
		fail_msg("%s %s: %s", a, b ? b : "", e.text);
}
