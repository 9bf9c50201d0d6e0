/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The walk: one packet through the rules. */
#include "oracle.h"

#include <string.h>

static const struct prefix loopback_net4 = { .addr.w = { 0, 0, ST_V4(0, 0, 255, 255),
							 ST_V4(127, 0, 0, 0) },
					     .len = 104 };
static const struct prefix from_app4 = { .addr.w = { 0, 0, ST_V4(0, 0, 255, 255),
						     ST_V4(127, 0, 0, 6) },
					 .len = 128 };
static const struct prefix own6[] = {
	{ .addr.w = { 0, 0, 0, ST_V4(0, 0, 0, 1) }, .len = 128 },
	{ .addr.w = { 0, 0, 0, ST_V4(0, 0, 0, 6) }, .len = 128 },
};
static const struct prefix not_unicast[] = {
	{ .addr.w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(224, 0, 0, 0) }, .len = 100 },
	{ .addr.w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(255, 255, 255, 255) }, .len = 128 },
	{ .addr.w = { ST_V4(255, 0, 0, 0), 0, 0, 0 }, .len = 8 },
};

/* Addresses are v4-mapped, but the table of one family is never asked about the other. */
static int of_family(const struct oracle *o, const struct prefix *p)
{
	return prefix_is_v4(p) != o->v6;
}

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

/* Is it one of the namespace's own? */
static int is_local(const struct oracle *o, const struct addr *a)
{
	size_t i;

	if (o->v6 ? inside(a, &own6[0]) || inside(a, &own6[1]) : inside(a, &loopback_net4))
		return 1;
	for (i = 0; i < o->pod->nr_local; i++) {
		if (of_family(o, &o->pod->local[i]) && inside(a, &o->pod->local[i]))
			return 1;
	}
	return 0;
}

static int is_unicast(const struct oracle *o, const struct addr *dst)
{
	const struct pod_facts *pod = o->pod;
	size_t i;

	for (i = 0; i < sizeof(not_unicast) / sizeof(*not_unicast); i++) {
		if (inside(dst, &not_unicast[i]))
			return 0;
	}
	for (i = 0; i < pod->nr_routes; i++) {
		if (pod->routes[i].broadcast && inside(dst, &pod->routes[i].dst))
			return 0;
	}
	return 1;
}

/* The device that the routing decision has chosen when OUTPUT sees the packet. */
static const char *route(const struct oracle *o, const struct addr *dst)
{
	const struct pod_facts *pod = o->pod;
	const struct route *r, *best = NULL;
	size_t i;

	if (is_local(o, dst))
		return "lo";
	for (r = pod->routes; r < pod->routes + pod->nr_routes; r++) {
		if (of_family(o, &r->dst) && inside(dst, &r->dst) &&
		    (!best || r->dst.len > best->dst.len))
			best = r;
	}
	for (i = 0; best && i < pod->nr_ifaces; i++) {
		if (pod->ifaces[i].index == best->iface)
			return pod->ifaces[i].name;
	}
	return "";
}

static int iface_matches(const char *pattern, const char *name)
{
	for (; *pattern; pattern++, name++) {
		if (*pattern == '+' && !pattern[1])
			return 1;
		if (*pattern != *name)
			return 0;
	}
	return !*name;
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

static int matches(const struct oracle_rule *r, const struct flow *f, const char *iface)
{
	if (r->proto && r->proto != f->proto)
		return 0;
	if (r->iface && !iface_matches(r->iface, iface))
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

/* The old jump to ISTIO_OUTPUT is for TCP only. */
static int is_met(const struct oracle *o, const struct oracle_rule *r, const struct flow *f)
{
	return r->chain != ISTIO_OUTPUT || o->config->udp_dns != UDP_DNS_FIRST ||
	       f->proto == ST_TCP;
}

static __u16 walk(const struct oracle *o, const struct oracle_rule *rules, size_t nr,
		  const struct flow *f, const char *iface)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!is_met(o, &rules[i], f) || !matches(&rules[i], f, iface))
			continue;
		if (rules[i].target == TO_RETURN)
			return 0;
		if (rules[i].target == TO_DNS)
			return 15053;
		if (f->proto != ST_TCP)
			continue;
		return rules[i].target == TO_OUTBOUND ? o->config->outbound_port
						      : o->config->inbound_port;
	}
	return 0;
}

static int has_id(const struct id_list *list, __u32 id)
{
	size_t i;

	for (i = 0; i < list->nr; i++) {
		if (list->v[i] == id)
			return 1;
	}
	return 0;
}

int oracle_is_proxy(const struct config *c, const struct flow *f)
{
	return f->uid != (__u32)-1 &&
	       (has_id(&c->uids, f->uid) || has_id(c->gids.nr ? &c->gids : &c->uids, f->gid));
}

__u16 oracle_outbound(const struct oracle *o, const struct flow *f, const char *iface)
{
	int lo = is_local(o, &f->dst);
	struct flow packet = *f;

	/* connect() fails before it makes a packet. */
	if (f->proto == ST_TCP && !is_unicast(o, &f->dst))
		return 0;
	/* No packet gets as far as OUTPUT: IPv4 has no route from 127.0.0.0/8 to elsewhere. */
	if (!lo && !o->v6 && inside(&f->src, &loopback_net4))
		return 0;
	/* The source of an unbound socket: IPv6 has no better one for a local address than itself. */
	if (lo && o->v6 && addr_is_zero(&f->src))
		packet.src = f->dst;
	return walk(o, o->output, o->nr_output, &packet, iface ? iface : route(o, &f->dst));
}

__u16 oracle_to_self(const struct oracle *o, const struct flow *f)
{
	const struct prefix *loopback = o->v6 ? &own6[0] : &o->config->loopback;
	const struct prefix *passthrough = o->v6 ? &own6[1] : &from_app4;
	const struct addr *src = o->v6 && addr_is_zero(&f->src) ? &f->dst : &f->src;

	if (!o->captured || !o->config->tproxy || f->proto != ST_TCP || !is_local(o, &f->dst) ||
	    !oracle_is_proxy(o->config, f) || inside(&f->dst, loopback) || inside(src, passthrough))
		return 0;
	return walk(o, o->prerouting, o->nr_prerouting, f, "lo");
}

__u16 oracle_inbound(const struct oracle *o, const struct flow *f, const char *iface)
{
	/* What comes over lo has its conntrack entry from OUTPUT, and nat PREROUTING is skipped. */
	if (is_local(o, &f->src))
		return 0;
	return walk(o, o->prerouting, o->nr_prerouting, f, iface);
}
