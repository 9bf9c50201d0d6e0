/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Facts of another day without the flags: what comes out has to be what the flags would make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "trial.h"

#define POLICIES 20000

/* What draw_pod() leaves out: sources, IPv6 that comes and goes, interfaces that are made again. */
struct pod {
	struct draw_pod p;
	struct addr local_src[8];
};

static struct addr some_src(struct draw *d, const struct config *c, const struct prefix *to)
{
	struct addr none = { 0 };

	return draw(d, 2) ? none : draw_addr(d, c, !prefix_is_v4(to));
}

static void draw_all(struct draw *d, const struct config *c, struct pod *ret)
{
	struct pod_facts *f = &ret->p.facts;
	size_t i;

	draw_pod(d, c, &ret->p);
	for (i = 0; i < f->nr_local; i++)
		ret->local_src[i] = some_src(d, c, &f->local[i]);
	f->local_src = draw(d, 2) ? ret->local_src : NULL;
	for (i = 0; i < f->nr_routes; i++)
		f->routes[i].src = some_src(d, c, &f->routes[i].dst);
	for (i = 1; i < f->nr_ifaces; i++)
		f->ifaces[i].index += draw(d, 2) * 7;
	f->src4 = draw_addr(d, c, 0);
	f->src6 = draw_addr(d, c, 1);
	f->ipv6 = draw(d, 2);
	f->spread = draw(d, 4) != 0;
}

/* What the maps give back: no order, and not how an entry came to be. */
static void as_from_maps(struct draw *d, struct ruleset *rs)
{
	struct class_entry c;
	struct id_entry id;
	size_t i, j;

	for (i = 0; i < rs->nr_classes; i++) {
		j = draw(d, rs->nr_classes);
		rs->classes[i].is_route = 0;
		c = rs->classes[i];
		rs->classes[i] = rs->classes[j];
		rs->classes[j] = c;
	}
	for (i = 0; i < rs->nr_classes; i++)
		rs->classes[i].is_route = 0;
	for (i = 0; i < rs->nr_ids; i++) {
		j = draw(d, rs->nr_ids);
		id = rs->ids[i];
		rs->ids[i] = rs->ids[j];
		rs->ids[j] = id;
	}
}

static const char *differ(const struct ruleset *a, const struct ruleset *b)
{
	size_t i;

	if (memcmp(&a->policy, &b->policy, sizeof(a->policy)))
		return "policies";
	if (a->nr_ids != b->nr_ids || memcmp(a->ids, b->ids, a->nr_ids * sizeof(*a->ids)))
		return "ids";
	if (a->nr_classes != b->nr_classes)
		return "numbers of classes";
	for (i = 0; i < a->nr_classes; i++)
		if (prefix_compare(&a->classes[i].prefix, &b->classes[i].prefix) ||
		    a->classes[i].class != b->classes[i].class ||
		    !addr_equal(&a->classes[i].src, &b->classes[i].src))
			return "classes";
	return NULL;
}

/* Many more local addresses and routes than now, or none, must leave no trace either. */
static void one(struct draw *d, int nr)
{
	struct trial t;
	struct ruleset fresh, again;
	struct pod then, now;
	struct st_err e = { 0 };
	const char *what;

	if (trial_init(&t, d))
		fail_msg("policy %d", nr);
	draw_all(d, &t.config, &then);
	draw_all(d, &t.config, &now);
	then.p.facts.resolvers = now.p.facts.resolvers;
	then.p.facts.nr_resolvers = now.p.facts.nr_resolvers;
	assert_int_equal(ruleset_make(&t.config, &now.p.facts, &fresh, &e), 0);
	assert_int_equal(ruleset_make(&t.config, &then.p.facts, &again, &e), 0);
	as_from_maps(d, &again);
	ruleset_keep_flags(&again);
	assert_int_equal(ruleset_add_facts(&again, &now.p.facts, &e), 0);
	what = differ(&fresh, &again);
	if (what) {
		for (nr = 1; nr < t.line.argc; nr++)
			fprintf(stderr, "%s ", t.line.argv[nr]);
		fail_msg("%s differ", what);
	}
	ruleset_free(&fresh);
	ruleset_free(&again);
	trial_free(&t);
}

static void test_random(void **state)
{
	const char *text = getenv("SEED");
	struct draw d = { .seed = text ? strtoull(text, NULL, 10) : (__u64)time(NULL) };
	int i;

	(void)state;
	print_message("%d policies, SEED=%llu\n", POLICIES, d.seed);
	for (i = 0; i < POLICIES; i++)
		one(&d, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("refresh", tests, NULL, NULL) != 0;
}
