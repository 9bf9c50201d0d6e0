/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy flags: the defaults, and what each flag sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "flags.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

static void assert_ports(const struct port_list *list, const __u16 *want, size_t nr)
{
	assert_int_equal(list->nr, nr);
	if (nr)
		assert_memory_equal(list->v, want, nr * sizeof(*want));
}

static void assert_prefix(const struct prefix *p, const char *want)
{
	char text[PREFIX_TEXT_MAX];

	prefix_print(p, text);
	assert_string_equal(text, want);
}

static void test_defaults(void **state)
{
	static const __u16 in_exclude[] = { 22, 15020, 15021, 15090 }, out_exclude[] = { 15020 };
	const struct option_row *row;
	struct config c;

	(void)state;
	flags_accept(&c, NULL, NULL);
	assert_int_equal(c.outbound_port, 15001);
	assert_int_equal(c.inbound_port, 15006);
	assert_int_equal(c.tunnel_port, 15008);
	assert_int_equal(c.uids.nr, 1);
	assert_int_equal(c.uids.v[0], 1337);
	assert_int_equal(c.gids.nr, 1);
	assert_int_equal(c.gids.v[0], 1337);
	assert_true(c.in_include.all && c.include.all && c.groups.all);
	assert_ports(&c.in_exclude, in_exclude, 4);
	assert_ports(&c.out_exclude, out_exclude, 1);
	assert_ports(&c.out_include, NULL, 0);
	assert_int_equal(c.exclude.nr + c.groups_exclude.nr + c.dns_servers.nr, 0);
	assert_prefix(&c.loopback, "127.0.0.1");
	assert_true(c.redirect_dns && c.capture_all_dns && c.old_rules);
	assert_false(c.dual_stack || c.drop_invalid || c.loopback_included);
	assert_int_equal(c.ipv6, IPV6_AUTO);
	assert_null(c.resolv_conf);
	for (row = config_options; row->name; row++)
		assert_false(config_given(&c, row->name));
	config_free(&c);
	config_free(&c);
}

static void test_istio_defaults(void **state)
{
	struct st_err e = { 0 };
	struct config c;

	(void)state;
	assert_int_equal(config_init_istio(&c, &e), 0);
	assert_int_equal(c.outbound_port, 15001);
	assert_int_equal(c.uids.v[0], 1337);
	assert_int_equal(c.gids.nr, 0);
	assert_false(c.in_include.all || c.include.all || c.redirect_dns || c.capture_all_dns);
	assert_int_equal(c.in_include.nr + c.in_exclude.nr + c.include.nr + c.out_exclude.nr, 0);
	assert_true(c.groups.all);
	assert_false(c.old_rules);
	assert_prefix(&c.loopback, "127.0.0.1");
	config_free(&c);
}

static void test_ports(void **state)
{
	static const __u16 two[] = { 80, 65535 };
	struct config c;

	(void)state;
	flags_accept(&c, "-p", "1");
	assert_int_equal(c.outbound_port, 1);
	assert_true(config_given(&c, "envoy-port"));
	assert_false(config_given(&c, "inbound-capture-port"));
	config_free(&c);
	flags_accept(&c, "--inbound-capture-port", "65535");
	assert_int_equal(c.inbound_port, 65535);
	assert_true(c.old_rules);
	config_free(&c);
	flags_accept(&c, "-e", "15008");
	assert_int_equal(c.tunnel_port, 15008);
	assert_false(c.old_rules);
	config_free(&c);
	flags_accept(&c, "-b", "80,65535");
	assert_false(c.in_include.all);
	assert_ports(&c.in_include, two, 2);
	config_free(&c);
	flags_accept(&c, "-b", "*");
	assert_true(c.in_include.all);
	config_free(&c);
	flags_accept(&c, "-b", "");
	assert_false(c.in_include.all);
	assert_ports(&c.in_include, NULL, 0);
	assert_true(config_given(&c, "istio-inbound-ports"));
	config_free(&c);
	flags_accept(&c, "--istio-local-exclude-ports=,80,,65535,", NULL);
	assert_ports(&c.in_exclude, two, 2);
	config_free(&c);
	flags_accept(&c, "-q", "80,65535");
	assert_ports(&c.out_include, two, 2);
	config_free(&c);
	flags_accept(&c, "-o80,65535", NULL);
	assert_ports(&c.out_exclude, two, 2);
	config_free(&c);
}

static void test_owners(void **state)
{
	struct config c;

	(void)state;
	flags_accept(&c, "-u", "1337,0,4294967294");
	assert_int_equal(c.uids.nr, 3);
	assert_int_equal(c.uids.v[1], 0);
	assert_int_equal(c.uids.v[2], 4294967294U);
	assert_int_equal(c.gids.v[0], 1337);
	config_free(&c);
	flags_accept(&c, "--proxy-gid", "5,4");
	assert_int_equal(c.gids.nr, 2);
	assert_int_equal(c.gids.v[0], 5);
	config_free(&c);
	flags_accept(&c, "-g", "");
	assert_int_equal(c.gids.nr, 0);
	config_free(&c);
}

