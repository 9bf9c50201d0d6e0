/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ANY, TCP = 6, UDP = 17 };
enum owner_match { NO_OWNER, UID_IS, UID_IS_NOT, GID_IS, GID_IS_NOT };

#define RETURN 0

/* One line of iptables. A match that is zero is not there; several owners are ANDed. */
struct oracle_rule {
	int proto;			      /* -p */
	int lo;				      /* -o lo */
	const struct prefix *src;	      /* -s */
	const struct prefix *dst;	      /* -d */
	const struct prefix *not_dst;	      /* ! -d */
	__u16 dport;			      /* --dport */
	__u16 not_dports[2];		      /* -m multiport ! --dports */
	enum owner_match owner;		      /* -m owner */
	const struct owner_group *not_groups; /* ! --gid-owner, one for each */
	size_t nr_not_groups;
	__u32 id;
	__u16 target; /* RETURN, or the port of REDIRECT */
};

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
static const struct prefix loopback_net4 = { .addr.w = { 0, 0, ST_V4(0, 0, 255, 255),
							 ST_V4(127, 0, 0, 0) },
					     .len = 104 };

static int bit(const struct addr *a, int i)
{
	return ((const __u8 *)a)[i / 8] >> (7 - i % 8) & 1;
}

static int inside(const struct addr *a, const struct prefix *p)
{
	int i;

	for (i = 0; i < p->len; i++) {
		if (bit(a, i) != bit(&p->addr, i))
			return 0;
	}
	return 1;
}

