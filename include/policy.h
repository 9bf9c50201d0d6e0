/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The data that the BPF programs and the command agree on. No logic but what reads one value.
 * What is pinned outlives the build that made it: see ST_LAYOUT.
 */
#ifndef SOCKTABLES_POLICY_H
#define SOCKTABLES_POLICY_H

#include <linux/types.h>

/* A build works with pinned maps of its own layout alone. Raised with every change of a map, of a
 * struct in one or of what a value means there, and with another hook or map. A further reason, or a
 * policy flag (with a field out of policy.room), is no such change.
 */
#ifndef ST_LAYOUT /* the tests have a build of another one */
#define ST_LAYOUT 2
#endif

#define ST_TCP 6  /* IPPROTO_TCP and IPPROTO_UDP: <linux/in.h> and */
#define ST_UDP 17 /* <netinet/in.h> quarrel, so neither is included */

#define ST_DNS_PORT 15053  /* not configurable in Istio either */
#define ST_NAME_MAX 128	   /* bytes of a pod's name, the final NUL included */
#define ST_LISTENERS 128   /* slots for a pod's 15006 listeners, the second half for AF_INET6 */
#define ST_ADDR_SLOTS 16   /* of one unconnected UDP socket: further resolvers, or peers */
#define ST_DNS_CLIENTS 256 /* of such queries at once, for one socket of the DNS agent */
#define ST_DNS_PORT_SHOWN 61440	 /* and the ports they are shown with: above ephemeral ones */
#define ST_DNS_TRIES 4		 /* of these ports until none is free */
#define ST_PODS_MAX 4096	 /* on a node; hash tables cost 16 bytes for each they could hold */
#define ST_LISTENERS_MAX 131072	 /* listeners of all pods: of 1024 that use all their slots */
#define ST_NUMBERS_MAX 262144	 /* destinations that have a number, on a node */
#define ST_NUMBERS_POD 65536	 /* and of one pod */
#define ST_NUMBERS (127 << 16)	 /* addresses that stand for one: from 127.1.0.0 on */
#define ST_HANDSHAKES_MAX 262144 /* handshakes under way at once on the node */
#define ST_IDS_MAX 262144	 /* ports and owners of all policies together */
#define ST_CLASSES_MAX 16777216	 /* CIDRs of all policies together; a trie costs what it holds */

/* An address of either family, network order; IPv4 as ::ffff:a.b.c.d, so that there is one path. */
struct addr {
	__be32 w[4];
};

enum policy_flag {
	POLICY_ACTIVE = 1 << 0,	 /* unset: links are being attached, nothing is decided yet */
	POLICY_V6 = 1 << 1,	 /* IPv6 is captured (IPv4 always is) */
	POLICY_OUT_ALL = 1 << 2, /* -i '*' */
	POLICY_IN_ALL = 1 << 3,	 /* -b '*' */
	POLICY_DNS = 1 << 4,	 /* --redirect-dns */
	POLICY_DNS_ALL = 1 << 5, /* --capture-all-dns; else only CLASS_RESOLVER */
	POLICY_LOOPBACK_INCLUDED = 1 << 6, /* -i names a loopback CIDR */
	POLICY_GROUPS_ONLY = 1 << 7,	   /* --outbound-owner-groups is a list */
	POLICY_UDP_DNS_FIRST = 1 << 8,	   /* UDP 53 is decided before the source 127.0.0.6, */
	POLICY_UDP_DNS_LAST = 1 << 11,	   /* or after the destinations that are left alone */
	POLICY_OWNER_SETS = 1 << 9,	   /* there are uids or gids beside the first: ask st_ids */
	POLICY_IFACES = 1 << 12,	   /* there are excluded interfaces: ask st_ids */
	POLICY_SPREAD = 1 << 10,	   /* lo is 127.0.0.0/8: redirected TCP may use all of it */
	POLICY_IN_SOME = 1 << 14,	   /* -b is a list */
	POLICY_TPROXY = 1 << 13,	   /* -m TPROXY */
	POLICY_V6_AUTO = 1 << 25,	   /* POLICY_V6 follows the pod's addresses: the first, */
	POLICY_DUAL_STACK = 1 << 15,	   /* or any of them is IPv6 */
	POLICY_ADDED_SIX = 1 << 16,    /* what attach added and detach takes away: ::6/128 on lo, */
	POLICY_ADDED_ROUTE4 = 1 << 17, /* route and rule for the TPROXY mark, */
	POLICY_ADDED_ROUTE6 = 1 << 18,
	POLICY_ADDED_RULE4 = 1 << 22,
	POLICY_ADDED_RULE6 = 1 << 23,
	POLICY_ADDED_ACCEPT = 1 << 19,	 /* tcp_fwmark_accept */
	POLICY_ADDED_REFLECT4 = 1 << 20, /* fwmark_reflect */
	POLICY_ADDED_REFLECT6 = 1 << 21,
	POLICY_HOST = 1 << 26,	   /* the namespace is the host's own */
	POLICY_DRAINING = 1 << 24, /* not active, but answers for what was redirected */
};

