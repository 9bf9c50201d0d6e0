/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs and maps of the datapath by name: one list for loading, linking, status and probe. */
#ifndef SOCKTABLES_HOOKS_H
#define SOCKTABLES_HOOKS_H

/* Cgroup hooks: program, BPF_CGROUP_..., section, the first kernel that has it. */
#define ST_HOOKS(X)                                                         \
	X(st_getsockname4, INET4_GETSOCKNAME, "cgroup/getsockname4", "5.8") \
	X(st_getsockname6, INET6_GETSOCKNAME, "cgroup/getsockname6", "5.8") \
	X(st_getpeername4, INET4_GETPEERNAME, "cgroup/getpeername4", "5.8") \
	X(st_getpeername6, INET6_GETPEERNAME, "cgroup/getpeername6", "5.8") \
	X(st_recvmsg4, UDP4_RECVMSG, "cgroup/recvmsg4", "5.2")              \
	X(st_recvmsg6, UDP6_RECVMSG, "cgroup/recvmsg6", "5.2")              \
	X(st_sockopt, GETSOCKOPT, "cgroup/getsockopt", "5.3")               \
	X(st_sockops, SOCK_OPS, "sockops", "4.13")                          \
	X(st_sendmsg4, UDP4_SENDMSG, "cgroup/sendmsg4", "4.18")             \
	X(st_sendmsg6, UDP6_SENDMSG, "cgroup/sendmsg6", "4.18")             \
	X(st_connect4, INET4_CONNECT, "cgroup/connect4", "4.17")            \
	X(st_connect6, INET6_CONNECT, "cgroup/connect6", "4.17")

/* Maps: name, size of a key, size of a value. */
#define ST_MAPS(X)                                                           \
	X(st_version, sizeof(__u32), sizeof(struct version))                 \
	X(st_policy, sizeof(__u64), sizeof(struct policy))                   \
	X(st_class, sizeof(struct class_key), sizeof(struct class_value))    \
	X(st_ids, sizeof(struct id_key), sizeof(__u32))                      \
	X(st_count, sizeof(__u64), sizeof(struct counters))                  \
	X(st_listener, sizeof(struct listener_key), sizeof(__u64))           \
	X(st_caller, sizeof(__u32), sizeof(struct caller))                   \
	X(st_jump, sizeof(__u32), sizeof(__u32))                             \
	X(st_origin, sizeof(int), sizeof(struct origin))                     \
	X(st_dns_slots, sizeof(int), sizeof(struct addr_slots))              \
	X(st_dns_clients, sizeof(int), sizeof(struct dns_clients))           \
	X(st_dns_peers, sizeof(int), sizeof(struct addr_slots))              \
	X(st_handshake, sizeof(struct handshake_key), sizeof(struct origin)) \
	X(st_number, sizeof(struct number_key), sizeof(struct origin))       \
	X(st_dest, sizeof(struct dest_key), sizeof(__u32))                   \
	X(st_numbering, sizeof(__u64), sizeof(struct numbering))             \
	X(st_known, sizeof(__u32), sizeof(struct known_slot))                \
	X(st_tracing, sizeof(__u32), sizeof(struct tracing))                 \
	X(st_tracers, sizeof(__u32), sizeof(__u32))

#define ST_ID(name, ...) HOOK_##name,
enum hook_id { ST_HOOKS(ST_ID) NR_HOOKS };
#undef ST_ID

#define ST_ID(name, ...) MAP_##name,
enum map_id { ST_MAPS(ST_ID) NR_MAPS };
#undef ST_ID

_Static_assert(NR_HOOKS == 12 && NR_MAPS == 19, "another hook or map is another ST_LAYOUT, too");

struct hook {
	const char *name; /* of the program and of the pin */
	int type;	  /* enum bpf_attach_type */
	const char *section;
	const char *since;
};

extern const struct hook hooks[NR_HOOKS];
extern const char *const map_names[NR_MAPS];

#define SCAN_NAME "st_scan" /* the iterator over listeners */

/* The program behind sk_lookup, and a pod's netns link, of which the program is the pod's own. */
#define INBOUND_NAME "st_inbound"
#define ENTER_NAME "st_enter"
#define INBOUND_SINCE "5.9"

#endif
