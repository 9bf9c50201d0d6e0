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

#include "../../user/values.h"
#include "oracle.h"
#include "rows.h"

#define POLICIES 10000
#define FLOWS 20 /* on each */
#define TEXT_MAX 512

static __u64 random_state;

/* splitmix64: small, and the same everywhere */
static __u32 pick(__u32 n)
{
	__u64 z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

#define PICK(array) (array)[pick(sizeof(array) / sizeof((array)[0]))]

static const char *const ports[] = {
	"22",	 "53",	  "80",	   "443",   "8080",  "15001", "15006",
	"15008", "15009", "15020", "15021", "15053", "15090", "65535"
};
static const char *const ids[] = { "0", "202", "203", "1000", "1337", "2000", "4294967294" };
static const char *const addrs[] = {
	"10.77.0.2",	 "10.77.0.9", "10.77.0.3",    "10.96.0.10", "127.0.0.1",
	"127.0.0.2",	 "127.0.0.6", "127.0.0.53",   "127.1.2.3",  "10.1.2.3",
	"10.1.2.4",	 "10.2.0.0",  "203.0.113.53", "0.0.0.1",    "255.255.255.255",
	"fd77::2",	 "fd77::9",   "fd77::3",      "fd96::a",    "::1",
	"::2",		 "::6",	      "fd00:1::1",    "fd00:1::2",  "2001:db8::53",
	"::fffe:7f00:1", "ffff::1",
};
static const char *const loopbacks[] = { "127.0.0.0/8", "127.0.0.1/32", "127.1.0.0/16",
					 "127.0.0.0/24" };

static void put_cidr(char *text)
{
	const char *a = PICK(addrs);

	if (pick(3))
		sprintf(text, "%s/%u", a, pick(strchr(a, ':') ? 129 : 33));
	else
		strcpy(text, a);
}

enum kind {
	PORTS,
	PORTS_OR_ALL,
	OWNERS,
	OWNERS_OR_ALL,
	UIDS,
	CIDRS,
	CIDRS_OR_ALL,
	SERVERS,
	BOOL,
	IPV6,
	TUNNEL,
	LOOPBACK
};

static const struct {
	const char *name;
	enum kind kind;
} flags[] = {
	{ "istio-inbound-ports", PORTS_OR_ALL },
	{ "istio-local-exclude-ports", PORTS },
	{ "istio-service-cidr", CIDRS_OR_ALL },
	{ "istio-service-exclude-cidr", CIDRS },
	{ "istio-outbound-ports", PORTS },
	{ "istio-local-outbound-ports-exclude", PORTS },
	{ "proxy-uid", UIDS },
	{ "proxy-gid", OWNERS },
	{ "outbound-owner-groups", OWNERS_OR_ALL },
	{ "outbound-owner-groups-exclude", OWNERS },
	{ "dns-servers", SERVERS },
	{ "redirect-dns", BOOL },
	{ "capture-all-dns", BOOL },
	{ "dual-stack", BOOL },
	{ "ipv6", IPV6 },
	{ "inbound-tunnel-port", TUNNEL },
	{ "ipv4-loopback-cidr", LOOPBACK },
};
#define NR_FLAGS (sizeof(flags) / sizeof(flags[0]))

static void put_element(char *text, enum kind kind)
{
	if (kind == PORTS || kind == PORTS_OR_ALL)
		strcpy(text, PICK(ports));
	else if (kind == OWNERS || kind == OWNERS_OR_ALL || kind == UIDS)
		strcpy(text, PICK(ids));
	else if (kind == SERVERS)
		strcpy(text, PICK(addrs));
	else
		put_cidr(text);
}

static void put_list(char *text, enum kind kind)
{
	int n = pick(4);

	if (kind == UIDS)
		n++;
	if ((kind == PORTS_OR_ALL || kind == OWNERS_OR_ALL || kind == CIDRS_OR_ALL) && !pick(3)) {
		strcpy(text, "*");
		return;
	}
	for (*text = '\0'; n > 0; n--) {
		text += strlen(text);
		put_element(text, kind);
		strcat(text, ",");
	}
}

static void put_value(char *text, enum kind kind)
{
	static const char *const modes[] = { "on", "on", "off", "auto" };

	if (kind == BOOL)
		strcpy(text, pick(2) ? "true" : "false");
	else if (kind == IPV6)
		strcpy(text, PICK(modes));
	else if (kind == TUNNEL)
		strcpy(text, PICK(ports));
	else if (kind == LOOPBACK)
		strcpy(text, PICK(loopbacks));
	else
		put_list(text, kind);
}

/* A policy as a command line, so that the parser takes part. */
struct line {
	char text[NR_FLAGS][TEXT_MAX];
	char *argv[NR_FLAGS + 2];
	int argc;
};

static void random_line(struct line *l)
{
	size_t i;

	l->argv[0] = "random";
	l->argc = 1;
	for (i = 0; i < NR_FLAGS; i++) {
		if (pick(3))
			continue;
		sprintf(l->text[i], "--%s=", flags[i].name);
		put_value(l->text[i] + strlen(l->text[i]), flags[i].kind);
		l->argv[l->argc++] = l->text[i];
	}
	l->argv[l->argc] = NULL;
}

static void random_addr(struct addr *ret, int v6)
{
	const char *text;

	do
		text = PICK(addrs);
	while ((strchr(text, ':') != NULL) != v6);
	assert_null(addr_parse(text, ret));
}

static struct flow random_flow(int v6, int inbound)
{
	struct flow f = { .proto = pick(3) ? ST_TCP : ST_UDP, .uid = -1, .gid = -1 };

	assert_null(port_parse(PICK(ports), &f.dport));
	if (pick(3) == 0)
		f.dport = 53;
	if (!inbound && pick(10)) {
		assert_null(id_parse(PICK(ids), &f.uid));
		assert_null(id_parse(PICK(ids), &f.gid));
	}
	random_addr(&f.dst, v6);
	if (inbound || !pick(3))
		random_addr(&f.src, v6);
	return f;
}

static void tell(const struct line *l, const struct flow *f, int inbound)
{
	char src[PREFIX_TEXT_MAX], dst[PREFIX_TEXT_MAX];
	int i;

	for (i = 1; l && i < l->argc; i++)
		print_error("%s ", l->argv[i]);
	addr_print(&f->src, src);
	addr_print(&f->dst, dst);
	print_error("\n%s %s uid %u gid %u from %s to %s port %u\n", inbound ? "in" : "out",
		    f->proto == ST_TCP ? "tcp" : "udp", f->uid, f->gid, src, dst, f->dport);
}

/* Returns 1 if both say the same. */
static int agree(const struct ruleset *rs, const struct oracle *o, struct flow *f, int inbound,
		 __u16 *ret_oracle, __u16 *ret_verdict)
{
	struct verdict v;

	ruleset_classify(rs, f, inbound);
	v = inbound ? verdict_inbound(&rs->policy, f) : verdict_outbound(&rs->policy, f);
	*ret_verdict = v.port;
	*ret_oracle = inbound ? oracle_inbound(o, f) : oracle_outbound(o, f);
	return *ret_verdict == *ret_oracle && (v.action == ACTION_REDIRECT) == !!v.port;
}

static void random_policy(void)
{
	struct config c;
	struct option_table table = { "Policy", config_options, &c };
	struct oracle o[2];
	struct pod_facts pod;
	struct st_err e = { 0 };
	__u16 want, got;
	struct ruleset rs;
	struct line l;
	struct flow f;
	int i, v6, inbound;

	random_line(&l);
	assert_int_equal(config_init(&c, &e), 0);
	if (options_parse("random", &table, 1, l.argc, l.argv, &e))
		fail_msg("%s", e.text);
	pod = rows_pod(&c);
	assert_int_equal(ruleset_make(&c, &pod, &rs, &e), 0);
	assert_int_equal(oracle_make(&c, &pod, 0, &o[0]), 0);
	assert_int_equal(oracle_make(&c, &pod, 1, &o[1]), 0);
	for (i = 0; i < FLOWS; i++) {
		v6 = pick(2);
		inbound = !pick(4);
		f = random_flow(v6, inbound);
		if (!agree(&rs, &o[v6], &f, inbound, &want, &got)) {
			tell(&l, &f, inbound);
			fail_msg("the rules say %u, the verdict %u (0: pass)", want, got);
		}
	}
	oracle_free(&o[0]);
	oracle_free(&o[1]);
	ruleset_free(&rs);
	config_free(&c);
}

static void test_random(void **state)
{
	const char *text = getenv("SEED");
	__u64 seed = text ? strtoull(text, NULL, 10) : (__u64)time(NULL);
	int i;

	(void)state;
	print_message("%d policies with %d flows each, SEED=%llu\n", POLICIES, FLOWS, seed);
	random_state = seed;
	for (i = 0; i < POLICIES; i++)
		random_policy();
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
			tell(NULL, &r->raw, r->inbound);
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
