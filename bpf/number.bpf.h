/* SPDX-License-Identifier: GPL-2.0-only */
/* Destinations by number: IPv4 connections to the proxy's outbound port are dialled at 127.1.0.0 +
 * number, where the number stands for the original destination. So both ends can tell it by the
 * addresses that the kernel keeps of any socket; nothing is remembered of the connection, nothing
 * crosses its handshake, nothing has to end with it. Numbers are given once to each destination of a
 * pod and hold until it is detached. As each has an address of its own, a source port can be in use
 * towards several destinations, and not twice towards one, as without a proxy.
 *
 * What cannot be numbered is remembered by socket and handshake (origin.bpf.h): IPv6, which has one
 * loopback address, a proxy that listens on 127.0.0.1 alone, the ports 15006 and 15053, and
 * destinations beyond ST_NUMBERS_POD.
 */
#ifndef SOCKTABLES_NUMBER_BPF_H
#define SOCKTABLES_NUMBER_BPF_H

#include "addr.bpf.h"
#include "maps.bpf.h"

#define EEXIST 17
#define NUMBERS_AT (127u << 24 | 1u << 16) /* 127.1.0.0 */

static __always_inline struct addr address_of_number(__u32 number)
{
	return addr_v4(bpf_htonl(NUMBERS_AT + number));
}

static __always_inline __u32 number_of_address(__be32 ip)
{
	return bpf_ntohl(ip) - NUMBERS_AT;
}

/* Whether IP could stand for a number. */
static __always_inline int is_numbered(__be32 ip)
{
	return number_of_address(ip) < ST_NUMBERS;
}

/* What IP stands for at the proxy's PORT (host order), or NULL. */
static __always_inline const struct origin *numbered(__u64 netns, __be32 ip, __u16 port)
{
	struct number_key k = { .netns = netns, .number = number_of_address(ip) };
	const struct origin *o;

	if (!is_numbered(ip))
		return 0;
	o = bpf_map_lookup_elem(&st_number, &k);
	return o && o->via == port ? o : 0;
}

/* The same of the peer of a TCP socket: what it was dialled for. */
static __always_inline const struct origin *numbered_peer(struct bpf_sock *sk, __u64 netns)
{
	if (RD(sk->protocol) == ST_UDP)
		return 0;
	return numbered(netns, RD(sk->dst_ip4), bpf_ntohs(RD(sk->dst_port)));
}

/* The same of an accepted one: what it was dialled for, by its own address. */
static __always_inline const struct origin *numbered_own(struct bpf_sock *sk, __u64 netns)
{
	if (RD(sk->protocol) == ST_UDP)
		return 0;
	return numbered(netns, RD(sk->src_ip4), RD(sk->src_port));
}

/* A new number for O, unless another CPU just gave one. Returns 0, or -1 if there is none left. */
static __always_inline int new_number(const struct dest_key *dest, const struct origin *o,
				      __u32 *number)
{
	struct numbering *g = bpf_map_lookup_elem(&st_numbering, &dest->netns);
	struct number_key k = { .netns = dest->netns };
	__u32 *first;
	int err;

	if (!g || g->next >= g->end)
		return -1;
	k.number = __sync_fetch_and_add(&g->next, 1);
	if (k.number >= g->end)
		return -1;
	err = bpf_map_update_elem(&st_number, &k, o, BPF_NOEXIST);
	if (err == -EEXIST)
		return -1;
	*number = k.number;
	if (!err) {
		err = bpf_map_update_elem(&st_dest, dest, number, BPF_NOEXIST);
		if (!err)
			return 0;
		bpf_map_delete_elem(&st_number, &k);
	}
	/* Nobody has been told this number: one that other pods left no room for is not used up. If another
	 * CPU took the next one meanwhile, that comes once more, and is found in use.
	 */
	__sync_fetch_and_sub(&g->next, 1);
	first = bpf_map_lookup_elem(&st_dest, dest);
	if (!first)
		return -1;
	*number = *first;
	return 0;
}

/* The address that stands for O at the proxy's port o->via. Returns 0, or -1 if there is none. */
static __always_inline int number_of(__u64 netns, const struct origin *o, struct addr *ret)
{
	struct dest_key k = { .netns = netns,
			      .dst = o->dst,
			      .src = o->src,
			      .port = o->port,
			      .via = o->via,
			      .kind = o->kind };
	__u32 *known = bpf_map_lookup_elem(&st_dest, &k), number;

	if (known)
		number = *known;
	else if (new_number(&k, o, &number))
		return -1;
	*ret = address_of_number(number);
	return 0;
}

#endif
