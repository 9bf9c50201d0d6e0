/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules, in the order of Istio's code. oracle_walk.c walks them, oracle_print.c prints them. */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ANY, TCP = 6, UDP = 17 };

struct chain {
	struct oracle_rule *rules;
	size_t nr, max;
	int v6;
	int failed;
};

static const struct prefix from_app4 = { .addr.w = { 0, 0, ST_V4(0, 0, 255, 255),
						     ST_V4(127, 0, 0, 6) },
					 .len = 128 };
static const struct prefix from_app6 = { .addr.w = { 0, 0, 0, ST_V4(0, 0, 0, 6) }, .len = 128 };
static const struct prefix loopback6 = { .addr.w = { 0, 0, 0, ST_V4(0, 0, 0, 1) }, .len = 128 };
/* ::ffff:0:0/96, bit by bit. */
static int is_ipv4(const struct addr *a)
{
	int i;

	for (i = 0; i < 96; i++) {
		if ((((const __u8 *)a)[i / 8] >> (7 - i % 8) & 1) != (i >= 80))
			return 0;
	}
	return 1;
}

static void append(struct chain *chain, struct oracle_rule rule)
{
	struct oracle_rule *bigger;

	if (chain->nr == chain->max) {
		bigger = reallocarray(chain->rules, chain->max * 2 + 16, sizeof(*bigger));
		if (!bigger) {
			chain->failed = 1;
			return;
		}
		chain->rules = bigger;
		chain->max = chain->max * 2 + 16;
	}
	chain->rules[chain->nr++] = rule;
}

static const struct prefix *loopback(const struct chain *chain, const struct config *c)
{
	return chain->v6 ? &loopback6 : &c->loopback;
}

/* Where a rule of ISTIO_OUTPUT is written that is about UDP: Istio had it in OUTPUT once. */
static enum oracle_chain udp_chain(const struct config *c)
{
	return c->udp_dns == UDP_DNS_FIRST ? OUTPUT_TAIL : ISTIO_OUTPUT;
}

/* The three rules of a proxy's uid (UID_IS) or gid (GID_IS); only the uid's spare DNS. */
static void add_proxy(struct chain *chain, const struct config *c, enum owner_match is, __u32 id,
		      int dns)
{
	int spares_dns = dns && is == UID_IS;
	struct oracle_rule to_self = { .chain = ISTIO_OUTPUT,
				       .iface = "lo",
				       .not_dst = loopback(chain, c),
				       .not_dports = { spares_dns ? 53 : 0,
						       c->old_rules ? 0 : c->tunnel_port },
				       .proto = spares_dns || !c->old_rules ? TCP : ANY,
				       .owner = is,
				       .id = id,
				       .target = TO_INBOUND };
	struct oracle_rule to_app = { .chain = ISTIO_OUTPUT,
				      .iface = "lo",
				      .proto = dns ? TCP : ANY,
				      .not_dports = { dns ? 53 : 0 },
				      .owner = is == UID_IS ? UID_IS_NOT : GID_IS_NOT,
				      .id = id };

	append(chain, to_self);
	if (!c->loopback_included)
		append(chain, to_app);
	append(chain, (struct oracle_rule){ .chain = ISTIO_OUTPUT, .owner = is, .id = id });
}

static void add_groups(struct chain *chain, const struct config *c, enum oracle_chain where,
		       int proto)
{
	size_t i;

	for (i = 0; c->groups.all && i < c->groups_exclude.nr; i++)
		append(chain, (struct oracle_rule){ .chain = where,
						    .proto = proto,
						    .owner = GID_IS,
						    .id = c->groups_exclude.v[i].gid });
	if (!c->groups.all)
		append(chain, (struct oracle_rule){ .chain = where,
						    .proto = proto,
						    .not_groups = c->groups.v,
						    .nr_not_groups = c->groups.nr });
}

static void add_dns(struct chain *chain, const struct config *c, const struct oracle *o,
		    enum oracle_chain where, int proto)
{
	struct oracle_rule rule = { .chain = where, .proto = proto, .dport = 53, .target = TO_DNS };
	size_t i;

	if (c->capture_all_dns)
		append(chain, rule);
	for (i = 0; !c->capture_all_dns && i < o->nr_servers; i++) {
		rule.dst = &o->servers[i];
		append(chain, rule);
	}
}

/* In Istio to 1.24 UDP 53 has rules of its own, to 1.22 in OUTPUT, and only TCP goes to ISTIO_OUTPUT.
 * What these rules do not have yet (owner groups, -o for UDP) stands where the new ones have it.
 */
static void add_old_dns(struct chain *chain, const struct config *c, const struct id_list *gids,
			const struct oracle *o)
{
	struct oracle_rule rule = { .chain = udp_chain(c), .proto = UDP, .dport = 53 };
	size_t i;

	rule.owner = UID_IS;
	for (i = 0; i < c->uids.nr; i++) {
		rule.id = c->uids.v[i];
		append(chain, rule);
	}
	rule.owner = GID_IS;
	for (i = 0; i < gids->nr; i++) {
		rule.id = gids->v[i];
		append(chain, rule);
	}
	add_groups(chain, c, rule.chain, UDP);
	add_dns(chain, c, o, rule.chain, UDP);
}

