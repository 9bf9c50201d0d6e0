/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every row of tests/cases.tsv as explain walks it: the rule that it says decides is the row's. The
 * random flows of oracle_test and of the fuzzer are walked, too (trial.c).
 */
#include "rows_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../user/explain.h"
#include "../../user/why.h"

static void one_row(void **state)
{
	const struct row *r = *state;
	const struct walk_step *decides = NULL, *s;
	struct walk w;

	walk_flow(&r->rs.policy, &r->flow, r->inbound, &w);
	row_check(r, w.verdict);
	if (walk_fault(&w))
		fail_msg("line %d: %s", r->line, walk_fault(&w));
	for (s = w.v; s < w.v + w.nr; s++)
		decides = s->fits ? s : decides;
	if (!decides)
		fail_msg("line %d: no rule fits", r->line);
	else
		assert_string_equal(why_name(decides->why), why_name(r->want.why));
}

int main(int argc, char **argv)
{
	return rows_run(argc, argv, "explain", one_row, NULL, NULL);
}
