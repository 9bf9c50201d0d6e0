/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* import on random policies, there and back: flags -> the rules that Istio would write -> import ->
 * the same flags; on the same rules with a random fault, which have to be refused or mean what
 * import says; and what it says of the files of tests/import. What rules mean is found out by
 * walking them, packet by packet, beside the verdict. SEED=N replays a run.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../user/import.h"
#include "oracle.h"
#include "random_rules.h"
#include "rows.h"
#include "walk.h"

#define POLICIES 1000
#define FAULTS 5 /* each in a text of its own */
#define FLOWS 60

static int import(const char *text, struct import *i, struct st_err *e)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int err;

	*e = (struct st_err){ 0 };
	err = import_read(f, i, e);
	fclose(f);
	assert_int_equal(!!err, !!e->text[0]);
	return err;
}

/* The rules of both, in one form, as one text: equal for equal policies. */
static void assert_same_policy(const struct config *a, const struct config *b)
{
	static char texts[2][RULES_MAX];
	struct draw state = random_draw;

	random_rules(a, texts[0]);
	random_draw = state;
	random_rules(b, texts[1]);
	assert_string_equal(texts[0], texts[1]);
	assert_int_equal(a->old_rules, b->old_rules);
	assert_int_equal(a->loopback_included, b->loopback_included);
	assert_int_equal(a->tproxy, b->tproxy);
	assert_int_equal(a->drop_invalid, b->drop_invalid);
	assert_int_equal(random_has_dns(a), random_has_dns(b));
	if (random_has_dns(a))
		assert_int_equal(a->udp_dns, b->udp_dns);
}

/* The pod has none of the other interfaces, and none is refused. */
static void keep_lo(struct iface_list *list)
{
	static struct iface_name lo[] = { { "lo" } };
	size_t i, nr = 0;

	for (i = 0; i < list->nr; i++)
		nr |= !strcmp(list->v[i].text, "lo");
	*list = (struct iface_list){ lo, nr };
}

/* Fails unless the policy does to random packets what the rules do. */
static void assert_same_meaning(const char *text, const struct import *i)
{
	struct config c = i->config;
	struct pod_facts pod = rows_pod(&c);
	struct iface lo = { "lo", 1 };
	struct st_err e = { 0 };
	struct ruleset rs;
	struct verdict v;
	struct walk walk;
	struct flow f;
	int n, inbound;
	__u16 port;

	keep_lo(&c.ifaces);
	pod.ifaces = &lo;
	pod.nr_ifaces = 1;
	assert_int_equal(ruleset_make(&c, &pod, &rs, &e), 0);
	walk_read(text, &walk);
	for (n = 0; n < FLOWS; n++) {
		inbound = !draw(&random_draw, 4);
		f = random_flow(&c, c.ipv6 == IPV6_ON && draw(&random_draw, 2), inbound);
		ruleset_classify(&rs, &f, inbound);
		v = inbound ? verdict_inbound(&rs.policy, &f) : verdict_outbound(&rs.policy, &f);
		port = inbound ? walk_inbound(&walk, &pod, &f) : walk_outbound(&walk, &pod, &f);
		if (port == v.port)
			continue;
		import_print(stderr, i);
		fputs(text, stderr);
		flow_print(stderr, &f, inbound);
		fputc('\n', stderr);
		fail_msg("the rules say %u, the policy %u (0: pass)", port, v.port);
	}
	walk_free(&walk);
	ruleset_free(&rs);
}

static int has_resolver(const struct config *c)
{
	size_t i;

	for (i = 0; i < c->dns_servers.nr; i++)
		if (addr_is_v4(&c->dns_servers.v[i]) || c->ipv6 == IPV6_ON)
			return 1;
	return c->capture_all_dns;
}

static int shows_loopback(const struct config *c)
{
	const struct prefix *p;
	struct addr lo;
	size_t i;

	for (i = 0; i < c->include.nr; i++) {
		p = &c->include.v[i];
		addr_parse(prefix_is_v4(p) ? "127.0.0.1" : "::1", &lo);
		if ((prefix_is_v4(p) || c->ipv6 == IPV6_ON) &&
		    (addr_is_loopback(&p->addr) || addr_covered(&lo, &p->addr, p->len)))
			return 1;
	}
	return 0;
}

/* Not if the rules depend on what they do not show, a resolver or a loopback address of the family
 * that is not captured; nor if port 53 is excluded in older rules, which do that for TCP alone.
 */
