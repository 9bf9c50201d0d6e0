/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A config as data: classes of addresses, of ports and owners, the policy's flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flags.h"
#include "rows.h"

/* The ruleset of up to two flags, for the pod of the rows. */
static struct ruleset make(const char *a, const char *b)
{
	struct st_err e = { 0 };
	struct pod_facts pod;
	struct ruleset rs;
	struct config c;

	flags_accept(&c, a, b);
	pod = rows_pod(&c);
	assert_int_equal(ruleset_make(&c, &pod, &rs, &e), 0);
	config_free(&c);
	return rs;
}

static __u32 class_of(const struct ruleset *rs, const char *text)
{
	struct addr a;

	assert_null(addr_parse(text, &a));
	return ruleset_class(rs, &a);
}

static void test_always(void **state)
{
	struct ruleset rs = make(NULL, NULL);

	(void)state;
	assert_int_equal(class_of(&rs, "127.0.0.1"), CLASS_LOCAL | CLASS_LOOPBACK);
	assert_int_equal(class_of(&rs, "127.0.0.0"), CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "127.0.0.2"), CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "127.255.255.255"), CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "126.255.255.255"), 0);
	assert_int_equal(class_of(&rs, "128.0.0.0"), 0);
	assert_int_equal(class_of(&rs, "10.77.0.2"), CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "10.77.0.3"), 0);
	assert_int_equal(class_of(&rs, "10.96.0.10"), 0);
	assert_int_equal(class_of(&rs, "::1"), 0);
	ruleset_free(&rs);
	rs = make("--ipv6=on", NULL);
	assert_int_equal(class_of(&rs, "::1"), CLASS_LOCAL | CLASS_LOOPBACK);
	assert_int_equal(class_of(&rs, "::6"), CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "::"), 0);
	assert_int_equal(class_of(&rs, "::2"), 0);
	assert_int_equal(class_of(&rs, "fd77::9"), CLASS_LOCAL);
	ruleset_free(&rs);
	ruleset_free(&rs);
}

