/* SPDX-License-Identifier: GPL-2.0-only */
/* UDP DNS between an app's socket and the DNS agent on loopback: which resolver a reply is from,
 * and which client the agent sees.
 *
 * A socket's first resolver needs no mark: the query leaves from the pod's own address, as with
 * iptables, and any reply without a mark is that resolver's. A further resolver of the same
 * unconnected socket gets a slot on the socket, and its number travels in the source address: the
 * query comes from 127.1.0.n, the agent's reply to that address goes to the pod's address from
 * 127.2.0.n instead. So replies are told apart without looking at a packet, and nothing outlives
 * the socket. The agent itself is shown the pod's address with a port that stands for the client,
 * since with iptables such a query comes from a made-up port, too. IPv6 has no such range: it uses 100::1:n and 100::2:n of the discard-only prefix
 * (RFC 6666), which never leave lo since both ends are rewritten.
 */
#ifndef SOCKTABLES_DNS_BPF_H
#define SOCKTABLES_DNS_BPF_H

#include "flow.bpf.h"
#include "origin.bpf.h"

#define MARK_QUERY 1
#define MARK_REPLY 2
#define MARK_NOBODY (ST_ADDR_SLOTS + 1) /* the reply is for nobody */

static __always_inline struct addr mark(const struct addr *like, __u32 direction, __u32 n)
{
	if (addr_is_v4(like))
		return addr_v4(ST_BE32(127u << 24 | direction << 16 | n));
	return (struct addr){ .w = { ST_BE32(0x0100u << 16), 0, 0, ST_BE32(direction << 16 | n) } };
}

/* The number in a mark of this direction, from 1; 0 if A is none. */
static __always_inline __u32 mark_number(const struct addr *a, __u32 direction)
{
	__u32 low = bpf_ntohl(a->w[3]);
	__u32 n = low & 0xffff;

	if (n > MARK_NOBODY)
		return 0;
	if (addr_is_v4(a))
		return low >> 16 == (127u << 8 | direction) ? n : 0;
	if (a->w[0] == ST_BE32(0x0100u << 16) && !a->w[1] && !a->w[2] && low >> 16 == direction)
		return n;
	return 0;
}

static __always_inline void put_source(struct bpf_sock_addr *ctx, const struct addr *a, int in6)
{
	if (in6) {
		RD(ctx->msg_src_ip6[0]) = a->w[0];
		RD(ctx->msg_src_ip6[1]) = a->w[1];
		RD(ctx->msg_src_ip6[2]) = a->w[2];
		RD(ctx->msg_src_ip6[3]) = a->w[3];
	} else {
		RD(ctx->msg_src_ip4) = a->w[3];
	}
}

/* The source that the datagram has already, by IP_PKTINFO, IPV6_PKTINFO or bind(); all zero: none. */
static __always_inline struct addr given_source(struct bpf_sock_addr *ctx, int in6)
{
	struct addr a = in6 ? ADDR_V6(ctx->msg_src_ip6) : addr_v4(RD(ctx->msg_src_ip4));

	return addr_is_any(&a) ? (struct addr){} : a;
}

/* The number of the slot that has A, from 1; 0 if none. */
static __always_inline __u32 slot_of(const struct addr_slots *s, const struct addr *a)
{
	__u32 i;

	for (i = 0; i < ST_ADDR_SLOTS; i++)
		if (addr_equal(&s->v[i], a))
			return i + 1;
	return 0;
}

/* The same, with a new slot if none has it. */
static __always_inline __u32 slot_for(struct addr_slots *s, const struct addr *a, __u64 netns)
{
	__u32 n = slot_of(s, a), i = s->next % ST_ADDR_SLOTS;

	if (n)
		return n;
	if (s->next >= ST_ADDR_SLOTS)
		count(netns, WHY_DNS_SLOT_REUSED, !addr_is_v4(a));
	s->v[i] = *a;
	s->next++;
	return i + 1;
}

