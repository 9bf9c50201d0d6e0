/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "istio_rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OUTBOUND_MARK 1338 /* TPROXY: from the proxy to its own pod; not configurable */

enum raw_form {
	RAW_BY_DESTINATION, /* replies by the address they go to: a mistake of 1.11 to 1.19 */
	RAW_PLAIN,	    /* 1.20 to 1.22 */
	RAW_OUTPUT_CHAIN,   /* 1.23, 1.24 */
	RAW_CHAINS,	    /* since 1.25 */
};

enum mangle_form {
	MANGLE_DROP,	   /* 1.13 to 1.23 */
	MANGLE_DROP_CHAIN, /* since 1.24 */
};

struct maker {
	const struct config *c;
	const struct id_list *gids;
	int v6, form, dns;
	const char *lo, *from_app; /* addresses */
	char lo_text[PREFIX_TEXT_MAX];
	struct table *table;
	struct st_err *e;
	int err;
};

__attribute__((format(printf, 2, 3))) static void add(struct maker *m, const char *format, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		m->err = m->err ?: err_sys(m->e, ENOMEM, "rules", NULL);
		return;
	}
	m->err = m->err ?: table_add(m->table, 0, text, m->e);
	free(text);
}

/* 1, and the text of the prefix, if it is of the family whose rules are made. */
static int in_family(const struct maker *m, const struct prefix *p, char text[PREFIX_TEXT_MAX])
{
	if (prefix_is_v4(p) == m->v6)
		return 0;
	prefix_print(p, text);
	return 1;
}

static int server_in_family(const struct maker *m, size_t i, char text[PREFIX_TEXT_MAX])
{
	struct prefix p = { m->c->dns_servers.v[i], 128 };

	return in_family(m, &p, text);
}

static int has_servers(const struct maker *m)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 0; i < m->c->dns_servers.nr; i++)
		if (server_in_family(m, i, text))
			return 1;
	return 0;
}

/* Of proxy uid or gid: the proxy calling its own pod, the app calling its own, the proxy's rest. */
static void add_owner(struct maker *m, const char *option, __u32 id, int spare_dns)
{
	char ports[64] = "";

	if (m->c->old_rules && spare_dns)
		strcpy(ports, "-p tcp ! --dport 53 ");
	else if (!m->c->old_rules && spare_dns)
		sprintf(ports, "-p tcp -m multiport ! --dports 53,%u ", m->c->tunnel_port);
	else if (!m->c->old_rules)
		sprintf(ports, "-p tcp ! --dport %u ", m->c->tunnel_port);
	add(m, "-A ISTIO_OUTPUT ! -d %s -o lo %s-m owner %s %u -j ISTIO_IN_REDIRECT", m->lo, ports,
	    option, id);
	if (!m->c->loopback_included)
		add(m, "-A ISTIO_OUTPUT -o lo %s-m owner ! %s %u -j RETURN",
		    m->dns ? "-p tcp ! --dport 53 " : "", option, id);
	add(m, "-A ISTIO_OUTPUT -m owner %s %u -j RETURN", option, id);
}

/* prefix: chain and protocol. All groups that are captured stand in one rule; none, and it returns
 * everything.
 */
static void add_groups(struct maker *m, const char *prefix)
{
	const struct group_list *only = &m->c->groups, *but = &m->c->groups_exclude;
	char all[(sizeof("-m owner ! --gid-owner 4294967294 ") - 1) * 64 + 1] = "", *end = all;
	size_t i;

	for (i = 0; only->all && i < but->nr; i++)
		add(m, "-A %s -m owner --gid-owner %u -j RETURN", prefix, but->v[i].gid);
	if (only->all)
		return;
	for (i = 0; i < only->nr; i++)
		end += sprintf(end, "-m owner ! --gid-owner %u ", only->v[i].gid);
	add(m, "-A %s %s-j RETURN", prefix, all);
}

static void add_dns(struct maker *m, const char *chain, const char *proto)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	if (m->c->capture_all_dns)
		add(m, "-A %s -p %s --dport 53 -j REDIRECT --to-ports %d", chain, proto,
		    ST_DNS_PORT);
	for (i = 0; !m->c->capture_all_dns && i < m->c->dns_servers.nr; i++)
		if (server_in_family(m, i, text))
			add(m, "-A %s -d %s -p %s --dport 53 -j REDIRECT --to-ports %d", chain,
			    text, proto, ST_DNS_PORT);
}