/* ::ffff:0:0/96, bit by bit. */
static int is_ipv4(const struct addr *a)
{
	int i;

	for (i = 0; i < 96; i++) {
		if (bit(a, i) != (i >= 80))
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

/* ISTIO_REDIRECT and ISTIO_IN_REDIRECT are chains of one rule with -p tcp: UDP walks on. */
static void add_tcp_redirect(struct chain *chain, struct oracle_rule rule, __u16 port)
{
	rule.proto = TCP;
	rule.target = port;
	append(chain, rule);
}

static void add_proxy_uid(struct chain *chain, const struct config *c, __u32 uid, int dns)
{
	struct oracle_rule to_self = {
		.lo = 1, .not_dst = loopback(chain, c), .owner = UID_IS, .id = uid
	};

	if (dns)
		to_self.not_dports[0] = 53;
	if (!c->old_rules)
		to_self.not_dports[1] = c->tunnel_port;
	add_tcp_redirect(chain, to_self, c->inbound_port);
	if (!c->loopback_included && dns)
		append(chain, (struct oracle_rule){ .lo = 1,
						    .proto = TCP,
						    .not_dports = { 53 },
						    .owner = UID_IS_NOT,
						    .id = uid });
	if (!c->loopback_included && !dns)
		append(chain, (struct oracle_rule){ .lo = 1, .owner = UID_IS_NOT, .id = uid });
	append(chain, (struct oracle_rule){ .owner = UID_IS, .id = uid });
}

static void add_proxy_gid(struct chain *chain, const struct config *c, __u32 gid, int dns)
{
	struct oracle_rule to_self = {
		.lo = 1, .not_dst = loopback(chain, c), .owner = GID_IS, .id = gid
	};

	if (!c->old_rules)
		to_self.not_dports[0] = c->tunnel_port;
	add_tcp_redirect(chain, to_self, c->inbound_port);
	if (!c->loopback_included && dns)
		append(chain, (struct oracle_rule){ .lo = 1,
						    .proto = TCP,
						    .not_dports = { 53 },
						    .owner = GID_IS_NOT,
						    .id = gid });
	if (!c->loopback_included && !dns)
		append(chain, (struct oracle_rule){ .lo = 1, .owner = GID_IS_NOT, .id = gid });
	append(chain, (struct oracle_rule){ .owner = GID_IS, .id = gid });
}

static void add_groups(struct chain *chain, const struct config *c, int proto)
{
	size_t i;

	for (i = 0; c->groups.all && i < c->groups_exclude.nr; i++)
		append(chain, (struct oracle_rule){ .proto = proto,
						    .owner = GID_IS,
						    .id = c->groups_exclude.v[i].gid });
	if (!c->groups.all)
		append(chain, (struct oracle_rule){ .proto = proto,
						    .not_groups = c->groups.v,
						    .nr_not_groups = c->groups.nr });
}

static void add_dns(struct chain *chain, const struct config *c, const struct prefix *servers,
		    size_t nr, int proto)
{
	size_t i;

	if (c->capture_all_dns)
		append(chain, (struct oracle_rule){ .proto = proto, .dport = 53, .target = 15053 });
	for (i = 0; !c->capture_all_dns && i < nr; i++)
		append(chain,
		       (struct oracle_rule){
			       .proto = proto, .dport = 53, .target = 15053, .dst = &servers[i] });
}

/* In Istio 1.11 UDP 53 has rules of its own in OUTPUT, and only TCP goes to ISTIO_OUTPUT. What
 * these rules do not have yet (owner groups, -o for UDP) stands where the new ones have it.
 */
static void add_old_dns(struct chain *chain, const struct config *c, const struct id_list *gids,
			const struct prefix *servers, size_t nr)
{
	size_t i;

	for (i = 0; i < c->uids.nr; i++)
		append(chain,
		       (struct oracle_rule){
			       .proto = UDP, .dport = 53, .owner = UID_IS, .id = c->uids.v[i] });
	for (i = 0; i < gids->nr; i++)
		append(chain,
		       (struct oracle_rule){
			       .proto = UDP, .dport = 53, .owner = GID_IS, .id = gids->v[i] });
	add_groups(chain, c, UDP);
	add_dns(chain, c, servers, nr, UDP);
	append(chain, (struct oracle_rule){ .proto = UDP });
}

static void add_destinations(struct chain *chain, const struct config *c)
{
	size_t i;

	append(chain, (struct oracle_rule){ .dst = loopback(chain, c) });
	for (i = 0; i < c->exclude.nr; i++) {
		if (is_ipv4(&c->exclude.v[i].addr) != chain->v6)
			append(chain, (struct oracle_rule){ .dst = &c->exclude.v[i] });
	}
	for (i = 0; i < c->out_include.nr; i++)
		add_tcp_redirect(chain, (struct oracle_rule){ .dport = c->out_include.v[i] },
				 c->outbound_port);
	if (c->include.all)
		add_tcp_redirect(chain, (struct oracle_rule){ 0 }, c->outbound_port);
	for (i = 0; i < c->include.nr; i++) {
		if (is_ipv4(&c->include.v[i].addr) != chain->v6)
			add_tcp_redirect(chain, (struct oracle_rule){ .dst = &c->include.v[i] },
					 c->outbound_port);
	}
}

static void make_output(struct chain *chain, const struct config *c, const struct prefix *servers,
			size_t nr_servers, int dns)
{
	const struct id_list *gids = c->gids.nr ? &c->gids : &c->uids;
	size_t i;

	for (i = 0; i < c->out_exclude.nr; i++) {
		append(chain, (struct oracle_rule){ .proto = TCP, .dport = c->out_exclude.v[i] });
		append(chain, (struct oracle_rule){ .proto = UDP, .dport = c->out_exclude.v[i] });
	}
	if (c->old_rules && dns)
		add_old_dns(chain, c, gids, servers, nr_servers);
	append(chain, (struct oracle_rule){ .lo = 1, .src = chain->v6 ? &from_app6 : &from_app4 });
	for (i = 0; i < c->uids.nr; i++)
		add_proxy_uid(chain, c, c->uids.v[i], dns);
	for (i = 0; i < gids->nr; i++)
		add_proxy_gid(chain, c, gids->v[i], dns);
	add_groups(chain, c, ANY);
	if (dns) {
		add_dns(chain, c, servers, nr_servers, TCP);
		add_dns(chain, c, servers, nr_servers, UDP);
	}
	add_destinations(chain, c);
}

static void make_prerouting(struct chain *chain, const struct config *c)
{
	size_t i;

	append(chain, (struct oracle_rule){ .proto = TCP, .dport = c->tunnel_port });
	for (i = 0; c->in_include.all && i < c->in_exclude.nr; i++)
		append(chain, (struct oracle_rule){ .proto = TCP, .dport = c->in_exclude.v[i] });
	if (c->in_include.all)
		add_tcp_redirect(chain, (struct oracle_rule){ 0 }, c->inbound_port);
	for (i = 0; i < c->in_include.nr; i++)
		add_tcp_redirect(chain, (struct oracle_rule){ .dport = c->in_include.v[i] },
				 c->inbound_port);
}

/* The servers of the family as /32 or /128; DNS is on if there is one of any family. */
static struct prefix *make_servers(const struct config *c, const struct pod_facts *pod, int v6,
				   size_t *ret_nr, int *ret_dns)
{
	int named = config_given(c, "dns-servers");
	const struct addr *v = named ? c->dns_servers.v : pod->resolvers;
	size_t i, nr = named ? c->dns_servers.nr : pod->nr_resolvers;
	struct prefix *servers = calloc(nr + 1, sizeof(*servers));

	*ret_nr = 0;
	*ret_dns = c->redirect_dns && (c->capture_all_dns || nr);
	for (i = 0; servers && i < nr; i++) {
		if (is_ipv4(&v[i]) != v6)
			servers[(*ret_nr)++] = (struct prefix){ v[i], 128 };
	}
	return servers;
}

int oracle_make(const struct config *c, const struct pod_facts *pod, int v6, struct oracle *ret)
{
	struct chain output = { .v6 = v6 }, prerouting = { .v6 = v6 };
	struct prefix *servers;
	size_t nr;
	int dns;

	*ret = (struct oracle){ .pod = pod };
	if (v6 && (c->ipv6 == IPV6_OFF || (c->ipv6 == IPV6_AUTO && !pod->ipv6)))
		return 0;
	servers = make_servers(c, pod, v6, &nr, &dns);
	if (!servers)
		return -ENOMEM;
	make_output(&output, c, servers, nr, dns);
	make_prerouting(&prerouting, c);
	ret->servers = servers;
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

/* Is the route to it the loopback device? */
static int is_local(const struct oracle *o, const struct addr *a)
{
	size_t i;

	if (is_ipv4(a) ? inside(a, &loopback_net4) : inside(a, &loopback6) || inside(a, &from_app6))
		return 1;
	for (i = 0; i < o->pod->nr_local; i++) {
		if (inside(a, &o->pod->local[i]))
			return 1;
	}
	return 0;
}

/* xt_owner: without an owner nothing is equal, and everything is different. */
static int owner_matches(const struct oracle_rule *r, const struct flow *f)
{
	int has = f->uid != (__u32)-1;
	size_t i;

	for (i = 0; i < r->nr_not_groups; i++) {
		if (has && f->gid == r->not_groups[i].gid)
			return 0;
	}
	switch (r->owner) {
	case UID_IS:
		return has && f->uid == r->id;
	case UID_IS_NOT:
		return !has || f->uid != r->id;
	case GID_IS:
		return has && f->gid == r->id;
	case GID_IS_NOT:
		return !has || f->gid != r->id;
	default:
		return 1;
	}
}

static int matches(const struct oracle_rule *r, const struct flow *f, int lo)
{
	if (r->proto && r->proto != f->proto)
		return 0;
	if (r->lo && !lo)
		return 0;
	if (r->src && !inside(&f->src, r->src))
		return 0;
	if (r->dst && !inside(&f->dst, r->dst))
		return 0;
	if (r->not_dst && inside(&f->dst, r->not_dst))
		return 0;
	if (r->dport && r->dport != f->dport)
		return 0;
	if (f->dport == r->not_dports[0] || f->dport == r->not_dports[1])
		return 0;
	return owner_matches(r, f);
}

static __u16 walk(const struct oracle_rule *rules, size_t nr, const struct flow *f, int lo)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (matches(&rules[i], f, lo))
			return rules[i].target;
	}
	return 0;
}

__u16 oracle_outbound(const struct oracle *o, const struct flow *f)
{
	int lo = is_local(o, &f->dst);
	struct flow packet = *f;

	/* No packet gets as far as OUTPUT: IPv4 has no route from 127.0.0.0/8 to elsewhere. */
	if (!lo && inside(&f->src, &loopback_net4))
		return 0;
	/* The source of an unbound socket: IPv6 has no better one for a local address than itself. */
	if (lo && addr_is_zero(&f->src) && !is_ipv4(&f->dst))
		packet.src = f->dst;
	return walk(o->output, o->nr_output, &packet, lo);
}

__u16 oracle_inbound(const struct oracle *o, const struct flow *f)
{
	/* What comes over lo has its conntrack entry from OUTPUT, and nat PREROUTING is skipped. */
	if (is_local(o, &f->src))
		return 0;
	return walk(o->prerouting, o->nr_prerouting, f, 0);
}