static void test_cidrs(void **state)
{
	struct config c;

	(void)state;
	flags_accept(&c, "-i", "10.1.2.3/8,,fd00::1/8,192.0.2.1,::1,0.0.0.0/0,::/0");
	assert_false(c.include.all);
	assert_true(c.loopback_included);
	assert_int_equal(c.include.nr, 6);
	assert_prefix(&c.include.v[0], "10.0.0.0/8");
	assert_prefix(&c.include.v[1], "fd00::/8");
	assert_prefix(&c.include.v[2], "192.0.2.1");
	assert_prefix(&c.include.v[3], "::1");
	assert_prefix(&c.include.v[4], "0.0.0.0/0");
	assert_prefix(&c.include.v[5], "::/0");
	config_free(&c);
	flags_accept(&c, "-i", "127.0.0.1/4");
	assert_true(c.loopback_included);
	assert_prefix(&c.include.v[0], "112.0.0.0/4");
	config_free(&c);
	flags_accept(&c, "-i", "0.0.0.0/0,::/0,126.0.0.0/8");
	assert_false(c.loopback_included);
	config_free(&c);
	flags_accept(&c, "-i", "*");
	assert_true(c.include.all);
	config_free(&c);
	flags_accept(&c, "-i", "");
	assert_int_equal(c.include.nr + c.include.all, 0);
	config_free(&c);
	flags_accept(&c, "-x", "127.0.0.0/8,10.0.0.0/31");
	assert_int_equal(c.exclude.nr, 2);
	assert_prefix(&c.exclude.v[1], "10.0.0.0/31");
	assert_false(c.loopback_included);
	config_free(&c);
	flags_accept(&c, "--ipv4-loopback-cidr", "127.1.2.3/8");
	assert_prefix(&c.loopback, "127.0.0.0/8");
	config_free(&c);
	flags_accept(&c, "--ipv4-loopback-cidr=127.0.0.9", NULL);
	assert_prefix(&c.loopback, "127.0.0.9");
	config_free(&c);
}

static void test_booleans(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "--redirect-dns", 1 },       { "--redirect-dns=true", 1 },
		{ "--redirect-dns=1", 1 },     { "--redirect-dns=T", 1 },
		{ "--redirect-dns=TRUE", 1 },  { "--redirect-dns=false", 0 },
		{ "--redirect-dns=0", 0 },     { "--redirect-dns=f", 0 },
		{ "--redirect-dns=False", 0 },
	};
	struct config c;
	size_t i;

	(void)state;
	for (i = 0; i < SIZE(rows); i++) {
		flags_accept(&c, rows[i].text, NULL);
		assert_int_equal(c.redirect_dns, rows[i].want);
		assert_true(config_given(&c, "redirect-dns"));
		config_free(&c);
	}
	flags_accept(&c, "--capture-all-dns=false", "--dual-stack");
	assert_false(c.capture_all_dns);
	assert_true(c.dual_stack);
	config_free(&c);
	flags_accept(&c, "--drop-invalid", NULL);
	assert_true(c.drop_invalid);
	config_free(&c);
}

static void test_others(void **state)
{
	struct config c;

	(void)state;
	flags_accept(&c, "--ipv6=on", NULL);
	assert_int_equal(c.ipv6, IPV6_ON);
	config_free(&c);
	flags_accept(&c, "--ipv6", "off");
	assert_int_equal(c.ipv6, IPV6_OFF);
	config_free(&c);
	flags_accept(&c, "-m", "REDIRECT");
	config_free(&c);
	flags_accept(&c, "-m", "");
	config_free(&c);
	flags_accept(&c, "-c", "");
	config_free(&c);
	flags_accept(&c, "-k", "");
	config_free(&c);
	flags_accept(&c, "-t", "7");
	assert_int_equal(c.tproxy_mark, 7);
	config_free(&c);
	flags_accept(&c, "-r", "4294967295");
	assert_int_equal(c.tproxy_table, 4294967295U);
	config_free(&c);
	flags_accept(&c, "--dns-servers", "10.96.0.10,fd96::a");
	assert_int_equal(c.dns_servers.nr, 2);
	assert_true(config_given(&c, "dns-servers"));
	config_free(&c);
	flags_accept(&c, "--resolv-conf", "/run/resolv.conf");
	assert_string_equal(c.resolv_conf, "/run/resolv.conf");
	config_free(&c);
}

