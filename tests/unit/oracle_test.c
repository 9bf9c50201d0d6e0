/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* include/verdict.h and user/ruleset.c against the walk of Istio's rules: on random policies and
 * flows, made of few values so that they meet, and on the rows. SEED=N replays a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rows.h"
#include "trial.h"

#define POLICIES 10000
#define FLOWS 20 /* on each */

/* Returns 1 if both say the same. */
static int agree(const struct ruleset *rs, const struct oracle *o, struct flow *f, int inbound,
		 __u16 *ret_oracle, __u16 *ret_verdict)
{
	struct verdict v;

	ruleset_classify(rs, f, inbound);
	v = inbound ? verdict_inbound(&rs->policy, f) : verdict_outbound(&rs->policy, f);
	*ret_verdict = v.port;
	*ret_oracle = inbound ? oracle_inbound(o, f, "eth0") : oracle_outbound(o, f, NULL);
	return *ret_verdict == *ret_oracle && (v.action == ACTION_REDIRECT) == !!v.port;
}

static void test_random(void **state)
{
	const char *text = getenv("SEED");
	struct draw d = { .seed = text ? strtoull(text, NULL, 10) : (__u64)time(NULL) };
	struct trial t;
	int i, flow;

	(void)state;
	print_message("%d policies with %d flows each, SEED=%llu\n", POLICIES, FLOWS, d.seed);
	for (i = 0; i < POLICIES; i++) {
		if (trial_init(&t, &d))
			fail_msg("policy %d", i);
		for (flow = 0; flow < FLOWS; flow++) {
			if (trial_flow(&t, &d))
				fail_msg("policy %d, flow %d", i, flow);
		}
		trial_free(&t);
	}
}

static void test_rows(void **state)
{
	struct st_err e = { 0 };
	struct pod_facts pod;
	struct oracle o;
	struct rows rows;
	struct row *r;
	__u16 want, got;

	if (rows_read(*state, &rows, &e))
		fail_msg("%s", e.text);
	for (r = rows.v; r < rows.v + rows.nr; r++) {
		pod = rows_pod(&r->config);
		assert_int_equal(oracle_make(&r->config, &pod, !addr_is_v4(&r->raw.dst), &o), 0);
		if (!agree(&r->rs, &o, &r->raw, r->inbound, &want, &got)) {
			flow_print(stderr, &r->raw, r->inbound);
			fputc('\n', stderr);
			fail_msg("line %d: %s: the rules say %u, the verdict %u", r->line, r->name,
				 want, got);
		}
		oracle_free(&o);
	}
	rows_free(&rows);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_rows, argc > 1 ? argv[1] : "tests/cases.tsv"),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("oracle", tests, NULL, NULL) != 0;
}
