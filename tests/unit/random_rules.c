/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "random_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/istio_rules.h"

__u64 random_state;

/* splitmix64: small, and the same everywhere */
__u32 random_pick(__u32 n)
{
	__u64 z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

#define PICK(array) (array)[random_pick(sizeof(array) / sizeof((array)[0]))]

static const char *const ports[] = { "22",    "53",    "80",	"443",	 "8080",  "15001", "15006",
				     "15008", "15020", "15021", "15053", "15090", "65535" };
static const char *const ids[] = { "0", "202", "203", "1000", "1337", "2000" };
static const char *const addrs[] = { "10.77.0.2", "10.77.0.9", "10.77.0.3", "10.96.0.10",
				     "127.0.0.1", "127.0.0.2", "127.0.0.6", "127.0.0.53",
				     "127.1.2.3", "10.1.2.3",  "10.2.0.0",  "203.0.113.53",
				     "fd77::2",	  "fd77::9",   "fd77::3",   "fd96::a",
				     "::1",	  "::2",       "::6",	    "2001:db8::53",
				     "fd00:1::1" };
static const char *const lists[] = { "127.0.0.0/8", "127.0.0.1/32", "127.1.0.0/16" };
static const char *const names[] = { "net1", "net2", "eth+" };
static const char *const booleans[] = { "true", "false" };
static const char *const modes[] = { "REDIRECT", "TPROXY" };
static const char *const places[] = { "first", "beside", "last" };
static const char *const families[] = { "on", "on", "off" };

#define FROM(array) array, sizeof(array) / sizeof((array)[0])

static const struct {
	const char *name;
	const char *const *from;
	size_t nr_from;
	int min, max; /* elements; -1: one value, no list */
	int star;     /* '*' is possible */
	int cidr;     /* elements get a length */
} flags[] = {
	{ "envoy-port", FROM(ports), -1, -1, 0, 0 },
	{ "inbound-capture-port", FROM(ports), -1, -1, 0, 0 },
	{ "inbound-tunnel-port", FROM(ports), -1, -1, 0, 0 },
	{ "istio-inbound-interception-mode", FROM(modes), -1, -1, 0, 0 },
	{ "istio-inbound-ports", FROM(ports), 0, 3, 1, 0 },
	{ "istio-local-exclude-ports", FROM(ports), 0, 3, 0, 0 },
	{ "istio-service-cidr", FROM(addrs), 0, 3, 1, 1 },
	{ "istio-service-exclude-cidr", FROM(addrs), 0, 3, 0, 1 },
	{ "istio-outbound-ports", FROM(ports), 0, 3, 0, 0 },
	{ "istio-local-outbound-ports-exclude", FROM(ports), 0, 3, 0, 0 },
	{ "istio-exclude-interfaces", FROM(names), 0, 2, 0, 0 },
	{ "proxy-uid", FROM(ids), 1, 3, 0, 0 },
	{ "proxy-gid", FROM(ids), 0, 3, 0, 0 },
	{ "outbound-owner-groups", FROM(ids), 0, 3, 1, 0 },
	{ "outbound-owner-groups-exclude", FROM(ids), 0, 3, 0, 0 },
	{ "dns-servers", FROM(addrs), 0, 3, 0, 0 },
	{ "redirect-dns", FROM(booleans), -1, -1, 0, 0 },
	{ "capture-all-dns", FROM(booleans), -1, -1, 0, 0 },
	{ "udp-dns", FROM(places), -1, -1, 0, 0 },
	{ "drop-invalid", FROM(booleans), -1, -1, 0, 0 },
	{ "ipv6", FROM(families), -1, -1, 0, 0 },
	{ "ipv4-loopback-cidr", FROM(lists), -1, -1, 0, 0 },
};

static void put_element(char *text, size_t i)
{
	const char *item = flags[i].from[random_pick(flags[i].nr_from)];

	if (flags[i].cidr && random_pick(2))
		sprintf(text, "%s/%u", item, 1 + random_pick(strchr(item, ':') ? 128 : 32));
	else
		strcpy(text, item);
}

static void put_value(char *text, size_t i)
{
	int n = flags[i].min < 0 ? 1
				 : flags[i].min + (int)random_pick(flags[i].max - flags[i].min + 1);

	*text = '\0';
	if (flags[i].star && !random_pick(3)) {
		strcpy(text, "*");
		return;
	}
	for (; n > 0; n--) {
		put_element(text + strlen(text), i);
		if (n > 1)
			strcat(text, ",");
	}
}

void random_policy(struct config *c, char *ret_text)
{
	const struct option_row *row;
	struct st_err e = { 0 };
	char value[512];
	size_t i;

	*ret_text = '\0';
	assert_int_equal(config_init(c, &e), 0);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (random_pick(3))
			continue;
		row = options_find(config_options, flags[i].name);
		put_value(value, i);
		if (row->set(c, row, value, &e))
			fail_msg("%s", e.text);
		sprintf(ret_text + strlen(ret_text), " --%s=%s", row->name, value);
	}
	c->ipv6 = c->ipv6 == IPV6_ON ? IPV6_ON : IPV6_OFF;
}