/* A query of an unconnected socket that is not captured. What is captured next may be the same resolver. */
static __always_inline void dns_asks_directly(struct bpf_sock *sk, const struct addr *server,
					      __u64 netns)
{
	struct addr_slots *s;

	s = bpf_sk_storage_get(&st_dns_slots, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s)
		slot_for(s, server, netns);
}

static __always_inline int dns_has_asked(struct bpf_sock *sk, const struct addr *server)
{
	struct origin *o = origin_of(sk);
	struct addr_slots *s;

	if (o && addr_equal(&o->dst, server))
		return 1;
	s = bpf_sk_storage_get(&st_dns_slots, sk, 0, 0);
	return s && (addr_equal(&s->other, server) || slot_of(s, server));
}

/* A server that is written to from port 53 answers to port 53, and asks nothing. Whoever spoke first
 * is the one that asks, as conntrack has it: a resolver does not become a client by what it writes,
 * nor by what others write in its name.
 */
static __always_inline void dns_peer_wrote(struct bpf_sock_addr *ctx, struct bpf_sock *sk, int in6)
{
	struct addr from = ctx_addr(ctx, in6);
	struct addr_slots *s;

	if (RD(sk->state) == BPF_TCP_ESTABLISHED || dns_has_asked(sk, &from))
		return;
	s = bpf_sk_storage_get(&st_dns_peers, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s)
		slot_for(s, &from, bpf_get_netns_cookie(ctx));
}

static __always_inline int dns_is_answer(struct bpf_sock *sk, const struct addr *to)
{
	struct addr_slots *s = bpf_sk_storage_get(&st_dns_peers, sk, 0, 0);

	return s && slot_of(s, to);
}

/* A connected socket asks another resolver than the one it is connected to: it never gets to read a
 * reply to that, as the kernel filters by the peer. The mark keeps up the difference that both
 * going to the agent would hide.
 */
static __always_inline void dns_connected_asks(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					       const struct flow *f, int in6)
{
	struct origin *o = origin_of(sk);
	struct addr nobody = mark(&f->dst, MARK_QUERY, MARK_NOBODY);

	if (o && o->kind == ORIGIN_APP && !addr_equal(&o->dst, &f->dst))
		put_source(ctx, &nobody, in6);
}

/* A connected socket sends to somebody else: from the address that it is shown with, if the kernel
 * gave it loopback, which has no route to there. What a connected v4-mapped socket sends to its peer
 * comes this way, too, and that is the agent.
 */
static __always_inline void dns_connected_leaves(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
						 const struct addr *to, int in6)
{
	struct origin *o = origin_of(sk);

	if (has_loopback_for_good(sk, o) && !addr_is_zero(&o->src) &&
	    addr_is_v4(&o->src) == addr_is_v4(to) && !addr_is_loopback(to))
		put_source(ctx, &o->src, in6);
}

/* Whether replies without a mark are taken for this resolver's: it is the socket's first, or the
 * first of the other family. S may be NULL.
 */
static __always_inline int is_first(const struct origin *o, struct addr_slots *s,
				    const struct addr *server)
{
	if (addr_is_v4(&o->dst) == addr_is_v4(server))
		return addr_equal(&o->dst, server);
	if (!s)
		return 0;
	if (addr_is_zero(&s->other))
		s->other = *server;
	return addr_equal(&s->other, server);
}

/* Before a query of an unconnected socket goes to the agent. SRC is the source it would have had.
 * Returns 0, or -1 if there is no memory to remember the resolver.
 */
