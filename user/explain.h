/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a flow goes where it goes, from the code that decides; and what both ends see of it. Pure. */
#ifndef SOCKTABLES_EXPLAIN_H
#define SOCKTABLES_EXPLAIN_H

#include <stddef.h>

#include "../include/verdict.h"

#define WALK_MAX 48 /* more than any flow meets */

struct walk_step {
	__u8 why;   /* enum why: the rule */
	__u8 fits;  /* 1 if it does */
	__u8 owner; /* rules of the proxy's owner: 1 as asked of the uid, 2 of the gid; else 0 */
};

/* The rules that a flow met, in order. What decides is the last one that fits: the first, unless a
 * later one takes that back (WHY_OUT_SOURCE_LOOPBACK).
 */
struct walk {
	struct walk_step v[WALK_MAX];
	size_t nr;
	struct verdict verdict;
};

/* verdict_inbound() or verdict_outbound() of a classified flow, and how it came about. Not for two
 * threads at once.
 */
void walk_flow(const struct policy *p, const struct flow *f, int inbound, struct walk *ret);

/* Why the last rule that fits is not the one that the verdict names, or NULL: never, or explain lies. */
const char *walk_fault(const struct walk *w);

/* What the ends of a connection, or of a DNS query, see. An address that is all zero is not known. */
struct seen {
	struct addr source; /* of who connects, as all ends are shown it */
	struct addr proxy;  /* where the proxy or its agent gets it; all zero: it does not */
	__u16 proxy_port;   /* host order */
	int spread;	 /* 1: at any address of 127.0.0.0/8 if the proxy listens on the wildcard */
	int to_self;	 /* TPROXY: 1 if it then comes to the inbound rules as from outside, */
	int transparent; /* or 1 if it is known as the proxy's, with its client's address */
};

/* class_source: struct class_value's src for the destination. mark: of the socket. */
void seen_of(const struct policy *p, const struct flow *f, int inbound, const struct verdict *v,
	     const struct addr *class_source, __u32 mark, struct seen *ret);

#endif
