// SPDX-License-Identifier: GPL-2.0-only
/* A neighbour: rewrites a service address to a backend's when sockets connect and send, and back when
 * they are asked, as socket load balancers at the root of the cgroup tree do.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

const volatile __u32 service4 = 0, backend4 = 0; /* network order */
const volatile __u32 service6[4] = {}, backend6[4] = {};

static __always_inline int swap4(struct bpf_sock_addr *ctx, __u32 from, __u32 to)
{
	if (ctx->user_ip4 == from)
		ctx->user_ip4 = to;
	return 1;
}

static __always_inline int swap6(struct bpf_sock_addr *ctx, const volatile __u32 *from,
				 const volatile __u32 *to)
{
	__u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1];
	__u32 c = ctx->user_ip6[2], d = ctx->user_ip6[3];

	if (a != from[0] || b != from[1] || c != from[2] || d != from[3])
		return 1;
	ctx->user_ip6[0] = to[0];
	ctx->user_ip6[1] = to[1];
	ctx->user_ip6[2] = to[2];
	ctx->user_ip6[3] = to[3];
	return 1;
}

#define FORWARD(name, section)                                   \
	SEC(section "4") int name##4(struct bpf_sock_addr * ctx) \
	{                                                        \
		return swap4(ctx, service4, backend4);           \
	}                                                        \
	SEC(section "6") int name##6(struct bpf_sock_addr * ctx) \
	{                                                        \
		return swap6(ctx, service6, backend6);           \
	}
#define BACKWARD(name, section)                                  \
	SEC(section "4") int name##4(struct bpf_sock_addr * ctx) \
	{                                                        \
		return swap4(ctx, backend4, service4);           \
	}                                                        \
	SEC(section "6") int name##6(struct bpf_sock_addr * ctx) \
	{                                                        \
		return swap6(ctx, backend6, service6);           \
	}

FORWARD(lb_connect, "cgroup/connect")
FORWARD(lb_sendmsg, "cgroup/sendmsg")
BACKWARD(lb_recvmsg, "cgroup/recvmsg")
BACKWARD(lb_peername, "cgroup/getpeername")

char LICENSE[] SEC("license") = "GPL";