static __always_inline int dns_app_asks(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					const struct policy *p, const struct flow *f,
					const struct addr *src, __u64 netns, int in6)
{
	struct origin first = { .dst = f->dst, .port = RD(ctx->user_port), .kind = ORIGIN_DNS };
	struct addr own = addr_is_v4(&f->dst) ? p->src4 : p->src6, marked;
	struct addr given = given_source(ctx, in6);
	struct origin *o = origin_of(sk);
	struct addr_slots *s = 0;

	if (!o || o->kind != ORIGIN_DNS) {
		if (o && o->source == SOURCE_OURS)
			first.source = SOURCE_OURS; /* it was connected, and our bind stuck */
		if (origin_set(sk, &first))
			return -1;
		goto unmarked;
	}
	if (addr_equal(&o->dst, &f->dst))
		goto unmarked;
	s = bpf_sk_storage_get(&st_dns_slots, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s)
		return -1;
	if (is_first(o, s, &f->dst))
		goto unmarked;
	/* The agent's reply goes to the pod's address: a socket bound to any other would not get
	 * it, and has to do with one resolver at a time.
	 */
	if (!addr_is_zero(&given) && !addr_equal(&given, &own)) {
		count(netns, WHY_DNS_SLOT_REUSED, !addr_is_v4(&f->dst));
		o->dst = f->dst;
		return 0;
	}
	marked = mark(&f->dst, MARK_QUERY, slot_for(s, &f->dst, netns));
	put_source(ctx, &marked, in6);
	return 0;
unmarked:
	if (!addr_is_zero(src) && addr_is_zero(&given))
		put_source(ctx, src, in6);
	return 0;
}

