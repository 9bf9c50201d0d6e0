/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What Istio's rules seem to say. Nothing is checked here: what is missed, or read where it means
 * something else, makes flags whose rules are not those that were read, and that is checked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "options.h"

#define FLAGS_MAX 64

struct text {
	char *v; /* NULL: the flag is not given */
	size_t nr, max;
};

/* How far the rules of ISTIO_OUTPUT have come. */
enum phase { AT_PORTS, AT_OWNERS, AT_DESTINATIONS, AT_REDIRECTS };

struct guess {
	struct text value[FLAGS_MAX]; /* by row of config_options */
	struct text include[2];	      /* of -i, by family */
	char lo[PREFIX_TEXT_MAX];     /* what counts as loopback in the family that is read */
	int v6;			      /* it is IPv6 */
	int in_block;		      /* between the first rule of an owner and the last */
	enum phase phase;
	int local_returns;   /* the app's calls of its own pod are left alone */
	int all_dns;	     /* not only that of resolvers */
	const char *udp_dns; /* value of --udp-dns; NULL: none is redirected */
	int err;
};

/* The format has to be the whole rule: %n tells how far it got. */
#define SCAN(spec, format, ...)                                \
	({                                                     \
		int end_ = 0;                                  \
		sscanf(spec, format "%n", __VA_ARGS__, &end_); \
		end_ && !(spec)[end_];                         \
	})

static struct text *slot(struct guess *g, const char *flag)
{
	return &g->value[options_find(config_options, flag) - config_options];
}

/* One more element of a list; an empty one only says that there is a list. */
static void append(struct guess *g, struct text *list, const char *item)
{
	size_t n = list->nr + strlen(item) + 2;
	char *bigger;

	if (n > list->max) {
		bigger = realloc(list->v, n * 2);
		if (!bigger) {
			g->err = -ENOMEM;
			return;
		}
		list->v = bigger;
		list->max = n * 2;
	}
	list->nr += sprintf(list->v + list->nr, "%s%s", list->nr && *item ? "," : "", item);
}

static void put(struct guess *g, const char *flag, const char *item)
{
	append(g, slot(g, flag), item);
}

static void drop(struct guess *g, const char *flag)
{
	struct text *list = slot(g, flag);

	free(list->v);
	*list = (struct text){ 0 };
}

/* Ports, owners and marks are the same in both families: those of IPv4 are taken. */
static void put_number(struct guess *g, const char *flag, unsigned int n)
{
	char text[16];

	if (g->v6)
		return;
	snprintf(text, sizeof(text), "%u", n);
	put(g, flag, text);
}

/* The rules of a proxy owner and those of owner groups; returns 1 if it is one. */
static int guess_owner(struct guess *g, const struct rule *r)
{
	const char *uid = strstr(r->spec, "--uid-owner "), *gid = strstr(r->spec, "--gid-owner ");
	unsigned int id, port;
	char lo[64];

	if (!uid && !gid)
		return 0;
	if (g->v6 || sscanf(uid ?: gid, "%*s %u", &id) != 1)
		return 1;
	if (!strcmp(r->target, "ISTIO_IN_REDIRECT")) {
		put_number(g, uid ? "proxy-uid" : "proxy-gid", id);
		sscanf(r->spec, "! -d %63s", g->lo);
		g->in_block = 1;
		if (SCAN(r->spec,
			 "! -d %63s -o lo -p tcp ! --dport %u --gid-owner %u -j ISTIO_IN_REDIRECT",
			 lo, &port, &id) &&
		    !slot(g, "inbound-tunnel-port")->v)
			put_number(g, "inbound-tunnel-port", port);
	} else if (!strncmp(r->spec, "-o lo ", 6)) {
		g->local_returns = 1;
	} else if (SCAN(r->spec, "--uid-owner %u -j RETURN", &id) ||
		   (SCAN(r->spec, "--gid-owner %u -j RETURN", &id) && g->in_block)) {
		g->in_block = 0;
	} else if (SCAN(r->spec, "--gid-owner %u -j RETURN", &id)) {
		put_number(g, "outbound-owner-groups-exclude", id);
	} else if (!strncmp(r->spec, "! --gid-owner ", 14)) {
		drop(g, "outbound-owner-groups");
		for (; gid && sscanf(gid, "%*s %u", &id) == 1;
		     gid = strstr(gid + 1, "--gid-owner "))
			put_number(g, "outbound-owner-groups", id);
	}
	return 1;
}

