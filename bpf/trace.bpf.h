/* SPDX-License-Identifier: GPL-2.0-only */
/* What tracers are told. While nobody listens a verdict costs one look at one word. The rest is in a
 * function of its own, which the verifier walks once.
 */
#ifndef SOCKTABLES_TRACE_BPF_H
#define SOCKTABLES_TRACE_BPF_H

#include "../include/event.h"
#include "addr.bpf.h"

/* Who listens. Written by tracers through their memory, and by the programs: what was lost. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tracing);
} st_tracing SEC(".maps") __weak;

/* The ring buffers of tracers, each made by the tracer in the size that it wants. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ST_TRACERS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 1 << 16);
		});
} st_tracers SEC(".maps") __weak;

static __always_inline struct tracing *tracing(void)
{
	__u32 here = 0;

	return bpf_map_lookup_elem(&st_tracing, &here);
}

static __always_inline int is_traced(void)
{
	struct tracing *t = tracing();

	return t && RD(t->listening);
}

static __always_inline void trace_fill(struct event *e, const struct policy *p,
				       const struct flow *f, const struct addr *src, __u64 what,
				       __u64 now, int inbound)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->time = now;
	e->src = *src;
	e->dst = f->dst;
	e->uid = f->uid;
	e->gid = f->gid;
	e->sport = EVENT_SPORT(what);
	e->dport = f->dport;
	e->port = EVENT_PORT(what);
	e->proto = f->proto;
	e->action = EVENT_ACTION(what);
	e->why = EVENT_WHY(what);
	e->inbound = inbound;
	__builtin_memcpy(e->name, p->name, sizeof(e->name));
	/* A packet is delivered in whatever process was interrupted. */
	if (inbound)
		return;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}

/* To every tracer that wants it. One that has not said for a while that it is alive was killed: the
 * next verdict does not look at it any more.
 */
static __always_inline void trace_all(const struct policy *p, const struct flow *f,
				      const struct addr *src, __u64 netns, __u64 what, int inbound)
{
	struct tracing *t = tracing();
	__u64 now = bpf_ktime_get_ns();
	struct event *e;
	void *ring;
	__u32 key;
	__u64 i; /* Linux 6.1 does not follow a loop whose counter it loses: one in memory, or spilled */

	if (!t)
		return;
#pragma clang loop unroll(disable)
	for (i = 0; i < ST_TRACERS; i++) {
		struct tracer *to = &t->v[i];

		if (!(RD(t->listening) & 1u << i))
			continue;
		if (RD(to->until) < now) {
			__sync_fetch_and_and(&t->listening, ~(1u << i));
			continue;
		}
		if (!event_wanted(&to->filter, f, netns, what))
			continue;
		key = i;
		ring = bpf_map_lookup_elem(&st_tracers, &key);
		if (!ring)
			continue;
		e = bpf_ringbuf_reserve(ring, sizeof(*e), 0);
		if (!e) {
			__sync_fetch_and_add(&to->lost, 1);
			continue;
		}
		trace_fill(e, p, f, src, what, now, inbound);
		bpf_ringbuf_submit(e, 0);
	}
}

#endif
