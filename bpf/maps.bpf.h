/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map of the datapath, and the accessors that are more than one call. `__weak` lets the
 * linker fold the copies of the object files into one.
 */
#ifndef SOCKTABLES_MAPS_BPF_H
#define SOCKTABLES_MAPS_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../include/known.h"
#include "../include/verdict.h"

/* Whose programs these are. Read and written by the command alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct version);
} st_version SEC(".maps") __weak;

/* netns cookie -> policy. Written by attach, update, detach; read by every hook. The hooks do
 * nothing for a namespace that is not here: other pods, nested namespaces, the host.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_PODS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct policy);
} st_policy SEC(".maps") __weak;

/* (policy id, prefix) -> what is there. Written before the policy that names the id goes live,
 * removed after it has gone: a policy is only ever seen whole.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ST_CLASSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct class_key);
	__type(value, struct class_value);
} st_class SEC(".maps") __weak;

/* (policy id, kind, number) -> enum id_class: ports, uids, gids. Written like st_class. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_IDS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct id_key);
	__type(value, __u32);
} st_ids SEC(".maps") __weak;

/* netns cookie -> counters by reason and family, one copy a CPU. Made by attach. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, ST_PODS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct counters);
} st_count SEC(".maps") __weak;

/* netns cookie and slot -> a listener of the proxy's inbound port. A listener that closes leaves by
 * itself. When all slots of its family are taken a further listener takes one from another, as the
 * youngest ones outlive a proxy's restart. Those without a slot still get their share, since a group of
 * SO_REUSEPORT sockets is chosen from as soon as one of it is here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, ST_LISTENERS_MAX);
	__uint(key_size, sizeof(struct listener_key));
	__uint(value_size, sizeof(__u64));
} st_listener SEC(".maps") __weak;

/* From a pod's own sk_lookup program to st_inbound, which it jumps to: see inbound.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct caller);
} st_caller SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} st_jump SEC(".maps") __weak;

/* addresses of the connecting socket -> its origin, from SYN to the accepted socket. Written at
 * TCP_CONNECT_CB, taken at PASSIVE_ESTABLISHED_CB, removed when the connecting socket leaves
 * SYN_SENT for CLOSE, or ESTABLISHED for anything, with nobody having taken it. st_inbound looks for
 * those of transparent sockets.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_HANDSHAKES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct handshake_key);
	__type(value, struct origin);
} st_handshake SEC(".maps") __weak;

/* number of a destination -> what it stands for, until the pod is detached. Written by connect before
 * st_dest names the number, never changed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_NUMBERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct number_key);
	__type(value, struct origin);
} st_number SEC(".maps") __weak;

/* destination -> its number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_NUMBERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dest_key);
	__type(value, __u32);
} st_dest SEC(".maps") __weak;

/* known_at() -> a destination, what the maps above say of it, and its number. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KNOWN_SLOTS);
	__type(key, __u32);
	__type(value, struct known_slot);
} st_known SEC(".maps") __weak;

/* netns cookie -> which numbers the pod has given. Made by attach, before a connect can need it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ST_PODS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct numbering);
} st_numbering SEC(".maps") __weak;

/* The mask is for the verifier, which forgets a comparison when the register is spilled. */
static __always_inline void count(__u64 netns, enum why why, int v6)
{
	struct counters *c = bpf_map_lookup_elem(&st_count, &netns);

	if (c)
		c->n[why & (ST_WHY_MAX - 1)][!!v6]++;
}

static __always_inline const struct class_value *class_of(const struct policy *p,
							  const struct addr *a)
{
	struct class_key k = { .prefixlen = 32 + 128, .policy = p->id, .addr = *a };

	return bpf_map_lookup_elem(&st_class, &k);
}

static __always_inline __u32 id_class_of(const struct policy *p, enum id_kind kind, __u32 value)
{
	struct id_key k = { .policy = p->id, .kind = kind, .value = value };
	__u32 *class = bpf_map_lookup_elem(&st_ids, &k);

	return class ? *class : 0;
}

#endif