/* A rule with what people and tools add to it. */
static void put_rule(FILE *f, const char *text)
{
	const char *target = strstr(text, " -j ");

	if (!random_pick(20))
		fprintf(f, "%.*s -j NFLOG --nflog-prefix \"a \\\" -j DROP\" --nflog-group 1337\n",
			(int)(target - text), text);
	if (!random_pick(20))
		fprintf(f, "[%u:%u] ", random_pick(1000), random_pick(100000));
	fprintf(f, "%.*s%s%s\n", (int)(target - text), text,
		random_pick(20) ? "" : " -m comment --comment \"the mesh's -j DROP\"", target);
}

static void put_table(FILE *f, const struct config *c, enum rule_table name, int form, int v6)
{
	static const char *const names_of[] = { "raw", "mangle", "nat" };
	struct st_err e = { 0 };
	struct table t;
	size_t i, j;

	if (istio_rules(c, v6, name, form, &t, &e))
		fail_msg("%s", e.text);
	fprintf(f, "# Generated by ip%stables-save v1.8.9\n*%s\n", v6 ? "6" : "", names_of[name]);
	for (i = 0; i < t.nr; i++)
		fprintf(f, ":%s %s [0:0]\n", t.chains[i].name,
			chain_is_hook(t.chains[i].name) ? "ACCEPT" : "-");
	for (i = 0; i < t.nr; i++)
		for (j = 0; j < t.chains[i].nr; j++)
			put_rule(f, t.chains[i].rules[j].text);
	fprintf(f, "COMMIT\n");
	table_free(&t);
}

int random_has_dns(const struct config *c)
{
	return c->redirect_dns && (c->capture_all_dns || c->dns_servers.nr);
}

void random_rules(const struct config *c, char text[RULES_MAX])
{
	FILE *f = fmemopen(text, RULES_MAX, "w");
	int v6, form = c->udp_dns;

	if (!random_has_dns(c))
		form = random_pick(3);
	for (v6 = 0; v6 <= (c->ipv6 == IPV6_ON); v6++) {
		put_table(f, c, TABLE_RAW, random_pick(istio_forms(TABLE_RAW)), v6);
		put_table(f, c, TABLE_MANGLE, random_pick(istio_forms(TABLE_MANGLE)), v6);
		put_table(f, c, TABLE_NAT, form, v6);
	}
	assert_true(ftell(f) < RULES_MAX - 1);
	fclose(f);
}

static void random_addr(struct addr *ret, int v6)
{
	const char *text;

	do
		text = PICK(addrs);
	while ((strchr(text, ':') != NULL) != v6);
	assert_null(addr_parse(text, ret));
}

struct flow random_flow(int v6, int inbound)
{
	struct flow f = { .proto = random_pick(3) ? ST_TCP : ST_UDP, .uid = -1, .gid = -1 };

	assert_null(port_parse(PICK(ports), &f.dport));
	f.dport = random_pick(3) ? f.dport : 53;
	if (!inbound && random_pick(10)) {
		assert_null(id_parse(PICK(ids), &f.uid));
		assert_null(id_parse(PICK(ids), &f.gid));
	}
	do
		random_addr(&f.dst, v6);
	while (inbound && addr_is_loopback(&f.dst)); /* such a packet is not routed */
	if (inbound || !random_pick(3))
		random_addr(&f.src, v6);
	return f;
}