#define POLICY_ADDED (0xff << 16) /* all of these */

/* All flags up to the highest one. A build that knows fewer is not given a policy with more. */
#define POLICY_KNOWN ((1u << 27) - 1)

/* The one value of st_version: whose programs are pinned and linked. No layout changes this. */
struct version {
	__u32 layout;	/* ST_LAYOUT */
	__u32 flags;	/* enum policy_flag: those that all of the programs know */
	char build[24]; /* hash of the programs; empty: they are of several builds */
	__u64 room[4];
};

/* Value of st_policy, under the pod's netns cookie. Replaced as a whole, never in place. What each
 * connection needs comes first, in as few lines of the CPU's caches as may be.
 */
struct policy {
	__u32 id;	/* owner of this policy's entries in st_class and st_ids: see OTHER_ID */
	__u32 flags;	/* enum policy_flag */
	__u32 uid, gid; /* the first proxy uid and gid, ids of the init user namespace */
	__u16 outbound_port; /* 15001, host order */
	__u16 inbound_port;  /* 15006, host order */
	__u32 pad;
	__u64 made; /* when it was written, CLOCK_BOOTTIME in ns: no two are the same */
	/* Written by the programs. That a listener at 127.0.0.1:outbound_port is one on the wildcard
	 * is known as long as wildcard == listens + 1; 0 and 0: it has to be looked for.
	 */
	__u32 listens;	    /* how often something began to listen on that port */
	__u32 wildcard;	    /* 1 + listens when such a listener was seen last */
	struct addr src4;   /* what the pod's own traffic leaves with; all zero: */
	struct addr src6;   /* no such address */
	__u32 tproxy_mark;  /* of what the proxy sends with a client's address */
	__u32 tproxy_table; /* where it leads to lo */
	__u64 cgroup_id;
	__u64 netns_dev, netns_ino;
	char name[ST_NAME_MAX];
	__u32 room[6]; /* 0; for fields that a flag says are there */
};

/* A pod has two ids in turn, and what stands under the one that is not its policy's is to be removed:
 * a new policy's lists that never came into force, or an old one's. Neither is 0.
 */
#define OTHER_ID(id) ((id) ^ 1)

/* What a destination is, for one policy: value of st_class. The loader gives every prefix the bits
 * of all prefixes that cover it, so that one longest match answers for every list at once.
 */
enum addr_class {
	CLASS_LOCAL = 1 << 0,	       /* an address of the namespace: the route is lo */
	CLASS_LOOPBACK = 1 << 1,       /* in --ipv4-loopback-cidr, or ::1 */
	CLASS_INCLUDED = 1 << 2,       /* -i */
	CLASS_EXCLUDED = 1 << 3,       /* -x */
	CLASS_IFACE_EXCLUDED = 1 << 5, /* the route is by an interface of -c */
	CLASS_RESOLVER = 1 << 4,       /* a nameserver of the pod */
	CLASS_BROADCAST = 1 << 6,      /* the broadcast address of a subnet */
};

struct class_key {
	__u32 prefixlen; /* counted from the first bit of policy: 32 + 0..128 */
	__u32 policy;
	struct addr addr;
};

struct class_value {
	__u32 class; /* enum addr_class */
	__u32 pad;
	struct addr
		src; /* what the kernel takes as source to there; all zero: policy.src4, src6, */
};		     /* or with CLASS_LOCAL the destination itself */

/* What a port, uid or gid is, for one policy: st_ids. The last two are for the command alone: it looks
 * at a pod again without its flags.
 */
enum id_kind {
	ID_PORT = 1,
	ID_UID,
	ID_GID,
	ID_IFACE,
	ID_IFACE_NAME, /* number n: the n-th word of the names of -c */
	ID_FACTS,      /* 0 and 1: a hash of what the pod's addresses, routes, interfaces were */
};

struct id_key {
	__u32 policy;
	__u32 kind;  /* enum id_kind */
	__u32 value; /* host order */
};

