/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a tracer is told: one event for each verdict, and which of them it wants. Pure, as verdict.h.
 */
#ifndef SOCKTABLES_EVENT_H
#define SOCKTABLES_EVENT_H

#include "verdict.h"

#define ST_TRACERS 4 /* at once, on a node; bits of tracing.listening */

enum event_action { EVENT_PASSED, EVENT_REDIRECTED, EVENT_REFUSED };

/* One record of a tracer's ring buffer. */
struct event {
	__u64 time;	 /* CLOCK_MONOTONIC, ns */
	struct addr src; /* all zero: the kernel chooses it later */
	struct addr dst; /* as in struct flow */
	__u32 pid;	 /* of the process in the init PID namespace; 0: a packet, no process */
	__u32 uid, gid;	 /* as in struct flow */
	__u16 sport;	 /* host order, as the next two; 0: the kernel chooses it later */
	__u16 dport;
	__u16 port;    /* where to, with EVENT_REDIRECTED */
	__u8 proto;    /* ST_TCP or ST_UDP */
	__u8 action;   /* enum event_action */
	__u8 why;      /* enum why */
	__u8 inbound;  /* 1: arrived, 0: sent by the pod */
	char comm[16]; /* name of the process, with its NUL */
	__u8 pad[6];
	char name[ST_NAME_MAX]; /* of the pod */
};

/* All of it has to fit. All zero but for reasons: every event does. */
struct event_filter {
	__u64 netns;	       /* cookie of the pod; 0: any */
	__u64 reasons;	       /* bits by enum why */
	struct addr dst, mask; /* the destination in the bits of mask */
	__u32 uid;	       /* with by_uid */
	__u16 port;	       /* the destination's, host order; 0: any */
	__u16 by_uid;
};

/* A tracer's place. Its ring buffer is in st_tracers under the same index. Taken, left and, when it
 * has expired, cleared away under the lock of bpffs.
 */
struct tracer {
	__u64 until; /* CLOCK_MONOTONIC, ns: the tracer is alive till then; 0: nobody's place */
	__u64 lost;  /* events that found no room in the ring buffer. Counted by the programs */
	struct event_filter filter;
};

/* The one value of st_tracing, which tracers have mapped into their memory. */
struct tracing {
	__u32 listening; /* bits of the places that programs have to look at */
	__u32 pad;
	struct tracer v[ST_TRACERS];
};

_Static_assert(sizeof(struct event) == 216, "struct event");
_Static_assert(sizeof(struct event_filter) == 56, "struct event_filter");
_Static_assert(sizeof(struct tracing) == 8 + ST_TRACERS * 72, "struct tracing");

/* What happened to a flow, in one register: the verdict, and the port that it came from. */
ST_INLINE __u64 event_what(enum event_action action, struct verdict v, __u16 sport)
{
	return (__u64)sport << 32 | (__u32)action << 24 | (__u32)v.why << 16 | v.port;
}

#define EVENT_ACTION(what) ((__u8)((what) >> 24))
#define EVENT_WHY(what) ((__u8)((what) >> 16))
#define EVENT_PORT(what) ((__u16)(what))
#define EVENT_SPORT(what) ((__u16)((what) >> 32))

ST_INLINE int event_wanted(const struct event_filter *w, const struct flow *f, __u64 netns,
			   __u64 what)
{
	if (w->netns && w->netns != netns)
		return 0;
	if (!(w->reasons >> (EVENT_WHY(what) & 63) & 1))
		return 0;
	if (w->port && w->port != f->dport)
		return 0;
	if (w->by_uid && w->uid != f->uid)
		return 0;
	return !(((f->dst.w[0] ^ w->dst.w[0]) & w->mask.w[0]) |
		 ((f->dst.w[1] ^ w->dst.w[1]) & w->mask.w[1]) |
		 ((f->dst.w[2] ^ w->dst.w[2]) & w->mask.w[2]) |
		 ((f->dst.w[3] ^ w->dst.w[3]) & w->mask.w[3]));
}

#endif
