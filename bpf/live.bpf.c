// SPDX-License-Identifier: GPL-2.0-only
/* Which sockets of a namespace somebody still needs us for: iterators that write the kind of
 * each, a byte.
 * Loaded by the command that wants to know, for no longer than that, and read in the namespace. The
 * iterator over the storage itself would do for all namespaces at once, but not every kernel has it.
 */
#include "../vmlinux/vmlinux.h"
#include "number.bpf.h"
#include "origin.bpf.h"

/* Established, about to be, or half closed while somebody holds it. What is left to the kernel to end
 * asks nothing any more.
 */
static __always_inline int is_live(int state, const struct socket *held)
{
	switch (state) {
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_SYN_SENT:
	case BPF_TCP_SYN_RECV:
	case BPF_TCP_CLOSE_WAIT:
		return 1;
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_FIN_WAIT2:
		return held != 0;
	default:
		return 0;
	}
}

static __always_inline void tell(struct bpf_iter_meta *meta, __u8 kind)
{
	bpf_seq_write(meta->seq, &kind, sizeof(kind));
}

/* Which end of a redirected connection it is (enum origin_kind), 0: none. */
static __always_inline __u8 kind_of(struct sock_common *sk)
{
	struct origin *o = origin_of(sk);
	__u64 netns;

	if (o)
		return o->kind;
	netns = sk->skc_net.net->net_cookie;
	if (numbered(netns, sk->skc_daddr, bpf_ntohs(sk->skc_dport)))
		return ORIGIN_APP;
	return numbered(netns, sk->skc_rcv_saddr, sk->skc_num) ? ORIGIN_PROXY : 0;
}

SEC("iter/tcp")
int st_live_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	__u8 kind = sk ? kind_of(sk) : 0;
	struct tcp_sock *tcp;

	if (!kind)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp && is_live(sk->skc_state, ((struct sock *)tcp)->sk_socket))
		tell(ctx->meta, kind);
	return 0;
}

SEC("iter/udp")
int st_live_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sk = ctx->udp_sk;
	struct origin *o = sk ? origin_of(sk) : 0;

	if (o)
		tell(ctx->meta, o->kind);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
