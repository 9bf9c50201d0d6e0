// SPDX-License-Identifier: GPL-2.0-only
/* The pod sends: connect() and sendmsg() ask the verdict and apply it. What the app sees of it
 * afterwards is in reply.bpf.c, what the proxy sees in origdst.bpf.c.
 */
#include <linux/in.h>
#include <linux/in6.h>

#include "dns.bpf.h"
#include "flow.bpf.h"
#include "origin.bpf.h"

static __always_inline const struct policy *policy_of(__u64 netns)
{
	const struct policy *p = bpf_map_lookup_elem(&st_policy, &netns);

	return p && p->flags & POLICY_ACTIVE ? p : 0;
}

/* Redirected connections may use all of 127.0.0.0/8 if the listener that 127.0.0.1 leads to is bound
 * to the wildcard: else all those of a pod had to share one range of ports. To the inbound listener
 * only a socket that has chosen its port needs that.
 */
static __always_inline int may_spread(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				      const struct policy *p, const struct flow *f, __u16 port)
{
	struct bpf_sock_tuple t = { .ipv4 = { V4_LOOPBACK, V4_LOOPBACK, 0, bpf_htons(port) } };
	struct bpf_sock *listener;
	int wildcard;

	if (!(p->flags & POLICY_SPREAD) || f->proto != ST_TCP || !addr_is_v4(&f->dst) ||
	    (port != p->outbound_port && !RD(sk->src_port)))
		return 0;
	listener = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!listener)
		return 0;
	wildcard = !listener->src_ip4;
	bpf_sk_release(listener);
	return wildcard;
}

/* Loopback of the flow's family; one of 127.1.0.0 to 127.254.255.255 if it may. */
static __always_inline struct addr proxy_address(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
						 const struct policy *p, const struct flow *f,
						 __u16 port)
{
	struct addr a = addr_loopback_like(&f->dst);
	__u32 r;

	if (may_spread(ctx, sk, p, f, port)) {
		r = bpf_get_prandom_u32();
		a.w[3] = ST_BE32(127u << 24 | (1 + (r >> 16 & 0xff) % 254) << 16 | (r & 0xffff));
	}
	return a;
}

static __always_inline int bind_to(struct bpf_sock_addr *ctx, const struct addr *a, int in6)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = a->w[3] };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

	if (!in6)
		return bpf_bind(ctx, (struct sockaddr *)&sin, sizeof(sin));
	sin6.sin6_addr.s6_addr32[0] = a->w[0];
	sin6.sin6_addr.s6_addr32[1] = a->w[1];
	sin6.sin6_addr.s6_addr32[2] = a->w[2];
	sin6.sin6_addr.s6_addr32[3] = a->w[3];
	return bpf_bind(ctx, (struct sockaddr *)&sin6, sizeof(sin6));
}

/* A UDP socket keeps the source of its first connect(), so it gets the pod's address for good if it
 * can: from 127.0.0.1 a later connect() to another host would fail. A TCP socket cannot be
 * connected again without losing its source, and is only shown with the pod's address.
 */
static __always_inline void keep_source(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					const struct flow *f, struct origin *o, int in6)
{
	struct addr bound = sock_source(sk, in6);

	if (!addr_is_zero(&f->src))
		o->source = SOURCE_APP;
	else if (f->proto == ST_UDP && !RD(sk->src_port) && addr_is_zero(&bound) &&
		 !addr_is_zero(&o->src) && !bind_to(ctx, &o->src, in6))
		o->source = SOURCE_OURS;
	else if (!addr_is_zero(&bound) && !addr_is_loopback(&bound))
		o->source = SOURCE_OURS;
}

static __always_inline int connect_redirect(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					    const struct policy *p, const struct flow *f,
					    const struct addr *source, __u16 port, int in6)
{
	struct origin o = { .dst = f->dst, .port = RD(ctx->user_port), .kind = ORIGIN_APP };
	struct addr to = proxy_address(ctx, sk, p, f, port);

	o.src = *source;
	keep_source(ctx, sk, f, &o, in6);
	if (origin_set(sk, &o))
		return 0;
	ctx_put(ctx, &to, in6);
	RD(ctx->user_port) = bpf_htons(port);
	return 1;
}

/* What an earlier connect() left on the socket would be wrong for this one. */
static __always_inline void connect_pass(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					 const struct origin *o, int in6)
{
	struct addr any = {};

	if (!o)
		return;
	if (o->source == SOURCE_OURS)
		bind_to(ctx, &any, in6); /* -EINVAL unless disconnected: then the source is kept */
	bpf_sk_storage_delete(&st_origin, sk);
}

static __always_inline int on_connect(struct bpf_sock_addr *ctx, int in6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	const struct policy *p = policy_of(netns);
	struct bpf_sock *sk = ctx->sk;
	struct addr source = {};
	struct origin *o;
	struct verdict v;
	struct flow f;

	if (!p || !sk)
		return 1;
	o = origin_of(sk);
	f = flow_from(ctx, sk, o, in6);
	if (flow_matters(p, &f))
		flow_classify(p, &f, sk, &source);
	v = verdict_outbound(p, &f);
	count(netns, v.why, !addr_is_v4(&f.dst));
	if (v.action == ACTION_PASS) {
		connect_pass(ctx, sk, o, in6);
		return 1;
	}
	if (connect_redirect(ctx, sk, p, &f, &source, v.port, in6))
		return 1;
	count(netns, WHY_REFUSED_NO_MEMORY, !addr_is_v4(&f.dst));
	return 0;
}

static __always_inline int on_sendmsg(struct bpf_sock_addr *ctx, int in6)
{
	struct bpf_sock *sk = ctx->sk;
	const struct policy *p;
	struct addr source = {};
	struct verdict v;
	struct flow f;
	__u64 netns;
	int err = 0;

	if (!sk)
		return 1;
	if (RD(sk->src_port) == ST_DNS_PORT)
		return dns_agent_sends(ctx, sk, in6);
	if (bpf_ntohs(RD(ctx->user_port)) != 53)
		return 1;
	netns = bpf_get_netns_cookie(ctx);
	p = policy_of(netns);
	if (!p)
		return 1;
	f = flow_from(ctx, sk, 0, in6);
	flow_classify(p, &f, sk, &source);
	v = verdict_outbound(p, &f);
	count(netns, v.why, !addr_is_v4(&f.dst));
	if (v.action == ACTION_PASS)
		return 1;
	if (RD(sk->state) != BPF_TCP_ESTABLISHED)
		err = dns_app_asks(ctx, sk, p, &f, &source, netns, in6);
	if (err) {
		count(netns, WHY_REFUSED_NO_MEMORY, !addr_is_v4(&f.dst));
		return 0;
	}
	f.dst = addr_loopback_like(&f.dst);
	ctx_put(ctx, &f.dst, in6);
	RD(ctx->user_port) = bpf_htons(v.port);
	return 1;
}

SEC("cgroup/connect4")
int st_connect4(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, 0);
}

SEC("cgroup/connect6")
int st_connect6(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, 1);
}

SEC("cgroup/sendmsg4")
int st_sendmsg4(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, 0);
}

SEC("cgroup/sendmsg6")
int st_sendmsg6(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, 1);
}

char LICENSE[] SEC("license") = "GPL";
