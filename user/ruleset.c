/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset_impl.h"

/* Two arrays that are filled first, then sorted and merged with the facts. */
struct builder {
	struct ruleset rs;
	size_t max_classes, max_ids;
};

static int builder_init(struct builder *b, const struct config *c, const struct pod_facts *pod)
{
	/* Beside the lists: the loopback CIDR; the tunnel port. */
	b->max_classes = 1 + c->include.nr + c->exclude.nr + c->dns_servers.nr + pod->nr_resolvers;
	b->max_ids = 1 + c->in_include.nr + c->in_exclude.nr + c->out_include.nr +
		     c->out_exclude.nr + 2 * c->uids.nr + c->gids.nr + c->groups.nr +
		     c->groups_exclude.nr + IFACE_WORDS * c->ifaces.nr;
	b->rs = (struct ruleset){
		.classes = calloc(b->max_classes, sizeof(*b->rs.classes)),
		.ids = calloc(b->max_ids, sizeof(*b->rs.ids)),
	};
	return b->rs.classes && b->rs.ids ? 0 : -ENOMEM;
}

/* Without IPv6 no rule names an IPv6 address, as no ip6tables rule would exist; but it may come. */
static void add_prefix(struct builder *b, const struct prefix *p, __u32 class)
{
	if (prefix_is_v4(p) || b->rs.policy.flags & (POLICY_V6 | POLICY_V6_AUTO))
		b->rs.classes[b->rs.nr_classes++] = (struct class_entry){ *p, .class = class };
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
	p->flags |= c->ipv6 == IPV6_ON ? POLICY_V6 : 0;
	p->flags |= c->ipv6 == IPV6_AUTO ? POLICY_V6_AUTO : 0;
	p->flags |= c->ipv6 == IPV6_AUTO && c->dual_stack ? POLICY_DUAL_STACK : 0;
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
	/* A resolver of a family that is not captured counts too, as in Istio. */
	if (c->redirect_dns && c->capture_all_dns)
		p->flags |= POLICY_DNS | POLICY_DNS_ALL;
	else if (c->redirect_dns && resolvers(c, pod).nr)
		p->flags |= POLICY_DNS;
}

static int is_there(const struct pod_facts *pod, const char *pattern)
{
	size_t i;

	for (i = 0; i < pod->nr_ifaces; i++)
		if (iface_fits(pattern, pod->ifaces[i].name))
			return 1;
	return 0;
}

/* iptables takes names of interfaces that are not there yet; here a name has to mean something. It is
 * kept, as interfaces come and go.
 */
static int add_ifaces(struct builder *b, const struct config *c, const struct pod_facts *pod,
		      struct st_err *e)
{
	__u32 words[IFACE_WORDS], w;
	size_t i;

	for (i = 0; i < c->ifaces.nr; i++) {
		if (!is_there(pod, c->ifaces.v[i].text))
			return err_set(e, EINVAL, "interface", c->ifaces.v[i].text,
				       "not in the pod's network namespace");
		memset(words, 0, sizeof(words));
		memcpy(words, c->ifaces.v[i].text, strlen(c->ifaces.v[i].text));
		for (w = 0; w < IFACE_WORDS; w++)
			add_id(b, ID_IFACE_NAME, i * IFACE_WORDS + w, words[w]);
	}
	b->rs.policy.flags |= c->ifaces.nr ? POLICY_IFACES : 0;
	return 0;
}

static void add_classes(struct builder *b, const struct config *c, const struct pod_facts *pod)
{
	struct addr_list servers = resolvers(c, pod);
	size_t i;

	add_prefix(b, &c->loopback, CLASS_LOOPBACK);
	for (i = 0; i < c->include.nr; i++)
		add_prefix(b, &c->include.v[i], CLASS_INCLUDED);
	for (i = 0; i < c->exclude.nr; i++)
		add_prefix(b, &c->exclude.v[i], CLASS_EXCLUDED);
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
	err = add_ids(&b, c, e);
	err = err ?: add_ifaces(&b, c, pod, e);
	err = err ?: ruleset_add_facts(&b.rs, pod, e);
	if (err)
		goto fail;
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
		found = bsearch(&key, rs->classes, rs->nr_classes, sizeof(key),
				ruleset_compare_length);
		if (found)
			return found->class;
	}
	return 0;
}

__u32 ruleset_id(const struct ruleset *rs, enum id_kind kind, __u32 value)
{
	struct id_entry key = { kind, value, 0 }, *found;

	found = bsearch(&key, rs->ids, rs->nr_ids, sizeof(key), ruleset_compare_ids);
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
