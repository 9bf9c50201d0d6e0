/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the lists say of a destination, and its number, kept at hand: a pod dials the same few again and
 * again, and the tries and hashes that this saves are many steps, each a miss in the CPU's caches.
 *
 * Not an LRU map: its elements go to another key while a program still reads or writes them. Each CPU has
 * slots of its own, and a program stays on its CPU (migrate_disable(), Linux 5.7), so that it can only be
 * interrupted, and what it was interrupted by has ended or sleeps. `seq` tells: odd while a slot is
 * written, and another number afterwards.
 */
#ifndef SOCKTABLES_KNOWN_H
#define SOCKTABLES_KNOWN_H

#include "verdict.h"

#define KNOWN_BITS 12
#define KNOWN_SLOTS (1 << KNOWN_BITS) /* a CPU has, for all pods */

/* What there is to know. */
struct known {
	__u32 dst_class, port_class;
	__u32 number;	 /* 1 + that of a socket that is not bound; 0: not known */
	struct addr src; /* as in struct class_value */
};

/* A policy that is replaced leaves its slots to others. */
struct known_slot {
	__u64 seq;
	__u64 made; /* of the policy */
	struct addr dst;
	__u32 dport; /* host order */
	struct known known;
};

/* The compiler must not move what it reads or writes over this. A CPU sees its own in order. */
#define KNOWN_BARRIER() __asm__ volatile("" : : : "memory")

/* Which slot the destination has: multiplicative hashing by 2^64 divided by the golden ratio. */
static inline __u32 known_at(const struct policy *p, const struct flow *f)
{
	const __u64 golden = 0x9e3779b97f4a7c15;
	__u64 h = p->made ^ ((__u64)f->dst.w[1] << 32 | f->dst.w[0]);

	h *= golden;
	h = (h ^ h >> 32 ^ ((__u64)f->dst.w[3] << 32 | f->dst.w[2])) * golden;
	h = (h ^ h >> 32 ^ f->dport) * golden;
	return h >> (64 - KNOWN_BITS);
}

/* Without a branch, as each is another way for the verifier to walk. */
static inline int known_is_of(const struct known_slot *s, const struct policy *p,
			      const struct flow *f)
{
	__u32 differs = s->dport ^ f->dport;
	int i;

	for (i = 0; i < 4; i++)
		differs |= (ST_FORCE __u32)(s->dst.w[i] ^ f->dst.w[i]);
	return !(differs | (s->made ^ p->made));
}

/* Whether the slot has the flow's destination. If it returns 0, *RET is anything. */
static inline int known_read(const struct known_slot *s, const struct policy *p,
			     const struct flow *f, struct known *ret)
{
	__u64 seq = s->seq;

	KNOWN_BARRIER();
	if (seq & 1 || !known_is_of(s, p, f))
		return 0;
	*ret = s->known;
	KNOWN_BARRIER();
	return s->seq == seq;
}

/* Whether the slot is the caller's to write: not if whom we have interrupted is just doing that. */
static inline int known_lock(struct known_slot *s)
{
	__u64 seq = s->seq;

	if (seq & 1 || __sync_val_compare_and_swap(&s->seq, seq, seq + 1) != seq)
		return 0;
	KNOWN_BARRIER();
	return 1;
}

static inline void known_unlock(struct known_slot *s)
{
	KNOWN_BARRIER();
	s->seq++;
}

static inline void known_write(struct known_slot *s, const struct policy *p, const struct flow *f,
			       const struct known *known)
{
	if (!known_lock(s))
		return;
	s->made = p->made;
	s->dst = f->dst;
	s->dport = f->dport;
	s->known = *known;
	known_unlock(s);
}

/* Adds the number, if the slot still has the destination. */
static inline void known_write_number(struct known_slot *s, const struct policy *p,
				      const struct flow *f, __u32 number)
{
	if (!known_lock(s))
		return;
	if (known_is_of(s, p, f))
		s->known.number = number;
	known_unlock(s);
}

_Static_assert(sizeof(struct known_slot) == 64, "a line of the CPU's caches");

#endif
