/* SPDX-License-Identifier: GPL-2.0-only */
/* What is remembered of sockets, in storage that dies with them. */
#ifndef SOCKTABLES_ORIGIN_BPF_H
#define SOCKTABLES_ORIGIN_BPF_H

#include "maps.bpf.h"

/* socket -> original destination. Written by connect, sendmsg and (on the accepted socket) sockops;
 * gone with the socket, or when connect lets the socket pass.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct origin);
} st_origin SEC(".maps") __weak;

/* unconnected UDP socket -> the resolvers it asked beside the first, and those it asked without being
 * captured. Gone with the socket.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct addr_slots);
} st_dns_slots SEC(".maps") __weak;

/* unconnected UDP socket -> who wrote to it from port 53 and was not asked before. Gone with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct addr_slots);
} st_dns_peers SEC(".maps") __weak;

/* the DNS agent's socket -> whom it was shown under another port. Gone with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct dns_clients);
} st_dns_clients SEC(".maps") __weak;

static __always_inline struct origin *origin_of(void *sk)
{
	return bpf_sk_storage_get(&st_origin, sk, 0, 0);
}

/* Returns 0, or -1 if there is no memory for it (net.core.optmem_max is charged). */
static __always_inline int origin_set(void *sk, const struct origin *o)
{
	struct origin *slot = bpf_sk_storage_get(&st_origin, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!slot)
		return -1;
	*slot = *o;
	return 0;
}

#endif
