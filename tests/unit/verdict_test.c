/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every row of tests/cases.tsv through include/verdict.h, compiled natively. One test a row. */
#include "rows_run.h"

static void one_row(void **state)
{
	const struct row *r = *state;

	row_check(r, r->inbound ? verdict_inbound(&r->rs.policy, &r->flow)
				: verdict_outbound(&r->rs.policy, &r->flow));
}

int main(int argc, char **argv)
{
	return rows_run(argc, argv, "verdict", one_row, NULL, NULL);
}
