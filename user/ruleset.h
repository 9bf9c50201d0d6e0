/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole policy as data: what the maps of one pod will hold. Made from a config and what is known
 * of the pod, without libbpf and without root; the loader writes it, tests and explain ask it.
 */
#ifndef SOCKTABLES_RULESET_H
#define SOCKTABLES_RULESET_H

#include <stddef.h>

#include "../include/verdict.h"
#include "config.h"
#include "err.h"
#include "prefix.h"

struct class_entry {
	struct prefix prefix;
	__u32 class;	 /* enum addr_class, those of all covering prefixes included */
	struct addr src; /* as in struct class_value */
	int is_route;	 /* 1: src and CLASS_IFACE_EXCLUDED of covering prefixes do not count */
};

struct id_entry {
	__u32 kind, value, class; /* enum id_kind; host order; enum id_class */
};

struct iface {
	char name[IFACE_NAME_MAX];
	__u32 index;
};

/* What a destination that is not local is reached by and from; the best route to each prefix. */
struct route {
	struct prefix dst;
	struct addr src; /* of unbound sockets; all zero: pod_facts.src4 or src6 */
	__u32 iface;	 /* index */
	__u32 broadcast; /* 1: its one address is the broadcast address of a subnet */
};

/* What the loader found out about the pod, or a test made up. Arrays belong to the caller. */
struct pod_facts {
	struct prefix *local;	/* local routes of the namespace, both families */
	struct addr *local_src; /* source of unbound sockets to each, all zero: itself; or NULL */
	size_t nr_local;
	struct route *routes; /* the main table, and to broadcast addresses */
	size_t nr_routes;
	struct iface *ifaces; /* all of the namespace */
	size_t nr_ifaces;
	struct addr src4, src6; /* what its own traffic leaves with, all zero: none */
	struct addr *resolvers; /* of its resolv.conf */
	size_t nr_resolvers;
	int ipv6;   /* 1 if Istio's detection would capture IPv6 */
	int spread; /* 1 if lo has 127.0.0.0/8 */
};

struct ruleset {
	struct policy policy; /* id, cgroup_id, netns_*, name are left 0 */
	struct class_entry
		*classes; /* sorted by length, no prefix twice, or that could be left out */
	size_t nr_classes;
	struct id_entry *ids; /* sorted, no (kind, value) twice */
	size_t nr_ids;
};

/* Returns 0, or -EINVAL/-ENOMEM with e filled and *ret untouched. Free with ruleset_free().
 * DNS that was asked for without capture-all and without any resolver is off, as in Istio:
 * c->redirect_dns && !(ret->policy.flags & POLICY_DNS), worth a warning.
 * POLICY_ACTIVE and POLICY_ADDED_SIX are the loader's.
 */
int ruleset_make(const struct config *c, const struct pod_facts *pod, struct ruleset *ret,
		 struct st_err *e);
void ruleset_free(struct ruleset *rs);

/* For a pod that has changed, without its flags. The first leaves of a ruleset, as it was made or as it
 * was read from the maps, what the flags say; the second adds to that what the pod is now, so that
 * ruleset_make() of the same flags would make the same. Returns 0 or -errno with e filled, and then
 * rs is still to be freed.
 */
void ruleset_keep_flags(struct ruleset *rs);
int ruleset_add_facts(struct ruleset *rs, const struct pod_facts *pod, struct st_err *e);

/* Of what ruleset_add_facts() added, for these flags; 0 if it never did. */
__u64 ruleset_facts_hash(const struct ruleset *rs);

/* The lookups that the kernel makes in st_class (longest prefix) and st_ids; 0 if nothing fits. */
__u32 ruleset_class(const struct ruleset *rs, const struct addr *a);
__u32 ruleset_id(const struct ruleset *rs, enum id_kind kind, __u32 value);

/* Fills the *_class fields of an outbound (or inbound) flow, as bpf/flow.bpf.h does. */
void ruleset_classify(const struct ruleset *rs, struct flow *f, int inbound);

#endif
