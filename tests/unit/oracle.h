/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Istio's iptables rules as a list, with two faces: it is walked rule by rule, to check
 * include/verdict.h and user/ruleset.c against, and it is printed, to check the walk against what
 * real iptables do. Shares no logic with either: it takes the lists of a config as they are and
 * matches like iptables, in order, one packet at a time.
 */
#ifndef SOCKTABLES_ORACLE_H
#define SOCKTABLES_ORACLE_H

#include "../../user/ruleset.h"

/* Where a rule stands. The list is in the order of the walk, which is not that of the file: only
 * rules that no packet can both meet are out of order.
 */
enum oracle_chain {
	OUTPUT_HEAD, /* of nat OUTPUT, before the jump to ISTIO_OUTPUT */
	OUTPUT_TAIL, /* and behind it */
	ISTIO_OUTPUT,
	ISTIO_OUTPUT_DNS, /* one jump at the place of its rules */
	PREROUTING_HEAD,
	ISTIO_INBOUND,
};

enum oracle_target {
	TO_RETURN, /* RETURN */
	TO_DNS,	   /* REDIRECT to 15053 */
	TO_OUTBOUND, /* the chains ISTIO_REDIRECT and ISTIO_IN_REDIRECT, whose only rule is for TCP: */
	TO_INBOUND, /* UDP comes back from them and walks on */
};

enum owner_match { ANY_OWNER, UID_IS, UID_IS_NOT, GID_IS, GID_IS_NOT };

/* One line of iptables. A match that is zero is not there; several owners are ANDed. */
struct oracle_rule {
	enum oracle_chain chain;
	int proto;			      /* -p */
	const char *iface;		      /* -o, -i; a last '+' is for all that begin so */
	const struct prefix *src;	      /* -s */
	const struct prefix *dst;	      /* -d */
	const struct prefix *not_dst;	      /* ! -d */
	__u16 dport;			      /* --dport */
	__u16 not_dports[2];		      /* -m multiport ! --dports */
	enum owner_match owner;		      /* -m owner */
	const struct owner_group *not_groups; /* ! --gid-owner, one for each */
	size_t nr_not_groups;
	__u32 id;
	enum oracle_target target;
};

struct oracle {
	struct oracle_rule *output, *prerouting; /* the flattened chains of one family */
	size_t nr_output, nr_prerouting;
	struct prefix *servers; /* the resolvers of the family; the rules point here */
	size_t nr_servers;
	const struct config *config;
	const struct pod_facts *pod;
	int v6;
	int captured; /* 0: there is not one rule in this family */
	int dns;
};

/* The rules of one family; none if v6 and IPv6 is not captured. c and pod must outlive ret.
 * Returns 0 or -ENOMEM.
 */
int oracle_make(const struct config *c, const struct pod_facts *pod, int v6, struct oracle *ret);
void oracle_free(struct oracle *o);

/* The port that a packet of the oracle's family is redirected to (host order), 0 if it is not. Of f
 * proto, src, dst, dport, uid and gid count; src of an outbound flow is zero if nothing is bound.
 * Outbound, iface is what the socket is bound to, or NULL; inbound, it is where the packet came in.
 */
__u16 oracle_outbound(const struct oracle *o, const struct flow *f, const char *iface);
__u16 oracle_inbound(const struct oracle *o, const struct flow *f, const char *iface);

/* With TPROXY mangle PREROUTING sees what comes over lo, too, and mangle OUTPUT has marked what the
 * proxy sends to its own pod: that is caught like what comes from outside. The port of an outbound
 * flow for which oracle_outbound() said 0.
 */
__u16 oracle_to_self(const struct oracle *o, const struct flow *f);

/* 1 if the owner of an outbound flow is one of the proxy's. */
int oracle_is_proxy(const struct config *c, const struct flow *f);

/* The rules of the family for iptables-restore or ip6tables-restore, the conntrack zones and
 * everything else that Istio writes included: a text without rules if there are none.
 */
void oracle_print(FILE *f, const struct oracle *o);

#endif
