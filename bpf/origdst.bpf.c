// SPDX-License-Identifier: GPL-2.0-only
/* The proxy learns where a connection was going: sockops carries the original destination across
 * the handshake and registers inbound listeners, getsockopt answers SO_ORIGINAL_DST.
 */
#include <linux/in.h>
#include <linux/in6.h>

#include "flow.bpf.h"
#include "mptcp.bpf.h"
#include "number.bpf.h"
#include "origin.bpf.h"

#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80 /* <linux/netfilter_ipv4.h>; IP6T_SO_ORIGINAL_DST is the same */
#define PAGE_SIZE 4096
#define ENOENT 2
#define EINVAL 22

/* A child of a dual-stack listener is AF_INET6 with v4-mapped addresses: already in our form. */
static __always_inline struct addr ops_local(struct bpf_sock_ops *ctx)
{
	return addr_either(RD(ctx->family) == AF_INET, addr_v4(RD(ctx->local_ip4)),
			   ADDR_V6(ctx->local_ip6));
}

static __always_inline struct addr ops_remote(struct bpf_sock_ops *ctx)
{
	return addr_either(RD(ctx->family) == AF_INET, addr_v4(RD(ctx->remote_ip4)),
			   ADDR_V6(ctx->remote_ip6));
}

/* local_port is in host order, remote_port in network order in 32 bits. */
static __always_inline struct handshake_key key_of_connecting(struct bpf_sock_ops *ctx)
{
	return (struct handshake_key){
		.netns = bpf_get_netns_cookie(ctx),
		.src = ops_local(ctx),
		.dst = ops_remote(ctx),
		.sport = RD(ctx->local_port),
		.dport = bpf_ntohl(RD(ctx->remote_port)),
	};
}

static __always_inline struct handshake_key key_of_accepted(struct bpf_sock_ops *ctx)
{
	return (struct handshake_key){
		.netns = bpf_get_netns_cookie(ctx),
		.src = ops_remote(ctx),
		.dst = ops_local(ctx),
		.sport = bpf_ntohl(RD(ctx->remote_port)),
		.dport = RD(ctx->local_port),
	};
}

/* Other programs may have asked for callbacks of this socket. */
static __always_inline void want_states(struct bpf_sock_ops *ctx, int on)
{
	int flags = RD(ctx->bpf_sock_ops_cb_flags) & ~BPF_SOCK_OPS_STATE_CB_FLAG;

	bpf_sock_ops_cb_flags_set(ctx, on ? flags | BPF_SOCK_OPS_STATE_CB_FLAG : flags);
}

/* TCP_CONNECT_CB: before the SYN, with the source port known. */
static __always_inline void handshake_begins(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct origin *o = sk ? origin_of(sk) : 0;
	struct handshake_key k;

	if (!o || o->kind == ORIGIN_PROXY || o->kind == ORIGIN_DNS)
		return;
	k = key_of_connecting(ctx);
	if (bpf_map_update_elem(&st_handshake, &k, o, BPF_ANY))
		count(k.netns, WHY_HANDSHAKE_LOST, !addr_is_v4(&k.dst));
	else
		want_states(ctx, 1);
}

/* PASSIVE_ESTABLISHED_CB: before accept() can return the socket. A redirected connection always
 * comes to lo, so that all others cost no look-up; those of TPROXY do not, and end here. Nor does one
 * that was dialled by a number.
 */
static __always_inline void handshake_arrives(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct handshake_key k;
	const struct policy *p;
	struct origin *sent, o;
	struct mptcp_sock *m;

	if (!sk || is_numbered(RD(ctx->local_ip4)))
		return;
	k = key_of_accepted(ctx);
	if (!addr_is_lo(&k.dst)) {
		p = bpf_map_lookup_elem(&st_policy, &k.netns);
		if (!p || !(p->flags & POLICY_TPROXY))
			return;
	}
	sent = bpf_map_lookup_elem(&st_handshake, &k);
	if (!sent)
		return;
	if (sent->kind == ORIGIN_APP) {
		o = *sent;
		o.kind = ORIGIN_PROXY;
		m = mptcp_of(sk);
		if (origin_set(sk, &o) || (m && origin_set(m, &o)))
			count(k.netns, WHY_HANDSHAKE_LOST, !addr_is_v4(&k.dst));
	}
	bpf_map_delete_elem(&st_handshake, &k);
}