/* DNS over UDP with owner rules of its own, as before 1.25. */
static void add_udp_dns(struct maker *m, const char *chain)
{
	char prefix[64];
	size_t i;

	for (i = 0; i < m->c->uids.nr; i++)
		add(m, "-A %s -p udp --dport 53 -m owner --uid-owner %u -j RETURN", chain,
		    m->c->uids.v[i]);
	for (i = 0; i < m->gids->nr; i++)
		add(m, "-A %s -p udp --dport 53 -m owner --gid-owner %u -j RETURN", chain,
		    m->gids->v[i]);
	snprintf(prefix, sizeof(prefix), "%s -p udp --dport 53", chain);
	add_groups(m, prefix);
	add_dns(m, chain, "udp");
}

static void add_dns_chain(struct maker *m)
{
	if (m->c->capture_all_dns || has_servers(m))
		add(m, "-A ISTIO_OUTPUT -j ISTIO_OUTPUT_DNS");
	add_dns(m, "ISTIO_OUTPUT_DNS", "tcp");
	add_dns(m, "ISTIO_OUTPUT_DNS", "udp");
}

static void add_destinations(struct maker *m)
{
	const struct config *c = m->c;
	char text[PREFIX_TEXT_MAX];
	size_t i;

	add(m, "-A ISTIO_OUTPUT -d %s -j RETURN", m->lo);
	for (i = 0; i < c->exclude.nr; i++)
		if (in_family(m, &c->exclude.v[i], text))
			add(m, "-A ISTIO_OUTPUT -d %s -j RETURN", text);
	for (i = 0; i < c->out_include.nr; i++)
		add(m, "-A ISTIO_OUTPUT -p tcp --dport %u -j ISTIO_REDIRECT", c->out_include.v[i]);
	if (c->include.all)
		add(m, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT");
	for (i = 0; i < c->include.nr; i++)
		if (in_family(m, &c->include.v[i], text))
			add(m, "-A ISTIO_OUTPUT -d %s -j ISTIO_REDIRECT", text);
}

static void add_output(struct maker *m)
{
	const struct config *c = m->c;
	size_t i;

	for (i = 0; i < c->out_exclude.nr; i++) {
		add(m, "-A ISTIO_OUTPUT -p tcp --dport %u -j RETURN", c->out_exclude.v[i]);
		if (m->form == UDP_DNS_BESIDE)
			add(m, "-A ISTIO_OUTPUT -p udp --dport %u -j RETURN", c->out_exclude.v[i]);
	}
	add(m, "-A ISTIO_OUTPUT -s %s -o lo -j RETURN", m->from_app);
	for (i = 0; i < c->uids.nr; i++)
		add_owner(m, "--uid-owner", c->uids.v[i], m->dns);
	for (i = 0; i < m->gids->nr; i++)
		add_owner(m, "--gid-owner", m->gids->v[i], 0);
	add_groups(m, "ISTIO_OUTPUT");
	if (m->dns && m->form == UDP_DNS_BESIDE)
		add_dns_chain(m);
	else if (m->dns)
		add_dns(m, "ISTIO_OUTPUT", "tcp");
	add_destinations(m);
	if (m->dns && m->form == UDP_DNS_LAST)
		add_udp_dns(m, "ISTIO_OUTPUT");
}

/* Without -b nothing leads to ISTIO_INBOUND. */
static void add_inbound(struct maker *m)
{
	const struct config *c = m->c;
	size_t i;

	if (c->in_include.all || c->in_include.nr)
		add(m, "-A PREROUTING -p tcp -j ISTIO_INBOUND");
	for (i = 0; c->in_include.all && i < c->in_exclude.nr; i++)
		add(m, "-A ISTIO_INBOUND -p tcp --dport %u -j RETURN", c->in_exclude.v[i]);
	if (c->in_include.all)
		add(m, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT");
	for (i = 0; i < c->in_include.nr; i++)
		add(m, "-A ISTIO_INBOUND -p tcp --dport %u -j ISTIO_IN_REDIRECT",
		    c->in_include.v[i]);
}

static void add_interfaces(struct maker *m)
{
	size_t i;

	for (i = 0; i < m->c->ifaces.nr; i++) {
		add(m, "-A PREROUTING -i %s -j RETURN", m->c->ifaces.v[i].text);
		add(m, "-A OUTPUT -o %s -j RETURN", m->c->ifaces.v[i].text);
	}
}

static void make_nat(struct maker *m)
{
	const struct config *c = m->c;

	add_interfaces(m);
	add(m, "-A ISTIO_INBOUND -p tcp --dport %u -j RETURN", c->tunnel_port);
	if (!c->tproxy)
		add_inbound(m);
	add(m, "-A OUTPUT %s-j ISTIO_OUTPUT", m->form == UDP_DNS_BESIDE ? "" : "-p tcp ");
	if (m->dns && m->form == UDP_DNS_FIRST)
		add_udp_dns(m, "OUTPUT");
	if (m->dns && m->form == UDP_DNS_LAST)
		add(m, "-A OUTPUT -p udp -j ISTIO_OUTPUT");
	add_output(m);
	add(m, "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports %u", c->outbound_port);
	add(m, "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports %u", c->inbound_port);
}

static void add_zones(struct maker *m, const char *chain)
{
	static const char rule[] = "-A %s -p udp --%s -m owner --%s-owner %u -j CT --zone %d";
	size_t i;

	for (i = 0; i < m->c->uids.nr; i++) {
		add(m, rule, chain, "dport 53", "uid", m->c->uids.v[i], 1);
		add(m, rule, chain, "sport 15053", "uid", m->c->uids.v[i], 2);
	}
	for (i = 0; i < m->gids->nr; i++) {
		add(m, rule, chain, "dport 53", "gid", m->gids->v[i], 1);
		add(m, rule, chain, "sport 15053", "gid", m->gids->v[i], 2);
	}
}

/* Conntrack zones keep the app's queries and the agent's apart. */
static void make_raw(struct maker *m)
{
	static const char *const outputs[] = { "OUTPUT", "OUTPUT", "ISTIO_OUTPUT",
					       "ISTIO_OUTPUT_DNS" };
	const char *output = outputs[m->form];
	const char *input = m->form == RAW_CHAINS ? "ISTIO_INBOUND" : "PREROUTING";
	char text[PREFIX_TEXT_MAX];
	size_t i;

	if (!m->dns)
		return;
	if (m->form >= RAW_OUTPUT_CHAIN)
		add(m, "-A OUTPUT %s-j %s", m->form == RAW_CHAINS ? "" : "-p udp ", output);
	if (m->form == RAW_CHAINS && (m->c->capture_all_dns || has_servers(m)))
		add(m, "-A PREROUTING -j ISTIO_INBOUND");
	add_zones(m, output);
	if (m->c->capture_all_dns) {
		add(m, "-A %s -p udp --dport 53 -j CT --zone 2", output);
		add(m, "-A %s -p udp --sport 53 -j CT --zone 1", input);
		return;
	}
	for (i = 0; i < m->c->dns_servers.nr; i++) {
		if (!server_in_family(m, i, text))
			continue;
		add(m, "-A %s -d %s -p udp --dport 53 -j CT --zone 2", output, text);
		add(m, "-A %s %s %s -p udp --sport 53 -j CT --zone 1", input,
		    m->form == RAW_BY_DESTINATION ? "-d" : "-s", text);
	}
}

/* What arrives: to the proxy's listener, with the addresses that it has. */
static void add_tproxy_inbound(struct maker *m)
{
	static const char divert[] = "-A ISTIO_INBOUND -p tcp%s -m conntrack "
				     "--ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT";
	const struct config *c = m->c;
	char port[32] = "";
	size_t i;

	for (i = 0; c->in_include.all && i < c->in_exclude.nr; i++)
		add(m, "-A ISTIO_INBOUND -p tcp --dport %u -j RETURN", c->in_exclude.v[i]);
	for (i = 0; i < c->in_include.nr + c->in_include.all; i++) {
		if (!c->in_include.all)
			sprintf(port, " --dport %u", c->in_include.v[i]);
		add(m, divert, port);
		add(m, "-A ISTIO_INBOUND -p tcp%s -j ISTIO_TPROXY", port);
	}
	add(m, "-A ISTIO_DIVERT -j MARK --set-mark %u", c->tproxy_mark);
	add(m, "-A ISTIO_DIVERT -j ACCEPT");
	add(m, "-A ISTIO_TPROXY ! -d %s -p tcp -j TPROXY --on-port %u --tproxy-mark %u", m->lo,
	    c->inbound_port, c->tproxy_mark);
}

/* What the proxy sends with the address of a client comes back to it by its mark. */
static void add_tproxy_marks(struct maker *m)
{
	static const char mark[] = "-A OUTPUT ! -d %s -o lo -p tcp -m owner --%s-owner %u "
				   "-j MARK --set-mark %d";
	__u32 own = m->c->tproxy_mark;
	size_t i;

	add(m, "-A PREROUTING -p tcp -m mark --mark %u -j CONNMARK --save-mark", own);
	add(m, "-A ISTIO_INBOUND -p tcp -m mark --mark %u -j RETURN", own);
	add(m, "-A ISTIO_INBOUND -s %s -i lo -p tcp -j RETURN", m->from_app);
	add(m, "-A ISTIO_INBOUND -i lo -p tcp -m mark ! --mark %d -j RETURN", OUTBOUND_MARK);
	add(m, "-A OUTPUT -o lo -p tcp -m mark --mark %u -j RETURN", own);
	for (i = 0; i < m->c->uids.nr; i++)
		add(m, mark, m->lo, "uid", m->c->uids.v[i], OUTBOUND_MARK);
	for (i = 0; i < m->gids->nr; i++)
		add(m, mark, m->lo, "gid", m->gids->v[i], OUTBOUND_MARK);
	add(m, "-A OUTPUT -p tcp -m connmark --mark %u -j CONNMARK --restore-mark", own);
}

static void make_mangle(struct maker *m)
{
	const struct config *c = m->c;
	int inbound = c->tproxy && (c->in_include.all || c->in_include.nr);
	const char *drop = m->form == MANGLE_DROP ? "DROP" : "ISTIO_DROP";

	if (c->tproxy)
		add_interfaces(m);
	if (c->drop_invalid)
		add(m, "-A PREROUTING -m conntrack --ctstate INVALID -j %s", drop);
	if (c->drop_invalid && m->form == MANGLE_DROP_CHAIN)
		add(m, "-A ISTIO_DROP -j DROP");
	if (inbound)
		add(m, "-A PREROUTING -p tcp -j ISTIO_INBOUND");
	if (c->tproxy)
		add_tproxy_marks(m);
	if (inbound)
		add_tproxy_inbound(m);
}

int istio_forms(enum rule_table name)
{
	static const int forms[] = { [TABLE_NAT] = UDP_DNS_LAST + 1,
				     [TABLE_RAW] = RAW_CHAINS + 1,
				     [TABLE_MANGLE] = MANGLE_DROP_CHAIN + 1,
				     [TABLE_FILTER] = 1,
				     [TABLE_UNKNOWN] = 1 };

	return forms[name];
}

int istio_rules(const struct config *c, int v6, enum rule_table name, int form, struct table *ret,
		struct st_err *e)
{
	struct maker m = { .c = c, .v6 = v6, .form = form, .table = ret, .e = e };

	*ret = (struct table){ .name = name, .family = v6 ? FAMILY_V6 : FAMILY_V4 };
	m.gids = c->gids.nr ? &c->gids : &c->uids;
	m.dns = c->redirect_dns && (c->capture_all_dns || c->dns_servers.nr);
	prefix_print(&c->loopback, m.lo_text);
	m.lo = v6 ? "::1" : m.lo_text;
	m.from_app = v6 ? "::6" : "127.0.0.6";
	if (name == TABLE_NAT)
		make_nat(&m);
	else if (name == TABLE_RAW)
		make_raw(&m);
	else if (name == TABLE_MANGLE)
		make_mangle(&m);
	if (m.err)
		table_free(ret);
	return m.err;
}
