/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 96
#define NESTING 130 /* prefixes of different length that can cover one address, and one more */

static const struct prefix v4_all = { .addr = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } },
				      .len = V4_BITS };
static const struct prefix v6_loopback = { .addr = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 1) } },
					   .len = 128 };
static const struct prefix v6_passthrough = { .addr = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } },
					      .len = 128 };

/* Two arrays that are filled first, then sorted, then merged. */
struct builder {
	struct ruleset rs;
	size_t max_classes, max_ids;
};

static int builder_init(struct builder *b, const struct config *c, const struct pod_facts *pod)
{
	/* Beside the lists: four fixed addresses, the loopback CIDR, v4_all; the tunnel port. */
	b->max_classes = 6 + pod->nr_local + pod->nr_routes + c->include.nr + c->exclude.nr +
			 c->dns_servers.nr + pod->nr_resolvers;
	b->max_ids = 1 + c->in_include.nr + c->in_exclude.nr + c->out_include.nr +
		     c->out_exclude.nr + 2 * c->uids.nr + c->gids.nr + c->groups.nr +
		     c->groups_exclude.nr + pod->nr_ifaces;
	b->rs = (struct ruleset){
		.classes = calloc(b->max_classes, sizeof(*b->rs.classes)),
		.ids = calloc(b->max_ids, sizeof(*b->rs.ids)),
	};
	return b->rs.classes && b->rs.ids ? 0 : -ENOMEM;
}

/* Without IPv6 no rule names an IPv6 address, as no ip6tables rule would exist. */
static void add_route(struct builder *b, const struct prefix *p, __u32 class,
		      const struct addr *src)
{
	struct class_entry *to = &b->rs.classes[b->rs.nr_classes];

	if (!prefix_is_v4(p) && !(b->rs.policy.flags & POLICY_V6))
		return;
	*to = (struct class_entry){ .prefix = *p, .class = class, .is_route = 1 };
	if (src)
		to->src = *src;
	b->rs.nr_classes++;
}

static void add_prefix(struct builder *b, const struct prefix *p, __u32 class)
{
	size_t before = b->rs.nr_classes;

	add_route(b, p, class, NULL);
	if (b->rs.nr_classes > before)
		b->rs.classes[before].is_route = 0;
}

static void add_addr(struct builder *b, const struct addr *a, __u32 class)
{
	struct prefix p = { *a, 128 };

	add_prefix(b, &p, class);
}

static void add_id(struct builder *b, enum id_kind kind, __u32 value, __u32 class)
{
	b->rs.ids[b->rs.nr_ids++] = (struct id_entry){ kind, value, class };
}

static void add_ports(struct builder *b, const struct port_list *list, __u32 class)
{
	size_t i;

	for (i = 0; i < list->nr; i++)
		add_id(b, ID_PORT, list->v[i], class);
}

/* The first owner stands in the policy itself, where it costs no lookup. */
static void add_owners(struct builder *b, const struct id_list *list, enum id_kind kind)
{
	size_t i;

	for (i = 1; i < list->nr; i++) {
		if (list->v[i] != list->v[0])
			add_id(b, kind, list->v[i], OWNER_PROXY);
	}
}

static int add_groups(struct builder *b, const struct group_list *list, __u32 class,
		      struct st_err *e)
{
	size_t i;

	for (i = 0; i < list->nr; i++) {
		if (list->v[i].name[0])
			return err_set(e, EINVAL, "owner group", list->v[i].name,
				       "its gid is not known");
		add_id(b, ID_GID, list->v[i].gid, class);
	}
	return 0;
}

static struct addr_list resolvers(const struct config *c, const struct pod_facts *pod)
{
	if (config_given(c, "dns-servers"))
		return c->dns_servers;
	return (struct addr_list){ pod->resolvers, pod->nr_resolvers };
}