static void test_ends(void **state)
{
	struct ruleset rs = make("--istio-service-cidr=10.1.0.0/16,192.0.2.4/30,2001:db8::/33,"
				 "255.255.255.255,ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
				 "--ipv6=on");

	(void)state;
	assert_int_equal(class_of(&rs, "10.0.255.255"), 0);
	assert_int_equal(class_of(&rs, "10.1.0.0"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "10.1.255.255"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "10.2.0.0"), 0);
	assert_int_equal(class_of(&rs, "192.0.2.3"), 0);
	assert_int_equal(class_of(&rs, "192.0.2.4"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "192.0.2.7"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "192.0.2.8"), 0);
	assert_int_equal(class_of(&rs, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
	assert_int_equal(class_of(&rs, "2001:db8::"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "2001:db8:8000::"), 0);
	assert_int_equal(class_of(&rs, "255.255.255.255"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "255.255.255.254"), 0);
	assert_int_equal(class_of(&rs, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd"), 0);
	ruleset_free(&rs);
}

static void test_nested(void **state)
{
	struct ruleset rs = make("--istio-service-cidr=10.0.0.0/8,10.1.2.0/24,10.77.0.0/24",
				 "--istio-service-exclude-cidr=10.1.0.0/16,10.1.2.3,10.1.2.3/32");
	size_t i;

	(void)state;
	assert_int_equal(class_of(&rs, "10.2.0.0"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "10.1.1.1"), CLASS_INCLUDED | CLASS_EXCLUDED);
	assert_int_equal(class_of(&rs, "10.1.2.1"), CLASS_INCLUDED | CLASS_EXCLUDED);
	assert_int_equal(class_of(&rs, "10.1.2.3"), CLASS_INCLUDED | CLASS_EXCLUDED);
	assert_int_equal(class_of(&rs, "10.77.0.2"), CLASS_INCLUDED | CLASS_LOCAL);
	assert_int_equal(class_of(&rs, "10.77.0.255"), CLASS_INCLUDED | CLASS_BROADCAST);
	assert_int_equal(class_of(&rs, "11.0.0.0"), 0);
	for (i = 1; i < rs.nr_classes; i++) {
		assert_true(rs.classes[i - 1].prefix.len <= rs.classes[i].prefix.len);
		assert_true(prefix_compare(&rs.classes[i - 1].prefix, &rs.classes[i].prefix) != 0);
	}
	/* 127/8, 127.0.0.1, two own addresses and their subnet's broadcast, 10/8, 10.1/16: the others
	 * say what these say
	 */
	assert_int_equal(rs.nr_classes, 5 + 2);
	ruleset_free(&rs);
}

static void test_families(void **state)
{
	struct ruleset rs = make("--istio-service-cidr=::/0,::/64", "--ipv6=on");

	(void)state;
	assert_int_equal(class_of(&rs, "2001:db8::1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "::fffe:0:1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "10.0.0.1"), 0);
	assert_int_equal(class_of(&rs, "0.0.0.1"), 0);
	assert_int_equal(class_of(&rs, "127.0.0.1"), CLASS_LOCAL | CLASS_LOOPBACK);
	ruleset_free(&rs);
	rs = make("--istio-service-cidr=0.0.0.0/0,::/0", "--ipv6=off");
	assert_int_equal(class_of(&rs, "10.0.0.1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "2001:db8::1"), 0);
	ruleset_free(&rs);
	rs = make("--istio-service-cidr=0.0.0.0/0", "--istio-service-exclude-cidr=::/0");
	assert_int_equal(class_of(&rs, "10.0.0.1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "2001:db8::1"), CLASS_EXCLUDED); /* IPv6 may come */
	assert_int_equal(rs.policy.flags & POLICY_V6, 0);
	ruleset_free(&rs);
	rs = make("--istio-service-cidr=0.0.0.0/0,::/80", "--ipv6=on");
	assert_int_equal(class_of(&rs, "10.0.0.1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "::fffe:0:1"), CLASS_INCLUDED);
	assert_int_equal(class_of(&rs, "::1:0:0:0"), 0);
	ruleset_free(&rs);
}

static void test_resolvers(void **state)
{
	struct ruleset rs = make("--capture-all-dns=false", NULL);

	(void)state;
	assert_int_equal(class_of(&rs, "10.96.0.10"), CLASS_RESOLVER);
	assert_int_equal(class_of(&rs, "fd96::a"), CLASS_RESOLVER); /* IPv6 may come */
	assert_int_equal(rs.policy.flags & (POLICY_DNS | POLICY_DNS_ALL), POLICY_DNS);
	ruleset_free(&rs);
	rs = make("--capture-all-dns=false", "--ipv6=off");
	assert_int_equal(class_of(&rs, "fd96::a"), 0);
	ruleset_free(&rs);
	rs = make("--capture-all-dns=false", "--ipv6=on");
	assert_int_equal(class_of(&rs, "fd96::a"), CLASS_RESOLVER);
	ruleset_free(&rs);
	rs = make("--capture-all-dns=false", "--dns-servers=192.0.2.1,127.0.0.1");
	assert_int_equal(class_of(&rs, "10.96.0.10"), 0);
	assert_int_equal(class_of(&rs, "192.0.2.1"), CLASS_RESOLVER);
	assert_int_equal(class_of(&rs, "127.0.0.1"), CLASS_RESOLVER | CLASS_LOCAL | CLASS_LOOPBACK);
	ruleset_free(&rs);
	rs = make("--capture-all-dns=false", "--dns-servers=");
	assert_int_equal(rs.policy.flags & (POLICY_DNS | POLICY_DNS_ALL), 0);
	ruleset_free(&rs);
	rs = make("--redirect-dns=false", "--capture-all-dns");
	assert_int_equal(rs.policy.flags & (POLICY_DNS | POLICY_DNS_ALL), 0);
	ruleset_free(&rs);
}

static void test_flags(void **state)
{
	static const struct {
		const char *a, *b;
		__u32 set, unset;
	} rows[] = {
		{ NULL, NULL,
		  POLICY_OUT_ALL | POLICY_IN_ALL | POLICY_DNS | POLICY_DNS_ALL |
			  POLICY_UDP_DNS_FIRST | POLICY_SPREAD | POLICY_V6_AUTO,
		  ~0U },
		{ "--ipv6=on", NULL, POLICY_V6, 0 },
		{ "--dual-stack", NULL, POLICY_V6, 0 },
		{ "--dual-stack", "--ipv6=off", 0, POLICY_V6 },
		{ "-i", "127.0.0.0/8", POLICY_LOOPBACK_INCLUDED, POLICY_OUT_ALL },
		{ "-i", "::1", POLICY_LOOPBACK_INCLUDED, POLICY_OUT_ALL | POLICY_V6 },
		{ "-b", "80", 0, POLICY_IN_ALL },
		{ "-e", "15008", 0, POLICY_UDP_DNS_FIRST | POLICY_UDP_DNS_LAST },
		{ "--udp-dns=last", NULL, POLICY_UDP_DNS_LAST, POLICY_UDP_DNS_FIRST },
		{ "--udp-dns=beside", NULL, 0, POLICY_UDP_DNS_FIRST | POLICY_UDP_DNS_LAST },
		{ "--udp-dns=first", "--inbound-tunnel-port=15008", POLICY_UDP_DNS_FIRST, 0 },
		{ "-u", "5", 0, POLICY_OWNER_SETS },
		{ "-u", "5,6", POLICY_OWNER_SETS, 0 },
		{ "-u", "5,5", 0, POLICY_OWNER_SETS },
		{ "-g", "5,6", POLICY_OWNER_SETS, 0 },
		{ "--outbound-owner-groups", "", POLICY_GROUPS_ONLY, POLICY_OWNER_SETS },
		{ "--outbound-owner-groups", "7", POLICY_GROUPS_ONLY | POLICY_OWNER_SETS, 0 },
		{ "--outbound-owner-groups-exclude", "7", POLICY_OWNER_SETS, POLICY_GROUPS_ONLY },
	};
	struct ruleset rs;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rs = make(rows[i].a, rows[i].b);
		assert_int_equal(rs.policy.flags & rows[i].set, rows[i].set);
		assert_int_equal(rs.policy.flags & rows[i].unset & ~rows[i].set, 0);
		ruleset_free(&rs);
	}
}

static void test_ids(void **state)
{
	struct ruleset rs = make("--istio-local-outbound-ports-exclude=80,15008,80",
				 "--istio-outbound-ports=80");
	size_t i;

	(void)state;
	assert_int_equal(ruleset_id(&rs, ID_PORT, 80), PORT_OUT_EXCLUDED | PORT_OUT_INCLUDED);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 15008), PORT_OUT_EXCLUDED | PORT_TUNNEL);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 22), PORT_IN_EXCLUDED);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 15020), PORT_IN_EXCLUDED);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 81), 0);
	assert_int_equal(ruleset_id(&rs, ID_UID, 80), 0);
	for (i = 1; i < rs.nr_ids; i++)
		assert_true(rs.ids[i - 1].value != rs.ids[i].value);
	ruleset_free(&rs);
	rs = make("--inbound-tunnel-port=15009", "--istio-inbound-ports=80");
	assert_int_equal(ruleset_id(&rs, ID_PORT, 15009), PORT_TUNNEL | PORT_TUNNEL_SELF);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 80), PORT_IN_INCLUDED);
	assert_int_equal(ruleset_id(&rs, ID_PORT, 22), 0);
	ruleset_free(&rs);
	rs = make("--proxy-uid=1,2,3,2", "--proxy-gid=1,2");
	assert_int_equal(rs.policy.uid, 1);
	assert_int_equal(ruleset_id(&rs, ID_UID, 1), 0);
	assert_int_equal(ruleset_id(&rs, ID_UID, 2), OWNER_PROXY);
	assert_int_equal(ruleset_id(&rs, ID_UID, 3), OWNER_PROXY);
	assert_int_equal(ruleset_id(&rs, ID_GID, 2), OWNER_PROXY);
	assert_int_equal(ruleset_id(&rs, ID_GID, 3), 0);
	ruleset_free(&rs);
	rs = make("--proxy-uid=8,9", "--proxy-gid=");
	assert_int_equal(rs.policy.gid, 8);
	assert_int_equal(ruleset_id(&rs, ID_GID, 9), OWNER_PROXY);
	ruleset_free(&rs);
	rs = make("--proxy-gid=1,2", "--outbound-owner-groups=2");
	assert_int_equal(ruleset_id(&rs, ID_GID, 2), OWNER_PROXY | OWNER_GROUP);
	ruleset_free(&rs);
}