/* STATE_CB of a connecting socket. Nobody took the entry if the handshake failed, or if what
 * accepted is not in the pod's cgroup or ran out of memory: so look once more when the connection
 * ends.
 */
static __always_inline void handshake_ends(struct bpf_sock_ops *ctx)
{
	struct handshake_key k;

	if (RD(ctx->args[0]) == BPF_TCP_SYN_SENT && RD(ctx->args[1]) == BPF_TCP_ESTABLISHED)
		return;
	k = key_of_connecting(ctx);
	bpf_map_delete_elem(&st_handshake, &k);
	want_states(ctx, 0);
}

/* iptables sends inbound connections to the interface's first address: a listener on loopback never
 * gets any.
 */
static __always_inline int is_inbound_listener(const struct policy *p, __u16 port,
					       const struct addr *a)
{
	return p && port == p->inbound_port && !addr_is_loopback(a);
}

#define HALF (ST_LISTENERS / 2)

/* The n-th slot that is tried for a listener: all of its family, then any one of them. */
static __always_inline __u32 slot_of(int family, int n)
{
	__u32 slot = n < HALF ? n : bpf_get_prandom_u32() % HALF;

	return family == AF_INET6 ? HALF + slot : slot;
}

/* TCP_LISTEN_CB: into the first free slot. Not a subflow of MPTCP: what it accepts would crash kernels
 * that let it into a sockmap (before 6.18).
 */
static __always_inline void listener_opens(struct bpf_sock_ops *ctx)
{
	struct listener_key k = { .netns = bpf_get_netns_cookie(ctx) };
	struct policy *p = bpf_map_lookup_elem(&st_policy, &k.netns);
	struct addr a = ops_local(ctx);
	int i, err = -1, family = RD(ctx->family);
	struct bpf_sock *sk = ctx->sk;

	if (p && RD(ctx->local_port) == p->outbound_port)
		__sync_fetch_and_add(&p->listens, 1);
	if (!is_inbound_listener(p, RD(ctx->local_port), &a))
		return;
	if (sk && mptcp_of(sk)) {
		count(k.netns, WHY_LISTENER_MPTCP, family == AF_INET6);
		return;
	}
	for (i = 0; i <= HALF && err; i++) {
		k.slot = slot_of(family, i);
		err = bpf_sock_hash_update(ctx, &st_listener, &k, i < HALF ? BPF_NOEXIST : BPF_ANY);
	}
	count(k.netns, i > HALF ? WHY_LISTENER_NO_SLOT : WHY_LISTENER_ADDED, family == AF_INET6);
}

/* mptcp_of() for iterators, which may not call that. */
static __always_inline int is_subflow(struct sock_common *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the macro's own variable */
	return tcp && bpf_core_field_exists(tcp->is_mptcp) && BPF_CORE_READ_BITFIELD(tcp, is_mptcp);
}

/* Numbers of before: a socket that has one was dialled when the pod was attached once before, and must
 * not be taken for one of ours.
 */
static __always_inline void skip_number(__u64 netns, __be32 ip)
{
	struct numbering *g = bpf_map_lookup_elem(&st_numbering, &netns);
	__u32 n = number_of_address(ip);

	if (g && is_numbered(ip) && n >= g->next)
		g->next = n + 1;
}

/* Listeners that are older than the attach. Runs over the TCP sockets of the namespace that reads
 * the iterator, once, during attach.
 */