enum id_class {
	PORT_OUT_EXCLUDED = 1 << 0,    /* -o */
	PORT_OUT_INCLUDED = 1 << 1,    /* -q */
	PORT_IN_EXCLUDED = 1 << 2,     /* -d */
	PORT_IN_INCLUDED = 1 << 3,     /* -b */
	PORT_TUNNEL = 1 << 4,	       /* -e, inbound */
	PORT_TUNNEL_SELF = 1 << 5,     /* -e given: also not from the proxy to itself */
	OWNER_PROXY = 1 << 6,	       /* -u or -g, beyond the first */
	OWNER_GROUP = 1 << 7,	       /* --outbound-owner-groups */
	IFACE_EXCLUDED = 1 << 9,       /* -c */
	OWNER_GROUP_EXCLUDED = 1 << 8, /* --outbound-owner-groups-exclude */
};

/* Who chose the source address of a redirected socket. */
enum origin_source {
	SOURCE_KERNEL, /* nobody: the kernel took loopback, we show origin.src instead */
	SOURCE_APP,    /* the app, by bind(): shown as it is */
	SOURCE_OURS,   /* we did, by bpf_bind() to origin.src */
};

/* What is remembered of a redirected socket. Dies with the socket. */
enum origin_kind {
	ORIGIN_APP = 1,	    /* on the socket that connected */
	ORIGIN_PROXY,	    /* on the socket that the proxy accepted */
	ORIGIN_DNS,	    /* on an unconnected UDP socket: the first resolver it asked */
	ORIGIN_TO_SELF,	    /* TPROXY: on the proxy's socket that calls its own pod */
	ORIGIN_TRANSPARENT, /* on the proxy's socket that calls the app with a client's address */
	ORIGIN_DIALLED,	    /* of a number: nobody was redirected, the address itself was dialled */
};

struct origin {
	struct addr dst; /* what the app asked for */
	struct addr src; /* what to show where the kernel has loopback; all zero: as it is */
	__be16 port;	 /* of dst */
	__u8 kind;	 /* enum origin_kind */
	__u8 source;	 /* enum origin_source */
	__u16 via;	 /* of a number: the proxy's port that it is for, host order */
	__u16 pad;
};

/* Key of st_number. The address 127.1.0.0 + number stands for the origin there, at the port via. */
struct number_key {
	__u64 netns;
	__u32 number;
	__u32 pad;
};

/* Key of st_dest, the way back: what makes two origins two numbers. */
struct dest_key {
	__u64 netns;
	struct addr dst, src; /* as in struct origin */
	__be16 port;
	__u16 via;
	__u32 kind;
};

/* Value of st_numbering: the pod's numbers are [first, next), and never more than up to end. */
struct numbering {
	__u32 first, next, end;
};

/* Key of st_handshake: the connecting socket's own addresses, as its peer will see them. */
struct handshake_key {
	__u64 netns;
	struct addr src, dst;
	__u16 sport, dport; /* host order */
	__u32 pad;
};

/* What a pod's own sk_lookup program tells st_inbound, on one CPU at a time. */
struct caller {
	__u64 ctx; /* address of the context that both run on */
	__u64 netns;
};

struct listener_key {
	__u64 netns;
	__u32 slot;
	__u32 pad;
};

/* Some addresses that one unconnected UDP socket has to do with, the oldest replaced first: the
 * resolvers it asked after its first one (slot n answers from 127.2.0.n, n from 1), or who wrote to
 * it from port 53.
 */
struct addr_slots {
	struct addr v[ST_ADDR_SLOTS];
	struct addr other; /* the first resolver of the other family than the socket's very first */
	__u32 next;
	__u32 pad;
};

/* On the DNS agent's socket: the clients of queries that came with a mark. The agent is shown port
 * ST_DNS_PORT_SHOWN + index at the pod's address instead, as iptables makes up a port for them.
 */
struct dns_clients {
	struct {
		__be16 port; /* of the client */
		__u16 mark;  /* the number in the query's mark; 0: free, or answered */
	} v[ST_DNS_CLIENTS];
	__u32 next;
	__u32 pad;
};

_Static_assert(sizeof(struct version) == 64, "struct version");
_Static_assert(sizeof(struct policy) == 256, "struct policy");
_Static_assert(sizeof(struct class_key) == 24, "struct class_key");
_Static_assert(sizeof(struct class_value) == 24, "struct class_value");
_Static_assert(sizeof(struct id_key) == 12, "struct id_key");
_Static_assert(sizeof(struct origin) == 40, "struct origin");
_Static_assert(sizeof(struct handshake_key) == 48, "struct handshake_key");
_Static_assert(sizeof(struct number_key) == 16, "struct number_key");
_Static_assert(sizeof(struct dest_key) == 48, "struct dest_key");

#endif