static void set_policy(struct policy *p, const struct config *c, const struct pod_facts *pod)
{
	p->uid = c->uids.v[0];
	p->gid = c->gids.nr ? c->gids.v[0] : c->uids.v[0];
	p->outbound_port = c->outbound_port;
	p->inbound_port = c->inbound_port;
	p->src4 = pod->src4;
	p->src6 = pod->src6;
	p->flags |= c->ipv6 == IPV6_ON || (c->ipv6 == IPV6_AUTO && pod->ipv6) ? POLICY_V6 : 0;
	p->flags |= c->include.all ? POLICY_OUT_ALL : 0;
	p->flags |= c->in_include.all ? POLICY_IN_ALL : 0;
	p->flags |= c->in_include.nr ? POLICY_IN_SOME : 0;
	p->flags |= c->loopback_included ? POLICY_LOOPBACK_INCLUDED : 0;
	p->flags |= c->groups.all ? 0 : POLICY_GROUPS_ONLY;
	p->flags |= c->udp_dns == UDP_DNS_FIRST ? POLICY_UDP_DNS_FIRST : 0;
	p->flags |= c->udp_dns == UDP_DNS_LAST ? POLICY_UDP_DNS_LAST : 0;
	p->flags |= c->tproxy ? POLICY_TPROXY : 0;
	p->tproxy_mark = c->tproxy_mark;
	p->tproxy_table = c->tproxy_table;
	p->flags |= pod->spread ? POLICY_SPREAD : 0;
	/* A resolver of a family that is not captured counts too, as in Istio. */
	if (c->redirect_dns && c->capture_all_dns)
		p->flags |= POLICY_DNS | POLICY_DNS_ALL;
	else if (c->redirect_dns && resolvers(c, pod).nr)
		p->flags |= POLICY_DNS;
}

static int is_excluded(const struct config *c, const char *name)
{
	size_t i, n;

	for (i = 0; i < c->ifaces.nr; i++) {
		n = strlen(c->ifaces.v[i].text);
		if (c->ifaces.v[i].text[n - 1] == '+' ? !strncmp(name, c->ifaces.v[i].text, n - 1)
						      : !strcmp(name, c->ifaces.v[i].text))
			return 1;
	}
	return 0;
}

static const char *iface_name(const struct pod_facts *pod, __u32 index)
{
	size_t i;

	for (i = 0; i < pod->nr_ifaces; i++)
		if (pod->ifaces[i].index == index)
			return pod->ifaces[i].name;
	return "";
}

/* iptables takes names of interfaces that are not there yet; here a name has to mean something. */
static int add_ifaces(struct builder *b, const struct config *c, const struct pod_facts *pod,
		      struct st_err *e)
{
	struct config one = *c;
	size_t i, j, found;

	for (i = 0; i < c->ifaces.nr; i++) {
		one.ifaces = (struct iface_list){ &c->ifaces.v[i], 1 };
		for (j = 0, found = 0; j < pod->nr_ifaces; j++)
			found += is_excluded(&one, pod->ifaces[j].name);
		if (!found)
			return err_set(e, EINVAL, "interface", c->ifaces.v[i].text,
				       "not in the pod's network namespace");
	}
	for (j = 0; j < pod->nr_ifaces; j++)
		if (is_excluded(c, pod->ifaces[j].name))
			add_id(b, ID_IFACE, pod->ifaces[j].index, IFACE_EXCLUDED);
	b->rs.policy.flags |= c->ifaces.nr ? POLICY_IFACES : 0;
	return 0;
}

static void add_routes(struct builder *b, const struct config *c, const struct pod_facts *pod)
{
	__u32 local = CLASS_LOCAL | (is_excluded(c, "lo") ? CLASS_IFACE_EXCLUDED : 0);
	size_t i;

	for (i = 0; i < pod->nr_local; i++)
		add_route(b, &pod->local[i], local, pod->local_src ? &pod->local_src[i] : NULL);
	for (i = 0; i < pod->nr_routes; i++)
		add_route(b, &pod->routes[i].dst,
			  is_excluded(c, iface_name(pod, pod->routes[i].iface))
				  ? CLASS_IFACE_EXCLUDED
				  : 0,
			  &pod->routes[i].src);
}

