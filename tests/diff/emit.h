/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints rows of the differential test (row.h) with what the rules say of them: ROW <tab> PORT, the
 * port that it is redirected to, or 0; "-" for rows of several steps, which nobody predicts.
 */
#ifndef DIFF_EMIT_H
#define DIFF_EMIT_H

#include "world.h"

struct who {
	__u32 uid, gid;		  /* who makes the socket */
	__u32 user_uid, user_gid; /* and who uses it */
};

enum how { BY_CONNECT, BY_SEND, BY_NBCONNECT };

/* One outbound flow. An all-zero dst is "any", of the family of v6; mapped: an IPv4 destination on an
 * AF_INET6 socket. src may be NULL: not bound.
 */
struct out_flow {
	struct who who;
	int proto; /* ST_TCP or ST_UDP */
	int mapped, v6;
	enum how how;
	const struct addr *src;
	struct addr dst;
	__u16 port;
};

void emit_outbound(const struct world *w, const struct out_flow *f);

/* One flow from outside to an address of the pod. */
void emit_inbound(const struct world *w, int proto, const struct addr *dst, __u16 port);

/* A row of several steps, each VERB or VERB=TARGET; NULL ends them. */
void emit_steps(const struct who *who, const char *protocol, ...) __attribute__((sentinel));

#endif
