/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walks the rules of iptables-save's text as the kernel would, to check what import makes of them.
 * Shares nothing with user/rules.c: a rule is matched word by word, in whatever notation iptables
 * prints it.
 */
#ifndef SOCKTABLES_WALK_H
#define SOCKTABLES_WALK_H

#include "../../user/ruleset.h"

struct walk_rules {
	char **v; /* "CHAIN words..." */
	size_t nr;
};

struct walk {
	struct walk_rules nat[2], mangle[2]; /* by family */
};

/* A table with an address of IPv6 is IPv6's, any other is IPv4's. */
void walk_read(const char *text, struct walk *ret);
void walk_free(struct walk *w);

/* The port that a packet is redirected to (host order), 0 if it is not. Of f proto, src, dst,
 * dport, uid and gid count. No interface of the pod but lo has a name that rules know.
 */
__u16 walk_outbound(const struct walk *w, const struct pod_facts *pod, const struct flow *f);
__u16 walk_inbound(const struct walk *w, const struct pod_facts *pod, const struct flow *f);

#endif
