// SPDX-License-Identifier: GPL-2.0-only
/* The network delivers: sk_lookup hands inbound TCP to the proxy's listener, whatever the port. The
 * accepted socket keeps the address that was dialled. This is the one program that is loaded for
 * each pod, as sk_lookup cannot ask in which namespace it runs.
 */
#include "addr.bpf.h"
#include "maps.bpf.h"

const volatile __u64 netns_cookie = 0;

/* The first listener that fits: a v6-only one does not fit an IPv4 connection (-EAFNOSUPPORT), and no
 * IPv4 one an IPv6 connection: these are in the first half of the slots. A
 * group of SO_REUSEPORT listeners is balanced by the kernel whichever of it is named. F_REPLACE
 * wins over a program that ran before us, without it that one's choice would bypass the proxy.
 */
static __always_inline int assign_listener(struct bpf_sk_lookup *ctx, int v4)
{
	struct listener_key k = { .netns = netns_cookie };
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
static __always_inline int tproxy_kind(struct bpf_sk_lookup *ctx, const struct flow *f)
{
	struct handshake_key k = { .netns = netns_cookie,
				   .src = f->src,
				   .dst = f->dst,
				   .sport = bpf_ntohs(RD(ctx->remote_port)),
				   .dport = f->dport };
	const struct origin *o = bpf_map_lookup_elem(&st_handshake, &k);

	return o ? o->kind : 0;
}

SEC("sk_lookup")
int st_inbound(struct bpf_sk_lookup *ctx)
{
	struct flow f = { .proto = RD(ctx->protocol), .dport = RD(ctx->local_port) };
	int v4 = RD(ctx->family) == AF_INET, kind = 0;
	const struct class_value *remote;
	__u64 netns = netns_cookie;
	const struct policy *p;
	struct verdict v;

	f.dst = addr_either(v4, addr_v4(RD(ctx->local_ip4)), ADDR_V6(ctx->local_ip6));
	f.src = addr_either(v4, addr_v4(RD(ctx->remote_ip4)), ADDR_V6(ctx->remote_ip6));
	if (f.proto != ST_TCP)
		return SK_PASS;
	p = bpf_map_lookup_elem(&st_policy, &netns);
	if (!p || !(p->flags & POLICY_ACTIVE))
		return SK_PASS;
	if (p->flags & POLICY_TPROXY)
		kind = tproxy_kind(ctx, &f);
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
	if (v.action == ACTION_PASS || assign_listener(ctx, v4) == SK_PASS)
		return SK_PASS;
	count(netns, WHY_IN_NO_LISTENER, !addr_is_v4(&f.dst));
	return SK_DROP;
}

char LICENSE[] SEC("license") = "GPL";
