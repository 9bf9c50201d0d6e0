/* SPDX-License-Identifier: GPL-2.0-only */
/* From a hook's context to a struct flow and back: the one file that knows the quirks of contexts.
 */
#ifndef SOCKTABLES_FLOW_BPF_H
#define SOCKTABLES_FLOW_BPF_H

#include <bpf/bpf_core_read.h>

#include "../vmlinux/vmlinux.h"
#include "addr.bpf.h"
#include "maps.bpf.h"

/* 0 where the load with 1 fails (CONFIG_SECURITY_LOCKDOWN confidentiality before 6.2, no BTF): then
 * the owner is the current task, which differs from iptables for sockets that changed hands.
 */
const volatile __u32 cred_mode __weak = 1;

/* Since 6.2: reads through it are plain loads that need no probe read. */
extern void *bpf_rdonly_cast(void *obj, __u32 btf_id) __ksym __weak;

struct owner {
	__u32 uid, gid;
};

/* Whom xt_owner compares (net/netfilter/xt_owner.c): fsuid and fsgid in the credentials of the
 * socket's file, i.e. of who called socket() or accept(). Without a file nobody owns it.
 */
static __always_inline struct owner owner_of(struct bpf_sock *ctx_sk)
{
	__u64 id = bpf_get_current_uid_gid();
	struct owner o = { (__u32)id, id >> 32 };
	const struct cred *cred;
	struct sock *sk = 0;
	struct file *file;

	if (!cred_mode)
		return o;
	o.uid = o.gid = -1;
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
	/* Copying the pointer makes it a number, which probe reads take where BPF_CORE_READ() of
	 * ctx->sk is refused ("pointer arithmetic on sock prohibited").
	 */
	bpf_probe_read_kernel(&sk, sizeof(sk), &ctx_sk);
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

/* The facts of a connect() or sendmsg(). Before the route lookup the stack makes 0.0.0.0 and :: of
 * a destination into the bound source, or else into loopback; the hook still sees it raw.
 * O, if any, is from an earlier call: then a source that the app did not bind is not its own.
 */
static __always_inline struct flow flow_from(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					     const struct origin *o, int in6)
{
	struct flow f = { .proto = RD(ctx->protocol) };

	f.dport = bpf_ntohs(RD(ctx->user_port));
	f.dst = ctx_addr(ctx, in6);
	if (!o || o->source == SOURCE_APP)
		f.src = sock_source(sk, in6);
	if (addr_is_any(&f.dst))
		f.dst = addr_is_zero(&f.src) ? addr_loopback_like(&f.dst) : f.src;
	return f;
}

/* What the lists of the policy say about an outbound flow. */
static __always_inline void flow_classify(const struct policy *p, struct flow *f,
					  struct bpf_sock *sk)
{
	struct owner o = owner_of(sk);

	f->uid = o.uid;
	f->gid = o.gid;
	f->dst_class = class_of(p, &f->dst);
	f->port_class = id_class_of(p, ID_PORT, f->dport);
	if (p->flags & POLICY_OWNER_SETS) {
		f->uid_class = id_class_of(p, ID_UID, f->uid);
		f->gid_class = id_class_of(p, ID_GID, f->gid);
	}
}

#endif
