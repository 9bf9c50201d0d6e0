/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's own types that we read, and of each only the fields that we read. CO-RE finds the
 * offsets at load. Context structs are not here: they are UAPI and come from <linux/bpf.h>, since a
 * relocated context makes every load read the whole kernel BTF (15 ms instead of 0.6).
 */
#ifndef SOCKTABLES_VMLINUX_H
#define SOCKTABLES_VMLINUX_H

#include <linux/in6.h>
#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* owner_of() in bpf/flow.bpf.h: sock -> socket -> file -> credentials of who made it. */
typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t fsuid;
	kgid_t fsgid;
};

struct file {
	const struct cred *f_cred;
};

struct socket {
	struct file *file;
};

struct sock {
	struct socket *sk_socket;
};

/* is_accepted() in bpf/flow.bpf.h, port_once() in bpf/origdst.bpf.c. */
struct ipv6_pinfo {
	int mcast_oif;
};

struct inet_sock {
	struct ipv6_pinfo *pinet6;
	int mc_index;
	__be16 inet_sport;
};

/* st_scan in bpf/origdst.bpf.c: walks the TCP sockets of a namespace. */
struct net {
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num; /* local port, host order */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_rcv_saddr;
};

struct tcp_sock {
	__u8 is_mptcp : 1;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

/* bpf/live.bpf.c: the sockets of a namespace, for the command to count. */
struct udp_sock;

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

#pragma clang attribute pop

#endif