/* value: what it means if DNS over UDP is redirected in that chain. */
static void guess_udp_dns(struct guess *g, const struct rule *r, const char *value)
{
	if (!g->udp_dns && strstr(r->spec, "-p udp --dport 53 -j REDIRECT"))
		g->udp_dns = value;
}

static void guess_dns(struct guess *g, const struct rule *r)
{
	char server[64];
	unsigned int port;

	if (SCAN(r->spec, "-p tcp --dport 53 -j REDIRECT --to-ports %u", &port))
		g->all_dns = 1;
	else if (SCAN(r->spec, "-d %63s -p tcp --dport 53 -j REDIRECT --to-ports %u", server,
		      &port))
		put(g, "dns-servers", server);
}

static void guess_dns_chain(struct guess *g, const struct rule *r)
{
	guess_dns(g, r);
	guess_udp_dns(g, r, "beside");
}

/* all: the CIDR that iptables leaves out. */
static void guess_captured(struct guess *g, const struct rule *r, const char *all)
{
	unsigned int port;
	char cidr[64];

	if (SCAN(r->spec, "-p tcp --dport %u -j ISTIO_REDIRECT", &port))
		put_number(g, "istio-outbound-ports", port);
	else if (SCAN(r->spec, "-d %63s -j ISTIO_REDIRECT", cidr))
		append(g, &g->include[g->v6], cidr);
	else if (!strcmp(r->spec, "-j ISTIO_REDIRECT"))
		append(g, &g->include[g->v6], all);
	else
		return;
	g->phase = AT_REDIRECTS;
}

static void guess_output(struct guess *g, const struct rule *r)
{
	const char *all = g->v6 ? "::/0" : "0.0.0.0/0";
	unsigned int port;
	char cidr[64];

	guess_dns(g, r);
	guess_udp_dns(g, r, "last");
	if (guess_owner(g, r))
		return;
	if (SCAN(r->spec, "-s %63s -o lo -j RETURN", cidr))
		g->phase = AT_OWNERS;
	else if (SCAN(r->spec, "-p tcp --dport %u -j RETURN", &port) && g->phase == AT_PORTS)
		put_number(g, "istio-local-outbound-ports-exclude", port);
	else if (SCAN(r->spec, "-d %63s -j RETURN", cidr) && g->phase == AT_OWNERS)
		g->phase = strcmp(cidr, g->lo) ? AT_OWNERS : AT_DESTINATIONS;
	else if (SCAN(r->spec, "-d %63s -j RETURN", cidr) && g->phase == AT_DESTINATIONS)
		put(g, "istio-service-exclude-cidr", cidr);
	else if (!strcmp(r->spec, "-j RETURN") && g->phase == AT_DESTINATIONS)
		put(g, "istio-service-exclude-cidr", all);
	else if (!strcmp(r->spec, "-j RETURN") && g->phase == AT_OWNERS && !g->v6)
		put(g, "outbound-owner-groups", "");
	else
		guess_captured(g, r, all);
}

/* Of nat, or with TPROXY of mangle; the tunnel port stands first in nat's, and only there. */
static void guess_inbound(struct guess *g, const struct rule *r)
{
	unsigned int port;

	if (SCAN(r->spec, "-p tcp --dport %u -j RETURN", &port))
		put_number(g, "istio-local-exclude-ports", port);
	else if (SCAN(r->spec, "-p tcp --dport %u -j ISTIO_IN_REDIRECT", &port) ||
		 SCAN(r->spec, "-p tcp --dport %u -j ISTIO_TPROXY", &port))
		put_number(g, "istio-inbound-ports", port);
	else if (!strcmp(r->spec, "-p tcp -j ISTIO_IN_REDIRECT") ||
		 !strcmp(r->spec, "-p tcp -j ISTIO_TPROXY"))
		put(g, "istio-inbound-ports", "*");
}

