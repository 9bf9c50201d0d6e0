/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses out of contexts, in the one form of struct addr.
 *
 * RD() keeps clang from merging reads or writes of context fields into one access at a computed
 * offset, which the verifier refuses ("dereference of modified ctx ptr").
 */
#ifndef SOCKTABLES_ADDR_BPF_H
#define SOCKTABLES_ADDR_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../include/verdict.h"

#define RD(x) (*(volatile typeof(x) *)&(x))

#define AF_INET 2
#define AF_INET6 10

#define LOOPBACK_IFINDEX 1 /* include/net/flow.h: lo is the first of every namespace */

#define V4_LOOPBACK ST_V4(127, 0, 0, 1)
#define V6_LOOPBACK_WORD ST_V4(0, 0, 0, 1)

static __always_inline struct addr addr_v4(__be32 ip)
{
	return (struct addr){ .w = { 0, 0, ST_V4(0, 0, 255, 255), ip } };
}

static __always_inline struct addr addr_v6(__be32 a, __be32 b, __be32 c, __be32 d)
{
	return (struct addr){ .w = { a, b, c, d } };
}

#define ADDR_V6(words) addr_v6(RD((words)[0]), RD((words)[1]), RD((words)[2]), RD((words)[3]))

/* For contexts that have both families' fields: all words are read before any is chosen. */
static __always_inline struct addr addr_either(int v4, struct addr a4, struct addr a6)
{
	return v4 ? a4 : a6;
}

/* Loopback of the family that A is of. */
static __always_inline struct addr addr_loopback_like(const struct addr *a)
{
	if (addr_is_v4(a))
		return addr_v4(V4_LOOPBACK);
	return addr_v6(0, 0, 0, V6_LOOPBACK_WORD);
}

/* Where a redirected connection can come from and go to. */
static __always_inline int addr_is_lo(const struct addr *a)
{
	return addr_is_loopback(a) | addr_is_passthrough(a);
}

/* 0.0.0.0, :: and ::ffff:0.0.0.0 all mean "no address". */
static __always_inline int addr_is_any(const struct addr *a)
{
	return !a->w[3] && (addr_is_zero(a) || addr_is_v4(a));
}

#endif
