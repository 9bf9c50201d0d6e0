// SPDX-License-Identifier: GPL-2.0-only
/* Sockets look back: recvmsg(), getpeername(), getsockname() and accept() show what they would show
 * without us. accept() with an address runs the getpeername hooks on the accepted socket.
 */
#include "dns.bpf.h"
#include "flow.bpf.h"
#include "number.bpf.h"
#include "origin.bpf.h"

static __always_inline int on_recvmsg(struct bpf_sock_addr *ctx, int in6)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 1;
	/* A client's port may be the agent's by chance: it is known by what it asked before. */
	if (RD(sk->src_port) == ST_DNS_PORT && !origin_of(sk))
		dns_agent_receives(ctx, sk, in6);
	else if (RD(ctx->user_port) == bpf_htons(ST_DNS_PORT))
		dns_app_receives(ctx, sk, in6);
	else if (RD(ctx->user_port) == bpf_htons(53))
		dns_peer_wrote(ctx, sk, in6);
	return 1;
}

/* The address that the kernel chose for the connecting socket is loopback; both ends are shown the
 * one that it would have had. What the app bound itself is left.
 */
static __always_inline void show_source(struct bpf_sock_addr *ctx, const struct origin *o, int in6)
{
	struct addr a = ctx_addr(ctx, in6);

	if (o->source == SOURCE_KERNEL && addr_is_lo(&a) && !addr_is_zero(&o->src))
		ctx_put(ctx, &o->src, in6);
}

static __always_inline void show_peer(struct bpf_sock_addr *ctx, const struct origin *o, int in6)
{
	ctx_put(ctx, &o->dst, in6);
	RD(ctx->user_port) = o->port;
}

static __always_inline int on_getpeername(struct bpf_sock_addr *ctx, int in6)
{
	struct bpf_sock *sk = ctx->sk;
	const struct origin *o;

	if (!sk)
		return 1;
	o = numbered_peer(sk, bpf_get_netns_cookie(ctx));
	if (o) {
		show_peer(ctx, o, in6);
		return 1;
	}
	o = numbered_own(sk, bpf_get_netns_cookie(ctx));
	if (o) {
		show_source(ctx, o, in6);
		return 1;
	}
	o = origin_of(sk);
	if (!o)
		return 1;
	if (o->kind == ORIGIN_PROXY)
		show_source(ctx, o, in6);
	else if (o->kind == ORIGIN_APP)
		show_peer(ctx, o, in6);
	return 1;
}

/* The accepted end of a connection to an address that would be taken for a number: it was dialled by one of
 * its own, but not redirected.
 */
static __always_inline void show_dialled_number(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
						int in6)
{
	const struct origin *o = numbered_own(sk, bpf_get_netns_cookie(ctx));

	if (o && o->kind == ORIGIN_DIALLED)
		ctx_put(ctx, &o->dst, in6);
}

static __always_inline int on_getsockname(struct bpf_sock_addr *ctx, int in6)
{
	struct bpf_sock *sk = ctx->sk;
	const struct origin *o;
	struct addr any = {};

	if (!sk)
		return 1;
	o = numbered_peer(sk, bpf_get_netns_cookie(ctx));
	if (o) {
		show_source(ctx, o, in6);
		return 1;
	}
	show_dialled_number(ctx, sk, in6);
	o = origin_of(sk);
	if (!o || (o->kind != ORIGIN_APP && o->kind != ORIGIN_DNS))
		return 1;
	if (o->source == SOURCE_OURS && RD(sk->state) != BPF_TCP_ESTABLISHED)
		ctx_put(ctx, &any, in6); /* disconnected: our bind is all that is left */
	else
		show_source(ctx, o, in6);
	return 1;
}

SEC("cgroup/recvmsg4")
int st_recvmsg4(struct bpf_sock_addr *ctx)
{
	return on_recvmsg(ctx, 0);
}

SEC("cgroup/recvmsg6")
int st_recvmsg6(struct bpf_sock_addr *ctx)
{
	return on_recvmsg(ctx, 1);
}

SEC("cgroup/getpeername4")
int st_getpeername4(struct bpf_sock_addr *ctx)
{
	return on_getpeername(ctx, 0);
}

SEC("cgroup/getpeername6")
int st_getpeername6(struct bpf_sock_addr *ctx)
{
	return on_getpeername(ctx, 1);
}

SEC("cgroup/getsockname4")
int st_getsockname4(struct bpf_sock_addr *ctx)
{
	return on_getsockname(ctx, 0);
}

SEC("cgroup/getsockname6")
int st_getsockname6(struct bpf_sock_addr *ctx)
{
	return on_getsockname(ctx, 1);
}

char LICENSE[] SEC("license") = "GPL";