static void add_destinations(struct chain *chain, const struct config *c)
{
	struct oracle_rule rule = { .chain = ISTIO_OUTPUT, .dst = loopback(chain, c) };
	size_t i;

	append(chain, rule);
	for (i = 0; i < c->exclude.nr; i++) {
		rule.dst = &c->exclude.v[i];
		if (is_ipv4(&rule.dst->addr) != chain->v6)
			append(chain, rule);
	}
	rule.dst = NULL;
	rule.target = TO_OUTBOUND;
	for (i = 0; i < c->out_include.nr; i++) {
		rule.proto = TCP;
		rule.dport = c->out_include.v[i];
		append(chain, rule);
	}
	rule.proto = ANY;
	rule.dport = 0;
	if (c->include.all)
		append(chain, rule);
	for (i = 0; i < c->include.nr; i++) {
		rule.dst = &c->include.v[i];
		if (is_ipv4(&rule.dst->addr) != chain->v6)
			append(chain, rule);
	}
}

static void make_output(struct chain *chain, const struct config *c, const struct oracle *o)
{
	const struct id_list *gids = c->gids.nr ? &c->gids : &c->uids;
	struct oracle_rule from_app = { .chain = ISTIO_OUTPUT,
					.iface = "lo",
					.src = chain->v6 ? &from_app6 : &from_app4 };
	struct oracle_rule rule = { .chain = OUTPUT_HEAD };
	size_t i;

	for (i = 0; i < c->ifaces.nr; i++) {
		rule.iface = c->ifaces.v[i].text;
		append(chain, rule);
	}
	rule.iface = NULL;
	for (i = 0; i < c->out_exclude.nr; i++) {
		rule.dport = c->out_exclude.v[i];
		rule.proto = TCP;
		rule.chain = ISTIO_OUTPUT;
		append(chain, rule);
		rule.proto = UDP;
		rule.chain = udp_chain(c);
		append(chain, rule);
	}
	if (c->udp_dns == UDP_DNS_FIRST && o->dns)
		add_old_dns(chain, c, gids, o);
	append(chain, from_app);
	for (i = 0; i < c->uids.nr; i++)
		add_proxy(chain, c, UID_IS, c->uids.v[i], o->dns);
	for (i = 0; i < gids->nr; i++)
		add_proxy(chain, c, GID_IS, gids->v[i], o->dns);
	add_groups(chain, c, ISTIO_OUTPUT, ANY);
	if (o->dns)
		add_dns(chain, c, o, c->udp_dns == UDP_DNS_BESIDE ? ISTIO_OUTPUT_DNS : ISTIO_OUTPUT,
			TCP);
	if (o->dns && c->udp_dns == UDP_DNS_BESIDE)
		add_dns(chain, c, o, ISTIO_OUTPUT_DNS, UDP);
	add_destinations(chain, c);
	if (o->dns && c->udp_dns == UDP_DNS_LAST)
		add_old_dns(chain, c, gids, o);
}

/* In nat, or with TPROXY in mangle, where the tunnel port has no rule. */
static void make_prerouting(struct chain *chain, const struct config *c)
{
	struct oracle_rule rule = { .chain = PREROUTING_HEAD };
	size_t i;

	for (i = 0; i < c->ifaces.nr; i++) {
		rule.iface = c->ifaces.v[i].text;
		append(chain, rule);
	}
	rule = (struct oracle_rule){ .chain = ISTIO_INBOUND, .proto = TCP };
	rule.dport = c->tunnel_port;
	if (!c->tproxy)
		append(chain, rule);
	for (i = 0; c->in_include.all && i < c->in_exclude.nr; i++) {
		rule.dport = c->in_exclude.v[i];
		append(chain, rule);
	}
	rule.target = TO_INBOUND;
	rule.dport = 0;
	if (c->in_include.all)
		append(chain, rule);
	for (i = 0; i < c->in_include.nr; i++) {
		rule.dport = c->in_include.v[i];
		append(chain, rule);
	}
}

/* The servers of the family as /32 or /128; DNS is on if there is one of any family. */
static int find_servers(const struct config *c, struct oracle *o)
{
	int named = config_given(c, "dns-servers");
	const struct addr *v = named ? c->dns_servers.v : o->pod->resolvers;
	size_t i, nr = named ? c->dns_servers.nr : o->pod->nr_resolvers;

	o->dns = c->redirect_dns && (c->capture_all_dns || nr);
	o->servers = calloc(nr + 1, sizeof(*o->servers));
	if (!o->servers)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		if (is_ipv4(&v[i]) != o->v6)
			o->servers[o->nr_servers++] = (struct prefix){ v[i], 128 };
	}
	return 0;
}

int oracle_make(const struct config *c, const struct pod_facts *pod, int v6, struct oracle *ret)
{
	struct chain output = { .v6 = v6 }, prerouting = { .v6 = v6 };

	*ret = (struct oracle){ .config = c, .pod = pod, .v6 = v6 };
	if (v6 && (c->ipv6 == IPV6_OFF || (c->ipv6 == IPV6_AUTO && !pod->ipv6)))
		return 0;
	ret->captured = 1;
	if (find_servers(c, ret))
		return -ENOMEM;
	make_output(&output, c, ret);
	make_prerouting(&prerouting, c);
	ret->output = output.rules;
	ret->nr_output = output.nr;
	ret->prerouting = prerouting.rules;
	ret->nr_prerouting = prerouting.nr;
	if (!output.failed && !prerouting.failed)
		return 0;
	oracle_free(ret);
	return -ENOMEM;
}

void oracle_free(struct oracle *o)
{
	free(o->servers);
	free(o->output);
	free(o->prerouting);
	*o = (struct oracle){ 0 };
}