SEC("iter/tcp")
int st_scan(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct listener_key k = {};
	const struct policy *p;
	int i, err = -1;
	struct addr a;

	if (!sk)
		return 0;
	k.netns = sk->skc_net.net->net_cookie;
	if (sk->skc_state != BPF_TCP_LISTEN) {
		skip_number(k.netns, sk->skc_rcv_saddr);
		skip_number(k.netns, sk->skc_daddr);
		return 0;
	}
	p = bpf_map_lookup_elem(&st_policy, &k.netns);
	if (sk->skc_family == AF_INET)
		a = addr_v4(sk->skc_rcv_saddr);
	else
		a = addr_v6(sk->skc_v6_rcv_saddr.in6_u.u6_addr32[0],
			    sk->skc_v6_rcv_saddr.in6_u.u6_addr32[1],
			    sk->skc_v6_rcv_saddr.in6_u.u6_addr32[2],
			    sk->skc_v6_rcv_saddr.in6_u.u6_addr32[3]);
	if (!is_inbound_listener(p, sk->skc_num, &a))
		return 0;
	if (is_subflow(sk)) {
		count(k.netns, WHY_LISTENER_MPTCP, sk->skc_family == AF_INET6);
		return 0;
	}
	for (i = 0; i <= HALF && err; i++) {
		k.slot = slot_of(sk->skc_family, i);
		err = bpf_map_update_elem(&st_listener, &k, sk, i < HALF ? BPF_NOEXIST : BPF_ANY);
	}
	count(k.netns, i > HALF ? WHY_LISTENER_NO_SLOT : WHY_LISTENER_ADDED,
	      sk->skc_family == AF_INET6);
	return 0;
}

/* Runs about ten times a redirected connection, both ends together. */
SEC("sockops")
int st_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		handshake_begins(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		handshake_arrives(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		handshake_ends(ctx);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listener_opens(ctx);
		break;
	}
	return 1;
}

static __always_inline void set_result(struct bpf_sockopt *ctx, int retval, int optlen)
{
	RD(ctx->retval) = retval; /* volatile: clang would merge the two into one store */
	if (!retval)
		RD(ctx->optlen) = optlen;
}

static __always_inline void answer4(struct bpf_sockopt *ctx, const struct addr *a, __be16 port)
{
	struct sockaddr_in *sin = ctx->optval;

	if ((void *)(sin + 1) > ctx->optval_end || RD(ctx->optlen) < (int)sizeof(*sin)) {
		set_result(ctx, -EINVAL, 0);
		return;
	}
	__builtin_memset(sin, 0, sizeof(*sin));
	sin->sin_family = AF_INET;
	sin->sin_port = port;
	sin->sin_addr.s_addr = a->w[3];
	set_result(ctx, 0, sizeof(*sin));
}

static __always_inline void answer6(struct bpf_sockopt *ctx, const struct addr *a, __be16 port)
{
	struct sockaddr_in6 *sin6 = ctx->optval;

	if ((void *)(sin6 + 1) > ctx->optval_end || RD(ctx->optlen) < (int)sizeof(*sin6)) {
		set_result(ctx, -EINVAL, 0);
		return;
	}
	__builtin_memset(sin6, 0, sizeof(*sin6));
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = port;
	sin6->sin6_addr.s6_addr32[0] = a->w[0];
	sin6->sin6_addr.s6_addr32[1] = a->w[1];
	sin6->sin6_addr.s6_addr32[2] = a->w[2];
	sin6->sin6_addr.s6_addr32[3] = a->w[3];
	set_result(ctx, 0, sizeof(*sin6));
}

/* The port of an accepted socket that was reset, which the kernel no longer calls its number. */
static __always_inline __be16 port_once(struct bpf_sock *ctx_sk)
{
	struct inet_sock *sk;

	if (!kernel_reads)
		return 0;
	sk = as_number(ctx_sk);
	return BPF_CORE_READ(sk, inet_sport);
}

/* Where a connection was dialled to that was not redirected: its own end if it was accepted, else the
 * other.
 */
