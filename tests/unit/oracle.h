/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Istio's iptables rules as a list that is walked rule by rule, to check include/verdict.h and
 * user/ruleset.c against. Shares no logic with either: it takes the lists of a config as they are
 * and matches like iptables, in order, one packet at a time.
 */
#ifndef SOCKTABLES_ORACLE_H
#define SOCKTABLES_ORACLE_H

#include "../../user/ruleset.h"

struct oracle_rule;

struct oracle {
	struct oracle_rule *output, *prerouting; /* the flattened chains of one family */
	size_t nr_output, nr_prerouting;
	struct prefix *servers; /* the rules point here */
	const struct pod_facts *pod;
};

/* The rules of one family; none if v6 and IPv6 is not captured. c and pod must outlive ret.
 * Returns 0 or -ENOMEM.
 */
int oracle_make(const struct config *c, const struct pod_facts *pod, int v6, struct oracle *ret);
void oracle_free(struct oracle *o);

/* The port that a packet of the oracle's family is redirected to (host order), 0 if it is not. Of f
 * proto, src, dst, dport, uid and gid count; src of an outbound flow is zero if nothing is bound.
 */
__u16 oracle_outbound(const struct oracle *o, const struct flow *f);
__u16 oracle_inbound(const struct oracle *o, const struct flow *f);

#endif