static int is_expressible(const struct config *c)
{
	size_t i;

	if (random_has_dns(c) && !has_resolver(c))
		return 0;
	if (c->loopback_included && !shows_loopback(c))
		return 0;
	for (i = 0; i < c->out_exclude.nr; i++)
		if (c->out_exclude.v[i] == 53 && c->udp_dns && random_has_dns(c))
			return 0;
	return 1;
}

static void there_and_back(const struct config *c, const char *policy, const char *text)
{
	struct import i;
	struct st_err e;
	int err = import(text, &i, &e);

	if ((err == 0) != is_expressible(c))
		fail_msg("%s\n%s: %s", text, policy, err ? e.text : "accepted");
	if (!err) {
		assert_same_policy(c, &i.config);
		assert_same_meaning(text, &i);
	}
	import_free(&i);
}

static void test_random(void **state)
{
	static char text[RULES_MAX], faulty[RULES_MAX], policy[8192];
	int n, faults, accepted = 0;
	struct import i;
	struct config c;
	struct st_err e;

	(void)state;
	for (n = 0; n < POLICIES; n++) {
		random_policy(&c, policy);
		random_rules(&c, text);
		there_and_back(&c, policy, text);
		config_free(&c);
		for (faults = 0; faults < FAULTS; faults++) {
			strcpy(faulty, text);
			random_fault(faulty);
			if (!import(faulty, &i, &e)) {
				accepted++;
				assert_same_meaning(faulty, &i);
			}
			import_free(&i);
		}
	}
	print_message("# %d policies, %d faults, of which %d were none\n", POLICIES,
		      POLICIES * FAULTS, accepted);
}

/* The rules that the differential tests load into the kernel (oracle.h) are not made by what import
 * compares with: that both are the same, it says here. Only in the newest form, as in older ones those
 * have more than Istio had.
 */
static void test_other_rules(void **state)
{
	static char text[RULES_MAX], policy[8192];
	struct pod_facts pod = { 0 };
	struct oracle o[2];
	struct config c;
	int n, v6, compared = 0;
	FILE *f;

	(void)state;
	for (n = 0; n < POLICIES; n++) {
		random_policy(&c, policy);
		if (c.old_rules || c.udp_dns != UDP_DNS_BESIDE) {
			config_free(&c);
			continue;
		}
		f = fmemopen(text, sizeof(text), "w");
		for (v6 = 0; v6 < 2; v6++) {
			assert_int_equal(oracle_make(&c, &pod, v6, &o[v6]), 0);
			fprintf(f, "# ip%stables-save\n", v6 ? "6" : "");
			oracle_print(f, &o[v6]);
			fprintf(f, "*mangle\nCOMMIT\n"); /* is there, if without rules */
			oracle_free(&o[v6]);
		}
		fclose(f);
		there_and_back(&c, policy, text);
		config_free(&c);
		compared++;
	}
	print_message("# %d policies\n", compared);
}

static void test_file(void **state)
{
	static char text[RULES_MAX];
	struct import i;
	struct st_err e;
	FILE *f = fopen(*state, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	/* The walk knows but the notation of iptables-save. */
	if (!import(text, &i, &e) && strstr(text, "*nat") && !strstr(text, "--append"))
		for (n = 0; n < 100; n++)
			assert_same_meaning(text, &i);
	import_free(&i);
}

static int is_rules_file(const struct dirent *d)
{
	return strstr(d->d_name, ".rules") != NULL;
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "tests/import", *seed = getenv("SEED");
	static struct CMUnitTest tests[400];
	struct dirent **files;
	int i, nr = scandir(dir, &files, is_rules_file, alphasort);
	char path[512];

	random_draw.seed = seed ? strtoull(seed, NULL, 10) : (__u64)time(NULL);
	printf("# SEED=%llu\n", random_draw.seed);
	for (i = 0; i < nr && i < 398; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]->d_name);
		tests[i] = (struct CMUnitTest){ .name = files[i]->d_name,
						.test_func = test_file,
						.initial_state = strdup(path) };
	}
	if (nr <= 0)
		return 1;
	tests[i++] = (struct CMUnitTest)cmocka_unit_test(test_random);
	tests[i++] = (struct CMUnitTest)cmocka_unit_test(test_other_rules);
	nr = _cmocka_run_group_tests("import, walked", tests, i, NULL, NULL);
	for (i--; i >= 0; i--) {
		free(tests[i].initial_state);
		free(tests[i].initial_state ? files[i] : NULL);
	}
	free(files);
	return nr != 0;
}