static __always_inline struct addr dialled(struct bpf_sock *sk, __be16 *port)
{
	int v4 = RD(sk->family) == AF_INET;
	struct addr own = addr_either(v4, addr_v4(RD(sk->src_ip4)), ADDR_V6(sk->src_ip6));
	struct addr peer = addr_either(v4, addr_v4(RD(sk->dst_ip4)), ADDR_V6(sk->dst_ip6));
	__be16 own_port = bpf_htons(RD(sk->src_port)), peer_port = RD(sk->dst_port);

	if (is_accepted(sk, addr_is_v4(&own))) {
		*port = own_port ? own_port : port_once(sk);
		return own;
	}
	*port = peer_port;
	return peer;
}

/* What the socket was dialled for by number, by whichever end it is: *ACCEPTED. */
static __always_inline const struct origin *numbered_end(struct bpf_sock *sk, __u64 netns,
							 int *accepted)
{
	__be32 own = RD(sk->src_ip4);
	__be16 port;

	*accepted = is_numbered(own);
	if (!*accepted)
		return numbered_peer(sk, netns);
	port = bpf_htons(RD(sk->src_port));
	return numbered(netns, own, bpf_ntohs(port ? port : port_once(sk)));
}

/* conntrack outlives what was reset: a proxy asks about connections that end before it has them. */
static __always_inline int has_connection(struct bpf_sock *sk, const struct origin *o, int accepted,
					  int v4)
{
	int state = RD(sk->state);

	if (state == BPF_TCP_CLOSE)
		return o ? accepted : kernel_reads && is_accepted(sk, v4);
	return state != BPF_TCP_LISTEN;
}

/* As nf_conntrack answers (getorigdst in nf_conntrack_proto.c): by level, ENOENT where the level is
 * not that of the connection, what was dialled where nothing was redirected. A kernel without
 * conntrack has said ENOPROTOOPT before us.
 */
static __always_inline int original_destination(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	int want4 = RD(ctx->level) == SOL_IP, v6, accepted;
	__u64 netns = bpf_get_netns_cookie(ctx);
	const struct policy *p = 0;
	const struct origin *o;
	struct addr a;
	__be16 port;

	if (!want4 && RD(sk->family) == AF_INET)
		return 1;
	o = numbered_end(sk, netns, &accepted);
	if (!o) {
		p = bpf_map_lookup_elem(&st_policy, &netns);
		if (!p)
			return 1;
		o = origin_of(sk);
		accepted = o && o->kind == ORIGIN_PROXY;
	}
	if (o) {
		a = o->dst;
		port = o->port;
	} else {
		a = dialled(sk, &port);
	}
	v6 = !addr_is_v4(&a);
	if (v6 && p && !(p->flags & POLICY_V6))
		return 1;
	if (RD(ctx->optlen) <
	    (int)(want4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6))) {
		set_result(ctx, -EINVAL, 0);
		return 1;
	}
	if (want4 == v6 || !has_connection(sk, o, accepted, !v6)) {
		set_result(ctx, -ENOENT, 0);
		return 1;
	}
	count(netns, o ? WHY_ORIGDST_REDIRECTED : WHY_ORIGDST_DIRECT, v6);
	if (v6)
		answer6(ctx, &a, port);
	else
		answer4(ctx, &a, port);
	return 1;
}

SEC("cgroup/getsockopt")
int st_sockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	int level = ctx->level;

	if (ctx->optname == SO_ORIGINAL_DST && (level == SOL_IP || level == SOL_IPV6) && sk &&
	    RD(sk->protocol) == ST_TCP)
		return original_destination(ctx, sk);
	/* Above a page the kernel shows a program only the first page of the buffer, and would take
	 * the option for rewritten (5.10: EFAULT for iptables-save in the pod) but for this.
	 */
	if (ctx->optlen > PAGE_SIZE)
		ctx->optlen = 0;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
