/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lists of policies, shortened: how long each is, and how it begins. */
#ifndef SOCKTABLES_POD_SUMS_H
#define SOCKTABLES_POD_SUMS_H

#include "datapath.h"
#include "prefix.h"
#include "ruleset.h"

/* List, name for scripts, which bit of which kind says that something is in it: the kind is an id_kind,
 * or 0 for CIDRs.
 */
#define ST_LISTS(X)                                                                  \
	X(OUT_CIDRS, "outbound_cidrs", 0, CLASS_INCLUDED)                            \
	X(OUT_CIDRS_EXCLUDED, "outbound_cidrs_excluded", 0, CLASS_EXCLUDED)          \
	X(DNS_SERVERS, "dns_servers", 0, CLASS_RESOLVER)                             \
	X(OUT_PORTS, "outbound_ports", ID_PORT, PORT_OUT_INCLUDED)                   \
	X(OUT_PORTS_EXCLUDED, "outbound_ports_excluded", ID_PORT, PORT_OUT_EXCLUDED) \
	X(IN_PORTS, "inbound_ports", ID_PORT, PORT_IN_INCLUDED)                      \
	X(IN_PORTS_EXCLUDED, "inbound_ports_excluded", ID_PORT, PORT_IN_EXCLUDED)    \
	X(TUNNEL_PORTS, "tunnel_ports", ID_PORT, PORT_TUNNEL)                        \
	X(PROXY_UIDS, "further_proxy_uids", ID_UID, OWNER_PROXY)                     \
	X(PROXY_GIDS, "further_proxy_gids", ID_GID, OWNER_PROXY)                     \
	X(GROUPS, "owner_groups", ID_GID, OWNER_GROUP)                               \
	X(GROUPS_EXCLUDED, "owner_groups_excluded", ID_GID, OWNER_GROUP_EXCLUDED)

#define ST_LIST(id, ...) LIST_##id,
enum list_id { ST_LISTS(ST_LIST) NR_LISTS };
#undef ST_LIST

extern const char *const list_names[NR_LISTS];

#define SUM_FIRST 8
#define SUM_IFACES 8

struct list_sum {
	unsigned int nr;
	struct prefix cidrs[SUM_FIRST]; /* the first of CIDRs, sorted; else */
	__u32 numbers[SUM_FIRST];	/* the smallest of them, sorted */
};

struct policy_sum {
	__u32 policy_id;
	struct list_sum lists[NR_LISTS];
	char ifaces[SUM_IFACES][IFACE_NAME_MAX]; /* of -c */
	unsigned int nr_ifaces;			 /* that there are, not that there was room for */
};

struct policy_sums {
	struct policy_sum *v;
	size_t nr;
};

/* Of all policies, by one walk over their lists. A CIDR within another of its list does not count.
 * Returns 0 or -errno with e filled; to be freed in any case.
 */
int pod_sums_read(const struct datapath *dp, struct policy_sums *ret, struct st_err *e);
void pod_sums_free(struct policy_sums *sums);

/* NULL: it has no lists. */
const struct policy_sum *pod_sums_of(const struct policy_sums *sums, __u32 policy_id);

#endif
