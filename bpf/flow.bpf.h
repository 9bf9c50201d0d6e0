/* SPDX-License-Identifier: GPL-2.0-only */
/* From a hook's context to a struct flow and back: the one file that knows the quirks of contexts.
 */
#ifndef SOCKTABLES_FLOW_BPF_H
#define SOCKTABLES_FLOW_BPF_H

#include <bpf/bpf_core_read.h>

#include "../vmlinux/vmlinux.h"
#include "addr.bpf.h"
#include "maps.bpf.h"

/* 0 where the load with 1 fails and the kernel does not let cgroup programs read its memory
 * (lockdown=confidentiality): then the owner is the current task, which differs from iptables for
 * sockets that changed hands, and every socket counts as accepted.
 */
const volatile __u32 kernel_reads __weak = 1;

/* Since 6.2: reads through it are plain loads that need no probe read. */
extern void *bpf_rdonly_cast(void *obj, __u32 btf_id) __ksym __weak;

struct owner {
	__u32 uid, gid;
};

/* Copying the pointer makes it a number, which probe reads take where BPF_CORE_READ() of ctx->sk is
 * refused ("pointer arithmetic on sock prohibited").
 */
static __always_inline void *as_number(struct bpf_sock *ctx_sk)
{
	void *sk = 0;

	bpf_probe_read_kernel(&sk, sizeof(sk), &ctx_sk);
	return sk;
}

/* Whether a TCP socket was accepted, or connected by its owner. The kernel keeps no such mark, but
 * gives an accepted one the interface that the SYN came by as its multicast interface, which is 0
 * else (mc_index, mcast_oif: tcp_v4_syn_recv_sock() and tcp_v6_syn_recv_sock()).
 */
static __always_inline int is_accepted(struct bpf_sock *ctx_sk, int v4)
{
	struct inet_sock *sk;

	if (!kernel_reads)
		return 1;
	sk = as_number(ctx_sk);
	return v4 ? BPF_CORE_READ(sk, mc_index) : BPF_CORE_READ(sk, pinet6, mcast_oif);
}

/* Whom xt_owner compares (net/netfilter/xt_owner.c): fsuid and fsgid in the credentials of the
 * socket's file, i.e. of who called socket() or accept(). Without a file nobody owns it.
 */
static __always_inline struct owner owner_of(struct bpf_sock *ctx_sk)
{
	struct owner o = { -1, -1 };
	const struct cred *cred;
	struct file *file;
	struct sock *sk;
	__u64 id;

	if (!kernel_reads) {
		id = bpf_get_current_uid_gid();
		o.uid = id;
		o.gid = id >> 32;
		return o;
	}
	if (bpf_rdonly_cast) {
		struct socket *so;

		sk = bpf_rdonly_cast(ctx_sk, bpf_core_type_id_kernel(struct sock));
		so = sk->sk_socket;
		if (so && (file = so->file)) {
			cred = file->f_cred;
			o.uid = cred->fsuid.val;
			o.gid = cred->fsgid.val;
		}
		return o;
	}
	sk = as_number(ctx_sk);
	file = BPF_CORE_READ(sk, sk_socket, file);
	if (file) {
		cred = BPF_CORE_READ(file, f_cred);
		o.uid = BPF_CORE_READ(cred, fsuid.val);
		o.gid = BPF_CORE_READ(cred, fsgid.val);
	}
	return o;
}

static __always_inline void ctx_put4(struct bpf_sock_addr *ctx, const struct addr *a)
{
	RD(ctx->user_ip4) = a->w[3];
}

static __always_inline void ctx_put6(struct bpf_sock_addr *ctx, const struct addr *a)
{
	RD(ctx->user_ip6[0]) = a->w[0];
	RD(ctx->user_ip6[1]) = a->w[1];
	RD(ctx->user_ip6[2]) = a->w[2];
	RD(ctx->user_ip6[3]) = a->w[3];
}

/* The address in the context: a destination in connect and sendmsg, a peer or source elsewhere. The
 * two forms of each hook differ in nothing but IN6, a constant.
 */
static __always_inline struct addr ctx_addr(struct bpf_sock_addr *ctx, int in6)
{
	return in6 ? ADDR_V6(ctx->user_ip6) : addr_v4(RD(ctx->user_ip4));
}

static __always_inline void ctx_put(struct bpf_sock_addr *ctx, const struct addr *a, int in6)
{
	if (in6)
		ctx_put6(ctx, a);
	else
		ctx_put4(ctx, a);
}

/* What the socket is bound to, all zero if to no address. */
static __always_inline struct addr sock_source(struct bpf_sock *sk, int in6)
{
	struct addr a = in6 ? ADDR_V6(sk->src_ip6) : addr_v4(RD(sk->src_ip4));

	return addr_is_any(&a) ? (struct addr){} : a;
}

/* What the stack makes of the destination 0.0.0.0 or :: before the route lookup; the hook still sees
 * it raw. 0.0.0.0 is the bound source, or else 127.0.0.1 (ip_route_output_key_hash_rcu()); :: is ::1,
 * or 127.0.0.1 for a socket bound to a v4-mapped address (tcp_v6_connect(), ip6_datagram_connect()).
 */
static __always_inline struct addr stands_for(const struct addr *any, const struct addr *src)
{
	if (addr_is_v4(any) && !addr_is_zero(src))
		return *src;
	return addr_loopback_like(addr_is_v4(src) ? src : any);
}

/* Whether the kernel gave a connected UDP socket loopback, since the proxy was its peer before ours:
 * it keeps that for all that it does while it is connected.
 */
static __always_inline int has_loopback_for_good(struct bpf_sock *sk, const struct origin *o)
{
	return o && o->kind == ORIGIN_APP && o->source == SOURCE_KERNEL &&
	       RD(sk->protocol) == ST_UDP && RD(sk->state) == BPF_TCP_ESTABLISHED;
}

/* The facts of a connect() or sendmsg(). O, if any, is from an earlier call: then a source that the
 * app did not bind is not its own.
 */
static __always_inline struct flow flow_from(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					     const struct origin *o, int in6)
{
	struct flow f = { .proto = RD(ctx->protocol) };

	f.dport = bpf_ntohs(RD(ctx->user_port));
	f.dst = ctx_addr(ctx, in6);
	if (!o || o->source == SOURCE_APP ||
	    (has_loopback_for_good(sk, o) && addr_is_zero(&o->src)))
		f.src = sock_source(sk, in6);
	if (addr_is_any(&f.dst))
		f.dst = stands_for(&f.dst, &f.src);
	return f;
}

#endif