static void add_classes(struct builder *b, const struct config *c, const struct pod_facts *pod)
{
	struct prefix v4_loopback = {
		.addr = { .w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(127, 0, 0, 0) } }, .len = 96 + 8
	};
	struct addr_list servers;
	size_t i;

	__u32 local = CLASS_LOCAL | (is_excluded(c, "lo") ? CLASS_IFACE_EXCLUDED : 0);

	add_route(b, &v4_loopback, local, NULL);
	add_route(b, &v6_loopback, local | CLASS_LOOPBACK, NULL);
	add_route(b, &v6_passthrough, local, NULL);
	add_prefix(b, &c->loopback, CLASS_LOOPBACK);
	add_routes(b, c, pod);
	for (i = 0; i < c->include.nr; i++)
		add_prefix(b, &c->include.v[i], CLASS_INCLUDED);
	for (i = 0; i < c->exclude.nr; i++)
		add_prefix(b, &c->exclude.v[i], CLASS_EXCLUDED);
	servers = resolvers(c, pod);
	if ((b->rs.policy.flags & (POLICY_DNS | POLICY_DNS_ALL)) != POLICY_DNS)
		return;
	for (i = 0; i < servers.nr; i++)
		add_addr(b, &servers.v[i], CLASS_RESOLVER);
}

static int add_ids(struct builder *b, const struct config *c, struct st_err *e)
{
	size_t owners;
	int err;

	/* Istio's mangle rules for TPROXY do not know of the tunnel port, those of nat do. */
	add_id(b, ID_PORT, c->tunnel_port,
	       (c->tproxy ? 0 : PORT_TUNNEL) | (c->old_rules ? 0 : PORT_TUNNEL_SELF));
	add_ports(b, &c->out_exclude, PORT_OUT_EXCLUDED);
	add_ports(b, &c->out_include, PORT_OUT_INCLUDED);
	add_ports(b, &c->in_include, PORT_IN_INCLUDED);
	if (c->in_include.all)
		add_ports(b, &c->in_exclude, PORT_IN_EXCLUDED);
	owners = b->rs.nr_ids;
	add_owners(b, &c->uids, ID_UID);
	add_owners(b, c->gids.nr ? &c->gids : &c->uids, ID_GID);
	err = add_groups(b, &c->groups, OWNER_GROUP, e);
	if (!err && c->groups.all)
		err = add_groups(b, &c->groups_exclude, OWNER_GROUP_EXCLUDED, e);
	b->rs.policy.flags |= b->rs.nr_ids > owners ? POLICY_OWNER_SETS : 0;
	return err;
}

static int compare_tree(const void *a, const void *b)
{
	return prefix_compare(&((const struct class_entry *)a)->prefix,
			      &((const struct class_entry *)b)->prefix);
}

static int compare_length(const void *a, const void *b)
{
	const struct prefix *x = &((const struct class_entry *)a)->prefix;
	const struct prefix *y = &((const struct class_entry *)b)->prefix;

	return x->len != y->len ? (int)x->len - (int)y->len : prefix_compare(x, y);
}

#define ROUTE_BITS (CLASS_LOCAL | CLASS_IFACE_EXCLUDED)

/* What a prefix has from one that covers it, or from another entry of itself: all its lists, and the
 * route if it has none of its own. A local route comes before all others, as its table does.
 */
static void inherit(struct class_entry *to, const struct class_entry *from)
{
	to->class |= from->class & ~ROUTE_BITS;
	if (!from->is_route ||
	    (to->is_route && (to->class & CLASS_LOCAL || !(from->class & CLASS_LOCAL))))
		return;
	to->class = (to->class & ~ROUTE_BITS) | (from->class & ROUTE_BITS);
	to->src = from->src;
	to->is_route = 1;
}

/* One longest match has to answer for all lists, so every prefix gets the classes of those around
 * it. In tree order these are on a stack. IPv4 lies inside of IPv6 here, but no IPv6 prefix covers
 * IPv4: v4_all starts anew.
 */
