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

#define ST_MAPS(X)        \
	X(st_policy)      \
	X(st_class)       \
	X(st_ids)         \
	X(st_count)       \
	X(st_listener)    \
	X(st_origin)      \
	X(st_dns_slots)   \
	X(st_dns_clients) \
	X(st_dns_peers)   \
	X(st_handshake)

#define ST_ID(name, ...) HOOK_##name,
enum hook_id { ST_HOOKS(ST_ID) NR_HOOKS };
#undef ST_ID

#define ST_ID(name) MAP_##name,
enum map_id { ST_MAPS(ST_ID) NR_MAPS };
#undef ST_ID

struct hook {
	const char *name; /* of the program and of the pin */
	int type;	  /* enum bpf_attach_type */
	const char *section;
	const char *since;
};

extern const struct hook hooks[NR_HOOKS];
extern const char *const map_names[NR_MAPS];

/* The netns link's pin beside those of the hooks. */
#define INBOUND_NAME "st_inbound"
#define INBOUND_SINCE "5.9"

#endif