static void test_unknown_group(void **state)
{
	struct ruleset rs = { .nr_ids = 7 };
	struct pod_facts pod = { 0 };
	struct st_err e = { 0 };
	struct config c;

	(void)state;
	flags_accept(&c, "--outbound-owner-groups", "java");
	assert_int_equal(ruleset_make(&c, &pod, &rs, &e), -EINVAL);
	assert_string_equal(e.text, "owner group 'java': its gid is not known");
	assert_int_equal(rs.nr_ids, 7);
	config_free(&c);
}

#define RANDOM_CIDRS 10000

/* rand_r: its sequence is fixed for a seed */
static struct addr random_addr(unsigned int *seed, int v6)
{
	struct addr a = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
	int i;

	for (i = v6 ? 0 : 12; i < 16; i++)
		((__u8 *)a.w)[i] = rand_r(seed) >> 8 & 0x83; /* few values, so that they meet */
	if (v6)
		((__u8 *)a.w)[0] = 0xfd;
	return a;
}

static void fill_random(struct prefix_list *list, unsigned int *seed)
{
	size_t i;

	free(list->v);
	*list = (struct prefix_list){ calloc(RANDOM_CIDRS, sizeof(*list->v)), RANDOM_CIDRS, 0 };
	for (i = 0; i < list->nr; i++) {
		list->v[i].len = i % 2 ? 8 + rand_r(seed) % 121 : 96 + rand_r(seed) % 33;
		list->v[i].addr = random_addr(seed, i % 2);
		list->v[i].addr = addr_mask(&list->v[i].addr, list->v[i].len);
	}
}