static void test_last_wins(void **state)
{
	struct config c;

	(void)state;
	flags_accept(&c, "--istio-inbound-ports=80", "--istio-inbound-ports=*");
	assert_true(c.in_include.all);
	assert_int_equal(c.in_include.nr, 0);
	config_free(&c);
	flags_accept(&c, "--istio-service-cidr=127.0.0.0/8", "--istio-service-cidr=10.0.0.0/8");
	assert_false(c.loopback_included);
	assert_int_equal(c.include.nr, 1);
	config_free(&c);
	flags_accept(&c, "--resolv-conf=a", "--resolv-conf=b");
	assert_string_equal(c.resolv_conf, "b");
	config_free(&c);
	flags_accept(&c, "--outbound-owner-groups=a,b", "--outbound-owner-groups=*");
	assert_true(c.groups.all);
	config_free(&c);
}

/* The gid of a name is its length, but "nobody" is not there and "fail" fails. */
static int resolve(void *ctx, const char *name, __u32 *ret_gid)
{
	assert_ptr_equal(ctx, resolve);
	if (!strcmp(name, "nobody"))
		return -ENOENT;
	if (!strcmp(name, "fail"))
		return -EACCES;
	*ret_gid = strlen(name);
	return 0;
}

static void test_groups(void **state)
{
	struct st_err e = { 0 };
	struct config c;

	(void)state;
	flags_accept(&c, "--outbound-owner-groups=202,java,2ftp",
		     "--outbound-owner-groups-exclude=x");
	assert_false(c.groups.all);
	assert_int_equal(c.groups.nr, 3);
	assert_string_equal(c.groups.v[0].name, "");
	assert_string_equal(c.groups.v[1].name, "java");
	assert_int_equal(config_resolve_groups(&c, resolve, resolve, &e), 0);
	assert_int_equal(c.groups.v[0].gid, 202);
	assert_int_equal(c.groups.v[1].gid, 4);
	assert_string_equal(c.groups.v[1].name, "");
	assert_int_equal(c.groups_exclude.v[0].gid, 1);
	config_free(&c);
	flags_accept(&c, "--outbound-owner-groups", "java,nobody");
	assert_int_equal(config_resolve_groups(&c, resolve, resolve, &e), -ENOENT);
	assert_string_equal(e.text, "--outbound-owner-groups 'nobody': the pod has no such group");
	config_free(&c);
	e = (struct st_err){ 0 };
	flags_accept(&c, "--outbound-owner-groups-exclude", "fail");
	assert_int_equal(config_resolve_groups(&c, resolve, resolve, &e), -EACCES);
	assert_string_equal(e.text, "--outbound-owner-groups-exclude 'fail': Permission denied");
	config_free(&c);
	flags_accept(&c, "--outbound-owner-groups", "");
	assert_int_equal(c.groups.all + c.groups.nr, 0);
	config_free(&c);
}

/* n numbers from 1 on, each with a comma */
static char *numbers(int n)
{
	char *text = malloc(n * 12 + 1);
	int i, at = 0;

	for (i = 1; i <= n; i++)
		at += sprintf(text + at, "%d,", i);
	return text;
}

static void test_group_limit(void **state)
{
	struct st_err e;
	struct config c;
	char *text = numbers(64);

	(void)state;
	flags_accept(&c, "--outbound-owner-groups", text);
	assert_int_equal(c.groups.nr, 64);
	config_free(&c);
	free(text);
	text = numbers(65);
	assert_int_equal(flags_parse(&c, "--outbound-owner-groups", text, &e), -EINVAL);
	assert_non_null(strstr(e.text, "': more than 64 groups"));
	config_free(&c);
	free(text);
	text = numbers(5000);
	flags_accept(&c, "--outbound-owner-groups-exclude", text);
	assert_int_equal(c.groups_exclude.nr, 5000);
	config_free(&c);
	free(text);
}

static void test_many_cidrs(void **state)
{
	char *text = malloc(100000 * 20), *end = text;
	struct config c;
	clock_t start;
	int i;

	(void)state;
	for (i = 0; i < 100000; i++)
		end += sprintf(end, "10.%d.%d.%d/32,", i >> 16, i >> 8 & 255, i & 255);
	start = clock();
	flags_accept(&c, "-x", text);
	assert_int_equal(c.exclude.nr, 100000);
	assert_prefix(&c.exclude.v[99999], "10.1.134.159");
	assert_true(clock() - start < CLOCKS_PER_SEC);
	config_free(&c);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_istio_defaults),
		cmocka_unit_test(test_ports),	   cmocka_unit_test(test_owners),
		cmocka_unit_test(test_cidrs),	   cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_others),	   cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_groups),	   cmocka_unit_test(test_group_limit),
		cmocka_unit_test(test_many_cidrs),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL) != 0;
}
