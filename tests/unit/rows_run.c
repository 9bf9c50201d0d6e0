/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rows_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../user/why.h"

static const char *action_name(int action)
{
	return action == ACTION_PASS ? "pass" : "redirect";
}

void row_check(const struct row *row, struct verdict v)
{
	if (v.action == row->want.action && v.port == row->want.port && v.why == row->want.why)
		return;
	fail_msg("line %d: %s:%u %s, wanted %s:%u %s", row->line, action_name(v.action), v.port,
		 why_name(v.why), action_name(row->want.action), row->want.port,
		 why_name(row->want.why));
}

int rows_run(int argc, char **argv, const char *group, void (*test)(void **state),
	     int (*setup)(void **state), int (*teardown)(void **state))
{
	struct CMUnitTest *tests;
	struct rows rows = {};
	struct st_err e = {};
	int failed;
	size_t i;

	if (rows_read(argc > 1 ? argv[1] : "tests/cases.tsv", &rows, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	tests = calloc(rows.nr, sizeof(*tests));
	if (!tests)
		return 1;
	for (i = 0; i < rows.nr; i++)
		tests[i] = (struct CMUnitTest){ .name = rows.v[i].name,
						.test_func = test,
						.initial_state = &rows.v[i] };
	failed = _cmocka_run_group_tests(group, tests, rows.nr, setup, teardown);
	free(tests);
	rows_free(&rows);
	return failed != 0;
}
