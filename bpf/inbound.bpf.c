// SPDX-License-Identifier: GPL-2.0-only
/* The network delivers: sk_lookup hands inbound TCP to the proxy's listener, whatever the port. The
 * accepted socket keeps the address that was dialled.
 *
 * sk_lookup cannot ask in which namespace it runs. So each pod has a program of its own, of a few
 * instructions (user/enter.c), which leaves the namespace's cookie in st_caller and jumps here. Packets
 * are delivered with bottom halves off, so nothing comes between the two. A process that asks for a
 * socket (sock_diag) may be interrupted by a packet just there, and would read that one's cookie: the
 * address of the context tells.
 */
#include "addr.bpf.h"
#include "maps.bpf.h"
#include "trace.bpf.h"

/* Whether the pod's own program left its cookie for this very call. */
static __always_inline int called_by(struct bpf_sk_lookup *ctx, __u64 *netns)
{
	__u32 here = 0;
	struct caller *c = bpf_map_lookup_elem(&st_caller, &here);

	if (!c)
		return 0;
	*netns = RD(c->netns);
	return RD(c->ctx) == (__u64)ctx;
}

/* The first listener that fits: a v6-only one does not fit an IPv4 connection (-EAFNOSUPPORT), and no
 * IPv4 one an IPv6 connection: these are in the first half of the slots. A
 * group of SO_REUSEPORT listeners is balanced by the kernel whichever of it is named. F_REPLACE
 * wins over a program that ran before us, without it that one's choice would bypass the proxy.
 */
static __always_inline int assign_listener(struct bpf_sk_lookup *ctx, __u64 netns, int v4)
{
	struct listener_key k = { .netns = netns };
	struct bpf_sock *sk;
	long err;
	int i;

	for (i = v4 ? 0 : ST_LISTENERS / 2; i < ST_LISTENERS; i++) {
		k.slot = i;
		sk = bpf_map_lookup_elem(&st_listener, &k);
		if (!sk)
			continue;
		err = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_REPLACE);
		bpf_sk_release(sk);
		if (!err)
			return SK_PASS;
	}
	return SK_DROP;
}

/* The kind of connection that a socket of this namespace makes with TPROXY, 0 if it is none. */
static __always_inline int tproxy_kind(struct bpf_sk_lookup *ctx, __u64 netns, const struct flow *f)
{
	struct handshake_key k = { .netns = netns,
				   .src = f->src,
				   .dst = f->dst,
				   .sport = bpf_ntohs(RD(ctx->remote_port)),
				   .dport = f->dport };
	const struct origin *o = bpf_map_lookup_elem(&st_handshake, &k);

	return o ? o->kind : 0;
}

/* A function for the verifier, too. */
__noinline int st_trace_in(const struct policy *p, const struct flow *f, __u64 netns, __u64 what)
{
	if (!p || !f)
		return 0;
	trace_all(p, f, &f->src, netns, what, 1);
	return 0;
}

static __always_inline void trace_in(struct bpf_sk_lookup *ctx, const struct policy *p,
				     const struct flow *f, __u64 netns, struct verdict v,
				     enum event_action action)
{
	if (is_traced())
		st_trace_in(p, f, netns, event_what(action, v, bpf_ntohs(RD(ctx->remote_port))));
}

SEC("sk_lookup")
int st_inbound(struct bpf_sk_lookup *ctx)
{
	struct flow f = {
		.proto = RD(ctx->protocol), .dport = RD(ctx->local_port), .uid = -1, .gid = -1
	};
	int v4 = RD(ctx->family) == AF_INET, kind = 0;
	const struct class_value *remote;
	__u64 netns;
	const struct policy *p;
	struct verdict v;

	f.dst = addr_either(v4, addr_v4(RD(ctx->local_ip4)), ADDR_V6(ctx->local_ip6));
	f.src = addr_either(v4, addr_v4(RD(ctx->remote_ip4)), ADDR_V6(ctx->remote_ip6));
	if (f.proto != ST_TCP)
		return SK_PASS;
	if (!called_by(ctx, &netns))
		return SK_DROP;
	p = bpf_map_lookup_elem(&st_policy, &netns);
	if (!p || !(p->flags & POLICY_ACTIVE))
		return SK_PASS;
	if (p->flags & POLICY_TPROXY)
		kind = tproxy_kind(ctx, netns, &f);
	/* Nobody comes from outside to 127.0.0.0/8 or ::1, but 127.0.0.2 is also the pod's own. */
	if (addr_is_loopback(&f.dst) && kind != ORIGIN_TO_SELF)
		return SK_PASS;
	remote = class_of(p, &f.src);
	if (remote)
		f.src_class = remote->class;
	f.port_class = id_class_of(p, ID_PORT, f.dport);
	/* What a pod sends to its own address comes by lo, though the context says eth0. */
	if (p->flags & POLICY_IFACES)
		f.iface_class = id_class_of(p, ID_IFACE,
					    kind == ORIGIN_TO_SELF ? LOOPBACK_IFINDEX
								   : RD(ctx->ingress_ifindex));
	f.transparent = kind == ORIGIN_TRANSPARENT;
	if (kind == ORIGIN_TO_SELF)
		f.src_class &= ~CLASS_LOCAL;
	v = verdict_inbound(p, &f);
	count(netns, v.why, !addr_is_v4(&f.dst));
	if (v.action == ACTION_PASS || assign_listener(ctx, netns, v4) == SK_PASS) {
		trace_in(ctx, p, &f, netns, v,
			 v.action == ACTION_PASS ? EVENT_PASSED : EVENT_REDIRECTED);
		return SK_PASS;
	}
	v.why = WHY_IN_NO_LISTENER;
	count(netns, v.why, !addr_is_v4(&f.dst));
	trace_in(ctx, p, &f, netns, v, EVENT_REFUSED);
	return SK_DROP;
}

char LICENSE[] SEC("license") = "GPL";
