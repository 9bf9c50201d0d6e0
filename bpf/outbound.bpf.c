// SPDX-License-Identifier: GPL-2.0-only
/* The pod sends: connect() and sendmsg() ask the verdict and apply it. What the app sees of it
 * afterwards is in reply.bpf.c, what the proxy sees in origdst.bpf.c.
 */
#include <linux/in.h>
#include <linux/in6.h>

#include "classify.bpf.h"
#include "dns.bpf.h"
#include "flow.bpf.h"
#include "mptcp.bpf.h"
#include "number.bpf.h"
#include "origin.bpf.h"
#include "trace.bpf.h"

/* What 127.0.0.1:PORT or [::1]:PORT leads to: a listener, or the connection that has these very
 * addresses with that source. To be released.
 */
static __always_inline struct bpf_sock *at_proxy(struct bpf_sock_addr *ctx, const struct addr *src,
						 __be16 sport, __u16 port)
{
	struct bpf_sock_tuple t = {};

	if (addr_is_v4(src)) {
		t.ipv4.saddr = src->w[3];
		t.ipv4.daddr = V4_LOOPBACK;
		t.ipv4.sport = sport;
		t.ipv4.dport = bpf_htons(port);
		return bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	t.ipv6.saddr[0] = src->w[0];
	t.ipv6.saddr[1] = src->w[1];
	t.ipv6.saddr[2] = src->w[2];
	t.ipv6.saddr[3] = src->w[3];
	t.ipv6.daddr[3] = V6_LOOPBACK_WORD;
	t.ipv6.sport = sport;
	t.ipv6.dport = bpf_htons(port);
	return bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

static __always_inline int is_wildcard_listener(struct bpf_sock *sk)
{
	return RD(sk->state) == BPF_TCP_LISTEN && !RD(sk->src_ip4) &&
	       !(RD(sk->src_ip6[0]) | RD(sk->src_ip6[1]) | RD(sk->src_ip6[2]) | RD(sk->src_ip6[3]));
}

/* Whether what listens on 127.0.0.1:PORT does so on the wildcard, and not on that address alone. */
static __always_inline int at_wildcard(struct bpf_sock_addr *ctx, const struct addr *src,
				       __u16 port)
{
	struct bpf_sock *found = at_proxy(ctx, src, 0, port);
	int wildcard;

	if (!found)
		return 0;
	wildcard = is_wildcard_listener(found);
	bpf_sk_release(found);
	return wildcard;
}

/* The same of the outbound port, where it has to be looked for only if something began to listen there
 * since the last time: a listener that goes leaves nobody, or another on the wildcard.
 */
static __always_inline int proxy_at_wildcard(struct bpf_sock_addr *ctx, struct policy *p,
					     __u16 port)
{
	struct addr src = addr_v4(V4_LOOPBACK);
	__u32 listens = p->listens;

	if (port != p->outbound_port)
		return at_wildcard(ctx, &src, port);
	if (p->wildcard == listens + 1)
		return 1;
	if (!at_wildcard(ctx, &src, port))
		return 0;
	p->wildcard = listens + 1;
	return 1;
}

/* Whether the proxy has to be dialled at another address than 127.0.0.1 or ::1, which needs a listener
 * on the wildcard: all connections of the pod that go to one address share one range of source ports,
 * and a socket that was bound to a port before may find that this very pair of addresses is in use.
 */
static __always_inline int must_spread(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				       const struct policy *p, const struct flow *f, __u16 port)
{
	struct addr src = addr_is_zero(&f->src) ? addr_loopback_like(&f->dst) : f->src;
	__be16 sport = bpf_htons(RD(sk->src_port));
	int spread = addr_is_v4(&f->dst) && port == p->outbound_port;
	struct bpf_sock *found;
	int state, wildcard;

	if (!(p->flags & POLICY_SPREAD) || f->proto != ST_TCP || (!spread && !sport))
		return 0;
	found = at_proxy(ctx, &src, sport, port);
	if (!found)
		return 0;
	state = RD(found->state);
	wildcard = is_wildcard_listener(found);
	bpf_sk_release(found);
	if (state == BPF_TCP_LISTEN)
		return wildcard && spread;
	return at_wildcard(ctx, &src, port);
}

/* Loopback of the flow's family if it may; else one of 127.128.0.0 to 127.254.255.255, and in IPv6,
 * which has but one loopback address, ::6.
 */
static __always_inline struct addr proxy_address(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
						 const struct policy *p, const struct flow *f,
						 __u16 port)
{
	struct addr a = addr_loopback_like(&f->dst);
	__u32 r;

	if (!must_spread(ctx, sk, p, f, port))
		return a;
	if (!addr_is_v4(&f->dst))
		return addr_v6(0, 0, 0, ST_V4(0, 0, 0, 6));
	r = bpf_get_prandom_u32();
	a.w[3] = ST_BE32(127u << 24 | (128 + (r >> 16 & 0xff) % 127) << 16 | (r & 0xffff));
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

/* What an earlier connect() left on the socket would be wrong for this one. */
static __always_inline void forget_origin(struct bpf_sock *sk, struct mptcp_sock *mptcp,
					  const struct origin *o)
{
	if (mptcp)
		bpf_sk_storage_delete(&st_origin, mptcp);
	if (o)
		bpf_sk_storage_delete(&st_origin, sk);
}

static __always_inline void connect_pass(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					 const struct origin *o, int in6)
{
	struct addr any = {};

	if (o && o->source == SOURCE_OURS)
		bind_to(ctx, &any, in6); /* -EINVAL unless disconnected: then the source is kept */
	forget_origin(sk, mptcp_of_first(sk), o);
}

/* Whether the connection is dialled at its destination's number, which is set as *TO. KNOWN: as in struct
 * known.
 */
static __always_inline int connect_numbered(struct bpf_sock_addr *ctx, struct policy *p,
					    const struct flow *f, const struct origin *o,
					    enum origin_kind kind, __u32 known, __u64 netns,
					    struct addr *to)
{
	/* Who bound a source has no other to be shown with: SRC is zero then. */
	int own = addr_is_zero(&f->src) && kind == ORIGIN_APP;
	struct origin shown = {
		.dst = o->dst, .src = o->src, .port = o->port, .via = o->via, .kind = kind
	};

	if (!(p->flags & POLICY_SPREAD) || f->proto != ST_TCP || !addr_is_v4(&f->dst) ||
	    !proxy_at_wildcard(ctx, p, o->via))
		return 0;
	if (own && known) {
		*to = address_of_number(known - 1);
		return 1;
	}
	if (number_of(netns, &shown, to)) {
		count(netns, WHY_DEST_NO_NUMBER, 0);
		return 0;
	}
	if (own)
		know_number(p, f, number_of_address(to->w[3]) + 1);
	return 1;
}

static __always_inline int connect_redirect(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					    struct policy *p, const struct flow *f,
					    const struct origin *old, const struct addr *source,
					    __u32 known, __u64 netns, __u16 port,
					    enum origin_kind kind, int in6)
{
	struct origin o = {
		.dst = f->dst, .port = RD(ctx->user_port), .kind = ORIGIN_APP, .via = port
	};
	struct mptcp_sock *mptcp = mptcp_of_first(sk);
	struct addr to = {}; /* clang -O1 would spill the register that it is not in yet */

	o.src = *source;
	keep_source(ctx, sk, f, &o, in6);
	if ((port == p->outbound_port || kind == ORIGIN_DIALLED) &&
	    connect_numbered(ctx, p, f, &o, kind, known, netns, &to)) {
		forget_origin(sk, mptcp, old);
	} else {
		to = proxy_address(ctx, sk, p, f, port);
		if (origin_set(sk, &o) || (mptcp && origin_set(mptcp, &o)))
			return 0;
	}
	ctx_put(ctx, &to, in6);
	RD(ctx->user_port) = bpf_htons(port);
	return 1;
}

/* Whether somebody who passes dials what would be taken for a number: then it gets one of its own. */
static __always_inline int dials_number(const struct policy *p, const struct flow *f, __u64 netns)
{
	return f->proto == ST_TCP && addr_is_v4(&f->dst) && is_numbered(f->dst.w[3]) &&
	       (f->dport == p->outbound_port || numbered(netns, f->dst.w[3], f->dport));
}

/* TPROXY: what st_inbound has to know of the connection is on the socket when its SYN comes. */
static __always_inline void note_tproxy(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					const struct policy *p, struct flow *f)
{
	struct origin o = { .dst = f->dst, .port = RD(ctx->user_port), .source = SOURCE_APP };
	const struct class_value *src;

	src = addr_is_zero(&f->src) ? 0 : class_of(p, &f->src);
	f->src_class = src ? src->class : 0;
	o.kind = verdict_tproxy(p, f, RD(sk->mark));
	if (o.kind)
		origin_set(sk, &o);
}

/* A function for the verifier, too, which looks at it once, for any policy and any flow. Inlined, each
 * end of the verdict is another way through all that follows, more than Linux 6.1 cares to walk.
 */
__noinline __u32 st_verdict(const struct policy *p, const struct flow *f)
{
	struct verdict v;

	if (!p || !f)
		return 0;
	v = verdict_outbound(p, f);
	return (__u32)v.action << 24 | (__u32)v.why << 16 | v.port;
}

static __always_inline struct verdict verdict_of(const struct policy *p, const struct flow *f)
{
	__u32 v = st_verdict(p, f);

	return (struct verdict){ .action = v >> 24, .why = v >> 16, .port = v };
}

/* Likewise. SRC: what a socket that is not bound gets, all zero if the kernel chooses it. */
__noinline int st_trace_out(const struct policy *p, const struct flow *f, const struct addr *src,
			    __u64 netns, __u64 what)
{
	if (!p || !f || !src)
		return 0;
	trace_all(p, f, addr_is_zero(&f->src) ? src : &f->src, netns, what, 0);
	return 0;
}

static __always_inline void trace_out(const struct policy *p, const struct flow *f,
				      const struct addr *source, __u64 netns, struct bpf_sock *sk,
				      struct verdict v, int allowed)
{
	enum event_action action = v.action == ACTION_PASS ? EVENT_PASSED : EVENT_REDIRECTED;

	if (!is_traced())
		return;
	if (!allowed) {
		action = EVENT_REFUSED;
		v.why = WHY_REFUSED_NO_MEMORY;
	}
	st_trace_out(p, f, source, netns, event_what(action, v, RD(sk->src_port)));
}

/* Does what the verdict says. Returns 0 if there is no memory for it. */
static __always_inline int connect_as_told(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					   struct policy *p, struct flow *f, const struct origin *o,
					   const struct addr *source, __u32 known, __u64 netns,
					   struct verdict v, int in6)
{
	enum origin_kind kind = ORIGIN_APP;
	struct addr src = *source;

	if (v.action == ACTION_PASS && dials_number(p, f, netns) &&
	    proxy_at_wildcard(ctx, p, f->dport)) {
		v.action = ACTION_REDIRECT;
		v.port = f->dport;
		kind = ORIGIN_DIALLED;
		src = (struct addr){};
	}
	if (v.action == ACTION_REDIRECT) /* one call, as it is inlined */
		return connect_redirect(ctx, sk, p, f, o, &src, known, netns, v.port, kind, in6);
	if (v.why != WHY_OUT_SOURCE_LOOPBACK) /* that fails: the last peer stays */
		connect_pass(ctx, sk, o, in6);
	if (p->flags & POLICY_TPROXY)
		note_tproxy(ctx, sk, p, f);
	return 1;
}

static __always_inline int on_connect(struct bpf_sock_addr *ctx, int in6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct policy *p = bpf_map_lookup_elem(&st_policy, &netns);
	struct bpf_sock *sk = ctx->sk;
	struct addr source = {};
	__u32 known = 0;
	struct origin *o;
	struct verdict v;
	struct flow f;
	int allowed;

	if (!p || !sk)
		return 1;
	o = origin_of(sk);
	if (!(p->flags & POLICY_ACTIVE)) {
		connect_pass(ctx, sk, o, in6);
		return 1;
	}
	f = flow_from(ctx, sk, o, in6);
	if (flow_matters(p, &f) || is_traced()) /* a tracer wants to know the owner */
		known = flow_classify(p, &f, sk, &source);
	if (has_loopback_for_good(sk, o) && addr_is_v4(&o->src) == addr_is_v4(&f.dst))
		source = o->src;
	v = verdict_of(p, &f);
	count(netns, v.why, !addr_is_v4(&f.dst));
	allowed = connect_as_told(ctx, sk, p, &f, o, &source, known, netns, v, in6);
	if (!allowed)
		count(netns, WHY_REFUSED_NO_MEMORY, !addr_is_v4(&f.dst));
	trace_out(p, &f, &source, netns, sk, v, allowed);
	return allowed;
}

/* A datagram that goes where it was sent to. */
static __always_inline int send_pass(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				     const struct addr *to, int in6)
{
	if (RD(sk->state) == BPF_TCP_ESTABLISHED)
		dns_connected_leaves(ctx, sk, to, in6);
	return 1;
}

static __always_inline int on_sendmsg(struct bpf_sock_addr *ctx, int in6)
{
	struct addr to = ctx_addr(ctx, in6), source = {};
	struct bpf_sock *sk = ctx->sk;
	const struct policy *p;
	int connected, err = 0;
	struct verdict v;
	struct flow f;
	__u64 netns;

	if (!sk)
		return 1;
	if (bpf_ntohs(RD(ctx->user_port)) != 53)
		return RD(sk->src_port) == ST_DNS_PORT ? dns_agent_sends(ctx, sk, in6)
						       : send_pass(ctx, sk, &to, in6);
	netns = bpf_get_netns_cookie(ctx);
	p = bpf_map_lookup_elem(&st_policy, &netns);
	if (!p)
		return 1;
	connected = RD(sk->state) == BPF_TCP_ESTABLISHED;
	if (!(p->flags & POLICY_ACTIVE)) {
		if (!connected)
			dns_asks_directly(sk, &to, netns);
		return 1;
	}
	f = flow_from(ctx, sk, connected ? origin_of(sk) : 0, in6);
	flow_classify(p, &f, sk, &source);
	f.reply = dns_is_answer(sk, &f.dst);
	v = verdict_of(p, &f);
	count(netns, v.why, !addr_is_v4(&f.dst));
	if (v.action == ACTION_PASS) {
		if (!connected && !f.reply)
			dns_asks_directly(sk, &f.dst, netns);
		send_pass(ctx, sk, &to, in6);
	} else if (connected)
		dns_connected_asks(ctx, sk, &f, in6);
	else
		err = dns_app_asks(ctx, sk, p, &f, &source, netns, in6);
	trace_out(p, &f, &source, netns, sk, v, !err);
	if (v.action == ACTION_PASS)
		return 1;
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