static void guess_nat_output(struct guess *g, const struct rule *r)
{
	char name[64];

	guess_udp_dns(g, r, "first");
	if (!g->v6 && SCAN(r->spec, "-o %63s -j RETURN", name))
		put(g, "istio-exclude-interfaces", name);
}

static void guess_redirect(struct guess *g, const struct rule *r)
{
	unsigned int port;

	if (SCAN(r->spec, "-p tcp -j REDIRECT --to-ports %u", &port))
		put_number(g, "envoy-port", port);
}

static void guess_in_redirect(struct guess *g, const struct rule *r)
{
	unsigned int port;

	if (SCAN(r->spec, "-p tcp -j REDIRECT --to-ports %u", &port))
		put_number(g, "inbound-capture-port", port);
}

/* The route table of TPROXY is not in the rules. Which one it is makes no difference. */
static void guess_mangle(struct guess *g, const struct rule *r)
{
	unsigned int mark;

	if (!strncmp(r->spec, "--ctstate INVALID -j ", 21))
		put(g, "drop-invalid", "true");
	if (SCAN(r->spec, "-p tcp --mark %x -j CONNMARK --save-mark", &mark)) {
		put(g, "istio-inbound-interception-mode", "TPROXY");
		put_number(g, "istio-inbound-tproxy-mark", mark);
	}
}

/* Shows the rules of a chain that have an effect, from the nth on. */
static void each_rule(struct guess *g, const struct table *t, const char *chain, size_t from,
		      void (*guess)(struct guess *g, const struct rule *r))
{
	struct effective rules;
	size_t i;

	if (g->err || !t)
		return;
	g->err = chain_effective(t, table_chain(t, chain), &rules);
	for (i = from; i < rules.nr; i++)
		if (!rules.v[i]->odd)
			guess(g, rules.v[i]);
	free(rules.v);
}

static void guess_family(struct guess *g, const struct rules *r, int v6)
{
	const struct table *nat = rules_table(r, TABLE_NAT, v6);
	const struct table *mangle = rules_table(r, TABLE_MANGLE, v6);

	g->v6 = v6;
	g->phase = AT_PORTS;
	strcpy(g->lo, v6 ? "::1" : "");
	each_rule(g, nat, "ISTIO_OUTPUT", 0, guess_output);
	each_rule(g, nat, "ISTIO_OUTPUT_DNS", 0, guess_dns_chain);
	each_rule(g, nat, "OUTPUT", 0, guess_nat_output);
	if (v6)
		return;
	each_rule(g, nat, "ISTIO_REDIRECT", 0, guess_redirect);
	each_rule(g, nat, "ISTIO_IN_REDIRECT", 0, guess_in_redirect);
	each_rule(g, nat, "ISTIO_INBOUND", 1, guess_inbound);
	each_rule(g, mangle, "PREROUTING", 0, guess_mangle);
	each_rule(g, mangle, "ISTIO_INBOUND", 0, guess_inbound);
}

/* The CIDR, written so that its address is a loopback one. Returns 0 if it holds none. */
static int loopback_in(const char *cidr, char text[PREFIX_TEXT_MAX])
{
	struct prefix p;
	struct addr lo;
	int v4;

	if (prefix_parse(cidr, &p, &lo))
		return 0;
	v4 = prefix_is_v4(&p);
	snprintf(text, PREFIX_TEXT_MAX, "%s", cidr);
	if (addr_is_loopback(&lo))
		return 1;
	addr_parse(v4 ? "127.0.0.1" : "::1", &lo);
	snprintf(text, PREFIX_TEXT_MAX, "%s/%d", v4 ? "127.0.0.1" : "::1", v4 ? p.len - 96 : p.len);
	return addr_covered(&lo, &p.addr, p.len);
}

/* Without the rules that let the app call its own pod, Istio was given a CIDR with a loopback
 * address. iptables prints the network's: any CIDR that has one may have been it, and it makes no
 * difference which.
 */
static void finish_list(struct guess *g, const char *list, int *need_loopback)
{
	char *copy = strdup(list), *rest = copy, *item, text[PREFIX_TEXT_MAX];

	if (!copy)
		g->err = -ENOMEM;
	while (copy && (item = strsep(&rest, ","))) {
		if (!*item)
			continue;
		if (*need_loopback && loopback_in(item, text)) {
			*need_loopback = 0;
			item = text;
		}
		put(g, "istio-service-cidr", item);
	}
	free(copy);
}