static void nest_classes(struct ruleset *rs)
{
	struct class_entry *stack[NESTING], *from = rs->classes, *to = rs->classes;
	struct class_entry *end = from + rs->nr_classes;
	int top = 0;

	for (; from < end; from++) {
		if (to > rs->classes && !compare_tree(to - 1, from)) {
			inherit(to - 1, from);
			continue;
		}
		*to = *from;
		while (top && !addr_covered(&to->prefix.addr, &stack[top - 1]->prefix.addr,
					    stack[top - 1]->prefix.len))
			top--;
		if (top && prefix_is_v4(&stack[top - 1]->prefix) == prefix_is_v4(&to->prefix))
			inherit(to, stack[top - 1]);
		stack[top++] = to++;
	}
	rs->nr_classes = to - rs->classes;
}

static int is_covered(const struct ruleset *rs, const struct prefix *p)
{
	const struct class_entry *entry;

	for (entry = rs->classes; entry < rs->classes + rs->nr_classes; entry++) {
		if (entry->prefix.len < p->len &&
		    addr_covered(&p->addr, &entry->prefix.addr, entry->prefix.len))
			return 1;
	}
	return 0;
}

static void finish_classes(struct builder *b)
{
	struct ruleset *rs = &b->rs;

	if (is_covered(rs, &v4_all))
		add_prefix(b, &v4_all, 0);
	qsort(rs->classes, rs->nr_classes, sizeof(*rs->classes), compare_tree);
	nest_classes(rs);
	qsort(rs->classes, rs->nr_classes, sizeof(*rs->classes), compare_length);
}

static int compare_ids(const void *a, const void *b)
{
	const struct id_entry *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

static void finish_ids(struct ruleset *rs)
{
	struct id_entry *to = rs->ids, *from;

	qsort(rs->ids, rs->nr_ids, sizeof(*rs->ids), compare_ids);
	for (from = rs->ids + 1; from < rs->ids + rs->nr_ids; from++) {
		if (!compare_ids(to, from))
			to->class |= from->class;
		else
			*++to = *from;
	}
	rs->nr_ids = to - rs->ids + 1; /* the tunnel port is always there */
}

int ruleset_make(const struct config *c, const struct pod_facts *pod, struct ruleset *ret,
		 struct st_err *e)
{
	struct builder b;
	int err = builder_init(&b, c, pod);

	if (err) {
		err_sys(e, -err, "policy", NULL);
		goto fail;
	}
	set_policy(&b.rs.policy, c, pod);
	add_classes(&b, c, pod);
	finish_classes(&b);
	err = add_ids(&b, c, e);
	err = err ?: add_ifaces(&b, c, pod, e);
	if (err)
		goto fail;
	finish_ids(&b.rs);
	*ret = b.rs;
	return 0;
fail:
	ruleset_free(&b.rs);
	return err;
}

void ruleset_free(struct ruleset *rs)
{
	free(rs->classes);
	free(rs->ids);
	*rs = (struct ruleset){ 0 };
}

__u32 ruleset_class(const struct ruleset *rs, const struct addr *a)
{
	struct class_entry key = { 0 }, *found;
	int len;

	for (len = 128; len >= 0; len--) {
		key.prefix.addr = addr_mask(a, len);
		key.prefix.len = len;
		found = bsearch(&key, rs->classes, rs->nr_classes, sizeof(key), compare_length);
		if (found)
			return found->class;
	}
	return 0;
}

__u32 ruleset_id(const struct ruleset *rs, enum id_kind kind, __u32 value)
{
	struct id_entry key = { kind, value, 0 }, *found;

	found = bsearch(&key, rs->ids, rs->nr_ids, sizeof(key), compare_ids);
	return found ? found->class : 0;
}

void ruleset_classify(const struct ruleset *rs, struct flow *f, int inbound)
{
	f->src_class = inbound ? ruleset_class(rs, &f->src) : 0;
	f->dst_class = inbound ? 0 : ruleset_class(rs, &f->dst);
	f->port_class = ruleset_id(rs, ID_PORT, f->dport);
	f->uid_class = 0;
	f->gid_class = 0;
	if (inbound || !(rs->policy.flags & POLICY_OWNER_SETS))
		return;
	f->uid_class = ruleset_id(rs, ID_UID, f->uid);
	f->gid_class = ruleset_id(rs, ID_GID, f->gid);
}