static int in_list(const struct prefix_list *list, const struct addr *a)
{
	size_t i;

	for (i = 0; i < list->nr; i++) {
		if (prefix_is_v4(&list->v[i]) == addr_is_v4(a) &&
		    addr_covered(a, &list->v[i].addr, list->v[i].len))
			return 1;
	}
	return 0;
}

static void test_random(void **state)
{
	unsigned int seed = 42;
	struct pod_facts pod = { .ipv6 = 1 };
	struct st_err e = { 0 };
	struct ruleset rs;
	struct config c;
	struct addr a;
	__u32 got;
	int i;

	(void)state;
	flags_accept(&c, NULL, NULL);
	fill_random(&c.include, &seed);
	fill_random(&c.exclude, &seed);
	assert_int_equal(ruleset_make(&c, &pod, &rs, &e), 0);
	for (i = 0; i < 4000; i++) {
		a = random_addr(&seed, i % 2);
		if (i % 4 < 2) /* the first address of a prefix */
			a = c.include.v[rand_r(&seed) % RANDOM_CIDRS].addr;
		got = ruleset_class(&rs, &a);
		assert_int_equal(!!(got & CLASS_INCLUDED), in_list(&c.include, &a));
		assert_int_equal(!!(got & CLASS_EXCLUDED), in_list(&c.exclude, &a));
	}
	ruleset_free(&rs);
	config_free(&c);
}

static void test_classify(void **state)
{
	struct ruleset rs = make("--proxy-uid=1,2", "--istio-service-exclude-cidr=192.0.2.1");
	struct flow f = { .dport = 15020, .uid = 2, .gid = 1337 };

	(void)state;
	addr_parse("10.77.0.2", &f.src);
	addr_parse("192.0.2.1", &f.dst);
	ruleset_classify(&rs, &f, 0);
	assert_int_equal(f.dst_class, CLASS_EXCLUDED);
	assert_int_equal(f.src_class, 0);
	assert_int_equal(f.port_class, PORT_OUT_EXCLUDED | PORT_IN_EXCLUDED);
	assert_int_equal(f.uid_class, OWNER_PROXY);
	assert_int_equal(f.gid_class, 0);
	ruleset_classify(&rs, &f, 1);
	assert_int_equal(f.dst_class, 0);
	assert_int_equal(f.src_class, CLASS_LOCAL);
	assert_int_equal(f.uid_class, 0);
	ruleset_free(&rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always),	      cmocka_unit_test(test_ends),
		cmocka_unit_test(test_nested),	      cmocka_unit_test(test_families),
		cmocka_unit_test(test_resolvers),     cmocka_unit_test(test_flags),
		cmocka_unit_test(test_ids),	      cmocka_unit_test(test_classify),
		cmocka_unit_test(test_unknown_group), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("ruleset", tests, NULL, NULL) != 0;
}