static void finish_include(struct guess *g, int has_v6)
{
	const char *v4 = g->include[0].v ?: "", *v6 = g->include[1].v ?: "";
	int need_loopback = !g->local_returns;

	if (g->local_returns && !strcmp(v4, "0.0.0.0/0") && (!has_v6 || !strcmp(v6, "::/0"))) {
		put(g, "istio-service-cidr", "*");
		return;
	}
	put(g, "istio-service-cidr", "");
	finish_list(g, v4, &need_loopback);
	finish_list(g, v6, &need_loopback);
}

/* What is said by there being no rule. */
static void finish(struct guess *g, const struct rules *r)
{
	const struct table *nat = rules_table(r, TABLE_NAT, 1);
	const struct chain *output = nat ? table_chain(nat, "ISTIO_OUTPUT") : NULL;
	int has_v6 = output && output->nr;

	finish_include(g, has_v6);
	put(g, "istio-local-outbound-ports-exclude", "");
	put(g, "istio-inbound-ports", "");
	put(g, "istio-local-exclude-ports", "");
	if (!g->err && strcmp(slot(g, "istio-inbound-ports")->v, "*"))
		drop(g, "istio-local-exclude-ports"); /* of no effect */
	if (g->all_dns)
		drop(g, "dns-servers");
	else if (slot(g, "dns-servers")->v)
		put(g, "capture-all-dns", "false");
	else
		put(g, "redirect-dns", "false");
	if (g->udp_dns &&
	    strcmp(g->udp_dns, slot(g, "inbound-tunnel-port")->v ? "beside" : "first"))
		put(g, "udp-dns", g->udp_dns);
	if (has_v6 || (nat && nat->told))
		put(g, "ipv6", has_v6 ? "on" : "off");
}

static void emit(struct guess *g, struct import *i, const char *format, ...)
{
	char *flag = NULL, **bigger = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&flag, format, ap) < 0)
		flag = NULL;
	va_end(ap);
	if (flag)
		bigger = reallocarray(i->flags, i->nr + 1, sizeof(*bigger));
	if (!bigger) {
		free(flag);
		g->err = -ENOMEM;
		return;
	}
	i->flags = bigger;
	i->flags[i->nr++] = flag;
}

/* Values in which a shell's $(...) keeps every word: an empty one is part of its flag. */
static void emit_flag(struct guess *g, struct import *i, const struct option_row *row,
		      const char *value)
{
	if (row->letter && *value) {
		emit(g, i, "-%c", row->letter);
		emit(g, i, "%s", value);
	} else if (!row->metavar && !strcmp(value, "true")) {
		emit(g, i, "--%s", row->name);
	} else {
		emit(g, i, "--%s=%s", row->name, value);
	}
}

/* 0: attach would refuse it. Then it is not said, and the rule that it came from stands out. */
static int can_be_said(struct guess *g, const struct option_row *row, const char *value)
{
	struct st_err e = { 0 };
	struct config c;
	int err = config_init(&c, &e);

	err = err ?: row->set(&c, row, value, &e);
	config_free(&c);
	g->err = g->err ?: err == -ENOMEM ? err : 0;
	return !err;
}

int import_guess(const struct rules *r, struct import *i)
{
	const struct option_row *row;
	struct guess g = { 0 };
	const char *value;
	size_t n;

	guess_family(&g, r, 0);
	put(&g, "ipv4-loopback-cidr", *g.lo ? g.lo : config_default("ipv4-loopback-cidr"));
	guess_family(&g, r, 1);
	finish(&g, r);
	for (row = config_options; row->name; row++) {
		value = g.value[row - config_options].v;
		if (value && !g.err && strcmp(value, config_default(row->name)) &&
		    can_be_said(&g, row, value))
			emit_flag(&g, i, row, value);
	}
	for (n = 0; n < FLAGS_MAX; n++)
		free(g.value[n].v);
	free(g.include[0].v);
	free(g.include[1].v);
	return g.err;
}