static char *random_rule(char *text)
{
	size_t n = strlen(text);
	char *at;

	do
		at = strstr(text + random_pick(n), "\n-A ");
	while (!at);
	return at + 1;
}

/* n bytes at that place become other ones. */
static void splice(char *at, size_t n, const char *put)
{
	memmove(at + strlen(put), at + n, strlen(at + n) + 1);
	memcpy(at, put, strlen(put));
}

static void exchange(char *line, const char *find, const char *put)
{
	char *at = strstr(line, find);

	if (at && at < line + strcspn(line, "\n"))
		splice(at, strlen(find), put);
}

/* In the way of Istio's, or of no effect. */
static const char *const foreign[] = {
	"-A OUTPUT -j ACCEPT\n",
	"-A OUTPUT -o lo -j RETURN\n",
	"-A OUTPUT -p udp --dport 53 -j ACCEPT\n",
	"-A OUTPUT -p tcp -j ISTIO_REDIRECT\n",
	"-A PREROUTING -p tcp --dport 80 -j ACCEPT\n",
	"-A PREROUTING -p tcp -j ISTIO_INBOUND\n",
	"-A ISTIO_INBOUND -j RETURN\n",
	"-A ISTIO_OUTPUT -j RETURN\n",
	"-A ISTIO_OUTPUT --gid-owner 202 -j RETURN\n",
	"-A ISTIO_OUTPUT -d 10.1.0.0/16 -j RETURN\n",
	"-A ISTIO_OUTPUT -p tcp --dport 443 -j RETURN\n",
	"-A ISTIO_OUTPUT -d 10.0.0.0/8 -p tcp --dport 53 -j REDIRECT --to-ports 15053\n",
	"-A ISTIO_OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 15053\n",
	"-A ISTIO_OUTPUT_DNS -p udp -j RETURN\n",
	"-A ISTIO_REDIRECT -p tcp --dport 80 -j REDIRECT --to-ports 80\n",
	"-A ISTIO_IN_REDIRECT -p tcp --dport 22 -j RETURN\n",
	"-A ANOTHER -j ACCEPT\n-A ISTIO_OUTPUT -d 10.0.0.0/8 -j ANOTHER\n",
	"-A ANOTHER -j RETURN\n-A ISTIO_OUTPUT -j ANOTHER\n",
};

static void try_fault(char *text)
{
	static const char *const parts[][2] = {
		{ "! ", "" },
		{ " -o lo", "" },
		{ "-p tcp", "-p udp" },
		{ "-j RETURN", "-j ACCEPT" },
		{ "-j RETURN", "-j ISTIO_REDIRECT" },
		{ "-j ISTIO_REDIRECT", "-j RETURN" },
		{ "ISTIO_IN_REDIRECT", "ISTIO_REDIRECT" },
		{ " -p tcp", "" },
		{ "--dport", "--sport" },
		{ "uid-owner", "gid-owner" },
		{ "-m owner", "-m owner !" },
		{ "1337", "1338" },
		{ "53", "80" },
		{ "15008", "15020" },
		{ "15006", "15001" },
		{ "-d ", "! -d " },
		{ "127.0.0.1", "127.0.0.2" },
		{ "-A ISTIO_OUTPUT", "-A OUTPUT" },
		{ "-p udp", "-p tcp" },
		{ "--dport 53", "" },
	};
	char *line = random_rule(text), *other;
	size_t n = strcspn(line, "\n") + 1, part = random_pick(sizeof(parts) / sizeof(parts[0]));
	char copy[4096];

	assert_true(n < sizeof(copy));
	snprintf(copy, n + 1, "%s", line);
	switch (random_pick(9)) {
	case 0:
		splice(line, n, "");
		break;
	case 1:
		splice(line, 0, copy);
		break;
	case 2:
		splice(line, n, "");
		other = random_rule(text);
		splice(other, 0, copy);
		break;
	case 3:
		splice(line, 0, PICK(foreign));
		break;
	default:
		exchange(line, parts[part][0], parts[part][1]);
	}
}

void random_fault(char *text)
{
	char *before = strdup(text);

	do
		try_fault(text);
	while (!strcmp(text, before));
	free(before);
}
