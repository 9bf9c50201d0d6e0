/* SPDX-License-Identifier: GPL-2.0-only */
/* The socket behind a subflow of MPTCP. connect hooks and sockops see the subflow, a TCP socket, but
 * getpeername and getsockname the MPTCP socket, which is what the application has. So what they show is
 * remembered there, too.
 */
#ifndef SOCKTABLES_MPTCP_BPF_H
#define SOCKTABLES_MPTCP_BPF_H

#include "../vmlinux/vmlinux.h"
#include "origin.bpf.h"

/* 0 where the load with 1 fails and the kernel lacks the helper (before 5.19, or without MPTCP). */
const volatile __u32 mptcp_known __weak = 1;

static __always_inline struct mptcp_sock *mptcp_of(void *sk)
{
	return mptcp_known ? bpf_skc_to_mptcp_sock(sk) : 0;
}

/* Of the first subflow. Those that the kernel adds to an established socket go where it chooses, and
 * the application is not told of them.
 */
static __always_inline struct mptcp_sock *mptcp_of_first(void *sk)
{
	struct mptcp_sock *m = mptcp_of(sk);

	return m && ((struct sock_common *)m)->skc_state != BPF_TCP_ESTABLISHED ? m : 0;
}

#endif