/* The socket that a datagram from the agent (loopback:15053) to A:PORT would reach. To be released. */
static __always_inline struct bpf_sock *client_at(struct bpf_sock_addr *ctx, const struct addr *a,
						  __be16 port)
{
	struct bpf_sock_tuple t = {};

	if (addr_is_v4(a)) {
		t.ipv4.saddr = V4_LOOPBACK;
		t.ipv4.daddr = a->w[3];
		t.ipv4.sport = bpf_htons(ST_DNS_PORT);
		t.ipv4.dport = port;
		return bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	t.ipv6.saddr[3] = V6_LOOPBACK_WORD;
	t.ipv6.daddr[0] = a->w[0];
	t.ipv6.daddr[1] = a->w[1];
	t.ipv6.daddr[2] = a->w[2];
	t.ipv6.daddr[3] = a->w[3];
	t.ipv6.sport = bpf_htons(ST_DNS_PORT);
	t.ipv6.dport = port;
	return bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* The pod's address that the agent sees for a client that the kernel gave loopback: one that was
 * bound to a port before it was connected. All zero if there is no such client.
 */
static __always_inline struct addr client_shown_as(struct bpf_sock_addr *ctx,
						   const struct addr *loopback, __be16 port)
{
	struct bpf_sock *sk = client_at(ctx, loopback, port);
	struct addr shown = {};
	struct origin *o;

	if (!sk)
		return shown;
	o = origin_of(sk);
	if (o && o->kind == ORIGIN_APP && o->source == SOURCE_KERNEL)
		shown = o->src;
	bpf_sk_release(sk);
	return shown;
}

/* The number of the mark of a client that the agent knows by a made-up port; sets *port to the real
 * one. 0 if it is none.
 */
static __always_inline __u32 shown_client(struct bpf_sock *sk, __be16 *port)
{
	__u32 i = bpf_ntohs(*port) - ST_DNS_PORT_SHOWN, n;
	struct dns_clients *c;

	if (i >= ST_DNS_CLIENTS)
		return 0;
	c = bpf_sk_storage_get(&st_dns_clients, sk, 0, 0);
	if (!c || !c->v[i].mark)
		return 0;
	n = c->v[i].mark;
	*port = c->v[i].port;
	c->v[i].mark = 0;
	return n;
}

/* A datagram from the agent's socket: to a client that it was shown otherwise, or to a mark. */
static __always_inline int dns_agent_sends(struct bpf_sock_addr *ctx, struct bpf_sock *sk, int in6)
{
	struct addr to = ctx_addr(ctx, in6), loopback, shown, from;
	__u64 netns = bpf_get_netns_cookie(ctx);
	const struct policy *p = bpf_map_lookup_elem(&st_policy, &netns);
	__u32 n = mark_number(&to, MARK_QUERY);
	__be16 port = RD(ctx->user_port);

	if (!p || !(p->flags & (POLICY_ACTIVE | POLICY_DRAINING)) || (!n && addr_is_loopback(&to)))
		return 1;
	shown = addr_is_v4(&to) ? p->src4 : p->src6;
	if (!n && addr_equal(&to, &shown))
		n = shown_client(sk, &port);
	if (n) {
		from = mark(&to, MARK_REPLY, n);
		put_source(ctx, &from, in6);
		if (n == MARK_NOBODY)
			shown = addr_loopback_like(&to);
		if (!addr_is_zero(&shown))
			ctx_put(ctx, &shown, in6);
		RD(ctx->user_port) = port;
		return 1;
	}
	loopback = addr_loopback_like(&to);
	shown = client_shown_as(ctx, &loopback, port);
	if (addr_equal(&shown, &to))
		ctx_put(ctx, &loopback, in6);
	return 1;
}

/* Whether a client may be shown to the agent with this port of the pod's address OWN: one that is bound
 * to it, or whom the kernel gave loopback.
 */
static __always_inline int is_clients_port(struct bpf_sock_addr *ctx, const struct addr *own,
					   __be16 port)
{
	struct bpf_sock *sk = client_at(ctx, own, port);
	struct addr loopback;

	if (!sk) {
		loopback = addr_loopback_like(own);
		sk = client_at(ctx, &loopback, port);
	}
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* Shows the agent the pod's address and a made-up port for a marked query. Without memory for that, or
 * if each port that is tried is a client's, it sees the mark.
 */
static __always_inline void show_marked(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					const struct addr *from, __u32 n, int in6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	const struct policy *p = bpf_map_lookup_elem(&st_policy, &netns);
	struct dns_clients *c;
	__u32 i = 0, tries;
	struct addr own;

	if (!p)
		return;
	own = addr_is_v4(from) ? p->src4 : p->src6;
	c = bpf_sk_storage_get(&st_dns_clients, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c || addr_is_zero(&own))
		return;
	for (tries = 0; tries < ST_DNS_TRIES; tries++) {
		i = __sync_fetch_and_add(&c->next, 1) % ST_DNS_CLIENTS;
		if (!is_clients_port(ctx, &own, bpf_htons(ST_DNS_PORT_SHOWN + i)))
			break;
	}
	if (tries == ST_DNS_TRIES)
		return;
	if (c->v[i].mark)
		count(netns, WHY_DNS_SLOT_REUSED, !addr_is_v4(from));
	c->v[i].port = RD(ctx->user_port);
	c->v[i].mark = n;
	ctx_put(ctx, &own, in6);
	RD(ctx->user_port) = bpf_htons(ST_DNS_PORT_SHOWN + i);
}

/* A datagram that the agent's socket received. */
static __always_inline void dns_agent_receives(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					       int in6)
{
	struct addr from = ctx_addr(ctx, in6), loopback = addr_loopback_like(&from), shown;
	__u32 n = mark_number(&from, MARK_QUERY);

	if (n) {
		show_marked(ctx, sk, &from, n, in6);
		return;
	}
	if (!addr_equal(&from, &loopback))
		return;
	shown = client_shown_as(ctx, &from, RD(ctx->user_port));
	if (!addr_is_zero(&shown))
		ctx_put(ctx, &shown, in6);
}

/* A datagram that an app's socket received: if it is the agent's, it is from the resolver asked. */
static __always_inline void dns_app_receives(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					     int in6)
{
	struct addr from = ctx_addr(ctx, in6), loopback = addr_loopback_like(&from);
	__u32 n = mark_number(&from, MARK_REPLY);
	struct origin *o = origin_of(sk);
	struct addr_slots *s;
	struct addr server;

	if (!o || o->kind == ORIGIN_PROXY || n == MARK_NOBODY)
		return;
	s = bpf_sk_storage_get(&st_dns_slots, sk, 0, 0);
	if (n && s)
		server = s->v[(n - 1) % ST_ADDR_SLOTS];
	else if (n || !addr_equal(&from, &loopback))
		return;
	else if (s && addr_is_v4(&o->dst) != addr_is_v4(&from))
		server = s->other;
	else
		server = o->dst;
	count(bpf_get_netns_cookie(ctx), WHY_DNS_REPLY, !addr_is_v4(&server));
	ctx_put(ctx, &server, in6);
	RD(ctx->user_port) = o->port;
}

#endif
