/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place that decides. Pure: no map, no context, no clock, no libc; compiled into the BPF
 * programs, the command's explain and the tests. The rules stand in the order of Istio's chains
 * (tools/istio-iptables, 1.11 to 1.30) and the first that fits wins; a reason names it.
 */
#ifndef SOCKTABLES_VERDICT_H
#define SOCKTABLES_VERDICT_H

#include "policy.h"

/* Every outcome that is counted: enumerator, name for stats and tests, what explain says.
 * The order is the order of the counters, which outlive the build: new ones come last, none goes.
 */
#define ST_REASONS(X)                                                                              \
	X(OUT_IFACE_EXCLUDED, "out-iface-excluded", "by an excluded interface")                    \
	X(OUT_FAMILY_OFF, "out-family-off", "IPv6 is not captured in this pod")                    \
	X(OUT_PORT_EXCLUDED, "out-port-excluded", "the outbound port is excluded")                 \
	X(OUT_PASSTHROUGH, "out-passthrough",                                                      \
	  "over lo from 127.0.0.6 or ::6, which the proxy uses to call the app")                   \
	X(OUT_PROXY_TO_SELF, "out-proxy-to-self",                                                  \
	  "the proxy calls its own pod: to its inbound listener")                                  \
	X(OUT_LOCAL_APP, "out-local-app", "from the app to an address of its own pod")             \
	X(OUT_PROXY, "out-proxy", "the proxy's own traffic")                                       \
	X(OUT_GROUP_EXCLUDED, "out-group-excluded", "the owner's group is not captured")           \
	X(OUT_DNS, "out-dns", "DNS: to the proxy's DNS agent")                                     \
	X(OUT_DNS_ANSWER, "out-dns-answer",                                                        \
	  "an answer to a datagram that came from port 53, no query")                              \
	X(OUT_LOOPBACK, "out-loopback", "to the loopback address")                                 \
	X(OUT_CIDR_EXCLUDED, "out-cidr-excluded", "the destination is in an excluded CIDR")        \
	X(OUT_PORT_INCLUDED, "out-port-included", "the outbound port is included: to the proxy")   \
	X(OUT_CAPTURED, "out-captured", "the destination is captured: to the proxy")               \
	X(OUT_NOT_INCLUDED, "out-not-included", "no rule captures the destination")                \
	X(OUT_NOT_TCP, "out-not-tcp", "neither TCP nor DNS")                                       \
	X(OUT_SOURCE_LOOPBACK, "out-source-loopback",                                              \
	  "bound to a loopback address, which cannot reach that destination")                      \
	X(IN_IFACE_EXCLUDED, "in-iface-excluded", "by an excluded interface")                      \
	X(IN_FAMILY_OFF, "in-family-off", "IPv6 is not captured in this pod")                      \
	X(IN_NOT_TCP, "in-not-tcp", "inbound traffic other than TCP is never captured")            \
	X(IN_LOCAL, "in-local", "from inside the pod")                                             \
	X(IN_TRANSPARENT, "in-transparent", "the proxy calls the app with its client's address")   \
	X(IN_TUNNEL, "in-tunnel", "the mesh's tunnel port is left alone")                          \
	X(IN_PORT_EXCLUDED, "in-port-excluded", "the inbound port is excluded")                    \
	X(IN_CAPTURED, "in-captured", "to the proxy's inbound listener")                           \
	X(IN_NOT_INCLUDED, "in-not-included", "the inbound port is not captured")                  \
	X(IN_NO_LISTENER, "in-no-listener", "refused: the proxy has no inbound listener")          \
	X(ORIGDST_REDIRECTED, "origdst-redirected",                                                \
	  "original destination of a redirected connection asked and told")                        \
	X(ORIGDST_DIRECT, "origdst-direct",                                                        \
	  "original destination of another connection asked: what was dialled is told")            \
	X(DNS_REPLY, "dns-reply", "DNS reply shown as from the resolver that was asked")           \
	X(DNS_SLOT_REUSED, "dns-slot-reused",                                                      \
	  "more resolvers on a socket, or queries at the agent, than slots: the oldest forgotten") \
	X(HANDSHAKE_LOST, "handshake-lost",                                                        \
	  "the original destination could not be handed to the proxy")                             \
	X(REFUSED_NO_MEMORY, "refused-no-memory",                                                  \
	  "refused: no memory to remember the original destination")                               \
	X(LISTENER_ADDED, "listener-added", "inbound listener of the proxy registered")            \
	X(LISTENER_NO_SLOT, "listener-no-slot",                                                    \
	  "inbound listener registered in the place of another, or not at all: no slot was free")  \
	X(OUT_BOUND_TO_LO, "out-bound-to-lo",                                                      \
	  "from a socket bound to the device lo, which does not lead there")                       \
	X(LISTENER_MPTCP, "listener-mptcp",                                                        \
	  "inbound listener of the proxy is an MPTCP socket, which cannot be registered")          \
	X(DEST_NO_NUMBER, "dest-no-number",                                                        \
	  "more destinations than numbers: the connection remembers its own")                      \
	X(OUT_NOT_UNICAST, "out-not-unicast",                                                      \
	  "TCP to a multicast or broadcast address, which the kernel refuses")

#define ST_WHY(id, name, text) WHY_##id,
enum why { ST_REASONS(ST_WHY) WHY_COUNT };
#undef ST_WHY

#define ST_WHY_MAX 64
_Static_assert(WHY_LISTENER_NO_SLOT == 34, "a reason before this one would take its counter");
_Static_assert(WHY_COUNT <= ST_WHY_MAX, "more reasons than counters");
_Static_assert(!(ST_WHY_MAX & (ST_WHY_MAX - 1)), "count() has it for a mask");

/* Value of st_count, under the netns cookie, one copy a CPU; [0] is IPv4, [1] IPv6. */
struct counters {
	__u64 n[ST_WHY_MAX][2];
};

/* Facts about one attempt. Filled by bpf/flow.bpf.h, by a test row or by explain. */
struct flow {
	struct addr src;  /* the address the socket is bound to, all zero if none */
	struct addr dst;  /* 0.0.0.0 and :: already made what the kernel makes of them */
	__u32 uid, gid;	  /* of the socket's file; (__u32)-1 if it has none */
	__u16 dport;	  /* host order */
	__u8 proto;	  /* ST_TCP or ST_UDP */
	__u8 transparent; /* 1: from the proxy, with the address of a client */
	__u8 reply;	  /* 1: UDP to who wrote to this socket from port 53 */
	__u8 bound_lo;	  /* 1: bound to the device lo */
	__u8 pad[2];
	__u32 src_class;   /* enum addr_class; inbound, and for verdict_tproxy() */
	__u32 dst_class;   /* enum addr_class; outbound only */
	__u32 port_class;  /* enum id_class of dport */
	__u32 iface_class; /* of the incoming interface, or the one that the socket is bound to */
	__u32 bound_iface; /* 1: it is bound to one, so that routes by others do not count */
	__u32 uid_class, gid_class; /* only with POLICY_OWNER_SETS */
};

enum action { ACTION_PASS, ACTION_REDIRECT };

struct verdict {
	__u16 port;  /* where to, host order; 0 with ACTION_PASS */
	__u8 action; /* enum action */
	__u8 why;    /* enum why */
};

/* BPF cannot return a struct from a function that is called. */
#define ST_INLINE static inline __attribute__((always_inline))

#ifdef __CHECKER__
#define ST_FORCE __attribute__((force))
#else
#define ST_FORCE
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ST_BE32(x) ((ST_FORCE __be32)__builtin_bswap32(x))
#else
#define ST_BE32(x) ((ST_FORCE __be32)(x))
#endif
#define ST_V4(a, b, c, d) ST_BE32((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

ST_INLINE __u8 addr_byte(const struct addr *a, int i)
{
	return ((const __u8 *)a->w)[i];
}

/* Bitwise on purpose: one branch each instead of four keeps the verifier's work small. */
ST_INLINE int words_equal(const struct addr *a, __be32 w0, __be32 w1, __be32 w2, __be32 w3)
{
	return !((a->w[0] ^ w0) | (a->w[1] ^ w1) | (a->w[2] ^ w2) | (a->w[3] ^ w3));
}

ST_INLINE int addr_is_v4(const struct addr *a)
{
	return words_equal(a, 0, 0, ST_V4(0, 0, 255, 255), a->w[3]);
}

ST_INLINE int addr_is_zero(const struct addr *a)
{
	return words_equal(a, 0, 0, 0, 0);
}

ST_INLINE int addr_equal(const struct addr *a, const struct addr *b)
{
	return words_equal(a, b->w[0], b->w[1], b->w[2], b->w[3]);
}

/* Of either family: 127.0.0.0/8 or ::1. */
ST_INLINE int addr_is_loopback(const struct addr *a)
{
	return words_equal(a, 0, 0, ST_V4(0, 0, 255, 255),
			   (a->w[3] & ST_V4(0, 255, 255, 255)) | ST_V4(127, 0, 0, 0)) |
	       words_equal(a, 0, 0, 0, ST_V4(0, 0, 0, 1));
}

/* 127.0.0.6 or ::6: what the proxy binds when it calls the app. */
ST_INLINE int addr_is_passthrough(const struct addr *a)
{
	return words_equal(a, 0, 0, ST_V4(0, 0, 255, 255), ST_V4(127, 0, 0, 6)) |
	       words_equal(a, 0, 0, 0, ST_V4(0, 0, 0, 6));
}

/* 224.0.0.0/4, 255.255.255.255 or ff00::/8. */
ST_INLINE int addr_is_not_unicast(const struct addr *a)
{
	return words_equal(a, 0, 0, ST_V4(0, 0, 255, 255),
			   (a->w[3] & ST_V4(15, 255, 255, 255)) | ST_V4(224, 0, 0, 0)) |
	       words_equal(a, 0, 0, ST_V4(0, 0, 255, 255), ST_V4(255, 255, 255, 255)) |
	       ((a->w[0] & ST_V4(255, 0, 0, 0)) == ST_V4(255, 0, 0, 0));
}

/* Whether packets would carry that source. A socket that is not bound gets the destination itself for
 * a local IPv6 address (RFC 6724, rule 1); for 127.0.0.6 it gets 127.0.0.1.
 */
ST_INLINE int from_passthrough(const struct flow *f)
{
	return addr_is_passthrough(&f->src) ||
	       (addr_is_zero(&f->src) && !addr_is_v4(&f->dst) && addr_is_passthrough(&f->dst));
}

ST_INLINE struct verdict pass(enum why why)
{
	return (struct verdict){ .action = ACTION_PASS, .why = why };
}

ST_INLINE struct verdict redirect(__u16 port, enum why why)
{
	return (struct verdict){ .action = ACTION_REDIRECT, .why = why, .port = port };
}

/* One rule: whether it fits. Who wants to see the rules that a flow meets, as explain does, defines this
 * before and hears of each as it is asked; to all others it is its condition alone.
 */
#ifndef ST_RULE
#define ST_RULE(why, condition) (condition)
#endif

/* UDP is only ever redirected as DNS: for the rest no list need be asked. */
ST_INLINE int flow_matters(const struct policy *p, const struct flow *f)
{
	return f->proto == ST_TCP ||
	       (f->proto == ST_UDP && f->dport == 53 && p->flags & POLICY_DNS);
}

/* Istio writes three rules for each proxy uid, then for each gid, in order:
 *   a  over lo, this owner, not loopback, no exempt port -> inbound listener
 *   b  over lo, not this owner                           -> pass (not with a loopback CIDR in -i;
 *                                                           with DNS only TCP and not to 53)
 *   c  this owner                                        -> pass
 * b of the first owner ends the walk for all others whenever it applies at all, so the list is
 * exactly: is it the first, is it any. Returns WHY_COUNT if no rule fits.
 */
ST_INLINE enum why owner_rules(const struct policy *p, const struct flow *f, int first, int any,
			       int exempt)
{
	int lo = !!(f->dst_class & CLASS_LOCAL);
	int dns = !!(p->flags & POLICY_DNS);

	if (ST_RULE(WHY_OUT_LOCAL_APP, !first && lo && !(p->flags & POLICY_LOOPBACK_INCLUDED) &&
					       (!dns || (f->proto == ST_TCP && f->dport != 53))))
		return WHY_OUT_LOCAL_APP;
	if (!any) {
		(void)ST_RULE(WHY_OUT_PROXY, 0);
		return WHY_COUNT;
	}
	if (ST_RULE(WHY_OUT_PROXY_TO_SELF,
		    lo && f->proto == ST_TCP && !(f->dst_class & CLASS_LOOPBACK) && !exempt))
		return WHY_OUT_PROXY_TO_SELF;
	(void)ST_RULE(WHY_OUT_PROXY, 1);
	return WHY_OUT_PROXY;
}

ST_INLINE enum why proxy_rules(const struct policy *p, const struct flow *f)
{
	int tunnel = !!(f->port_class & PORT_TUNNEL_SELF);
	int first = f->uid == p->uid;
	enum why why;

	/* Only the uid's rule a exempts 53: it keeps app -> agent -> proxy -> local DNS from looping. */
	why = owner_rules(p, f, first, first || f->uid_class & OWNER_PROXY,
			  tunnel || (f->dport == 53 && p->flags & POLICY_DNS));
	if (why != WHY_COUNT)
		return why;
	first = f->gid == p->gid;
	return owner_rules(p, f, first, first || f->gid_class & OWNER_PROXY, tunnel);
}

/* ISTIO_OUTPUT of the nat table. */
ST_INLINE struct verdict outbound_rules(const struct policy *p, const struct flow *f)
{
	int dns = f->dport == 53 && p->flags & POLICY_DNS;
	int udp_dns = f->proto == ST_UDP && dns;
	enum why why;

	if (ST_RULE(WHY_OUT_FAMILY_OFF, !addr_is_v4(&f->dst) && !(p->flags & POLICY_V6)))
		return pass(WHY_OUT_FAMILY_OFF);
	if (ST_RULE(WHY_OUT_IFACE_EXCLUDED, f->bound_iface ? f->iface_class & IFACE_EXCLUDED
							   : f->dst_class & CLASS_IFACE_EXCLUDED))
		return pass(WHY_OUT_IFACE_EXCLUDED);
	if (ST_RULE(WHY_OUT_PORT_EXCLUDED, f->port_class & PORT_OUT_EXCLUDED))
		return pass(WHY_OUT_PORT_EXCLUDED);
	if (ST_RULE(WHY_OUT_PASSTHROUGH, f->dst_class & CLASS_LOCAL && from_passthrough(f) &&
						 !(udp_dns && p->flags & POLICY_UDP_DNS_FIRST)))
		return pass(WHY_OUT_PASSTHROUGH);
	why = proxy_rules(p, f);
	if (why == WHY_OUT_PROXY_TO_SELF)
		return redirect(p->inbound_port, why);
	if (why != WHY_COUNT)
		return pass(why);
	if (ST_RULE(WHY_OUT_GROUP_EXCLUDED,
		    f->gid_class & OWNER_GROUP_EXCLUDED ||
			    (p->flags & POLICY_GROUPS_ONLY && !(f->gid_class & OWNER_GROUP))))
		return pass(WHY_OUT_GROUP_EXCLUDED);
	dns = dns && (p->flags & POLICY_DNS_ALL || f->dst_class & CLASS_RESOLVER);
	if (ST_RULE(WHY_OUT_DNS, dns && !(udp_dns && p->flags & POLICY_UDP_DNS_LAST)))
		return redirect(ST_DNS_PORT, WHY_OUT_DNS);
	if (ST_RULE(WHY_OUT_LOOPBACK, f->dst_class & CLASS_LOOPBACK))
		return pass(WHY_OUT_LOOPBACK);
	if (ST_RULE(WHY_OUT_CIDR_EXCLUDED, f->dst_class & CLASS_EXCLUDED))
		return pass(WHY_OUT_CIDR_EXCLUDED);
	if (ST_RULE(WHY_OUT_DNS, dns))
		return redirect(ST_DNS_PORT, WHY_OUT_DNS);
	if (ST_RULE(WHY_OUT_NOT_TCP, f->proto != ST_TCP))
		return pass(WHY_OUT_NOT_TCP);
	if (ST_RULE(WHY_OUT_PORT_INCLUDED, f->port_class & PORT_OUT_INCLUDED))
		return redirect(p->outbound_port, WHY_OUT_PORT_INCLUDED);
	if (ST_RULE(WHY_OUT_CAPTURED, p->flags & POLICY_OUT_ALL || f->dst_class & CLASS_INCLUDED))
		return redirect(p->outbound_port, WHY_OUT_CAPTURED);
	(void)ST_RULE(WHY_OUT_NOT_INCLUDED, 1);
	return pass(WHY_OUT_NOT_INCLUDED);
}

/* What happens to a connect() or a datagram of the pod. */
ST_INLINE struct verdict verdict_outbound(const struct policy *p, const struct flow *f)
{
	struct verdict v;

	if (ST_RULE(WHY_OUT_NOT_TCP, !flow_matters(p, f)))
		return pass(WHY_OUT_NOT_TCP);
	/* ENETUNREACH before there is a packet, whoever asks: tcp_v4_connect() by the kind of the route,
	 * which comes from the address (__mkroute_output()) or the route, tcp_v6_connect() by the address.
	 */
	if (ST_RULE(WHY_OUT_NOT_UNICAST, f->proto == ST_TCP && (addr_is_not_unicast(&f->dst) ||
								f->dst_class & CLASS_BROADCAST)))
		return pass(WHY_OUT_NOT_UNICAST);
	/* iptables would send it to the DNS agent, since the conntrack zones that keep the agent's
	 * queries apart hide that it is an answer: a fault of the rules, not a wish.
	 */
	if (ST_RULE(WHY_OUT_DNS_ANSWER, f->reply))
		return pass(WHY_OUT_DNS_ANSWER);
	/* With iptables nothing comes of it: redirected or not, the packets are lost on lo, or there
	 * was no route to begin with.
	 */
	if (ST_RULE(WHY_OUT_BOUND_TO_LO, f->bound_lo && !(f->dst_class & CLASS_LOCAL)))
		return pass(WHY_OUT_BOUND_TO_LO);
	v = outbound_rules(p, f);
	/* With iptables the route is looked up before OUTPUT, and a loopback source has none to
	 * another host: the kernel's EINVAL must stay what the app sees.
	 */
	if (ST_RULE(WHY_OUT_SOURCE_LOOPBACK, v.action == ACTION_REDIRECT && addr_is_v4(&f->src) &&
						     addr_is_loopback(&f->src) &&
						     !(f->dst_class & CLASS_LOCAL)))
		return pass(WHY_OUT_SOURCE_LOOPBACK);
	return v;
}

/* TPROXY: two kinds of connections over lo that st_inbound has to know from others, as Istio's mangle
 * rules do by marks. A proxy that calls its own pod without the mark goes to its inbound listener,
 * every proxy, where the rules of nat leave out one that runs as root; and one that calls the app
 * with the mark, and with the address of its client (IP_TRANSPARENT), does not come from the network.
 * For a flow that verdict_outbound() lets pass; mark: of its socket. Returns enum origin_kind, 0 if
 * it is neither.
 */
ST_INLINE int verdict_tproxy(const struct policy *p, const struct flow *f, __u32 mark)
{
	if (f->proto != ST_TCP || !(f->dst_class & CLASS_LOCAL) || from_passthrough(f))
		return 0;
	if (!(f->dst_class & CLASS_LOOPBACK) && mark != p->tproxy_mark &&
	    (f->uid == p->uid || f->gid == p->gid || (f->uid_class | f->gid_class) & OWNER_PROXY))
		return ORIGIN_TO_SELF;
	if (!addr_is_zero(&f->src) && !(f->src_class & CLASS_LOCAL))
		return ORIGIN_TRANSPARENT;
	return 0;
}

/* What happens to a connection that arrives: ISTIO_INBOUND of the nat table. nat PREROUTING never
 * sees a packet that came over lo, which is why the source matters: src_class is the remote's.
 */
ST_INLINE struct verdict verdict_inbound(const struct policy *p, const struct flow *f)
{
	if (ST_RULE(WHY_IN_NOT_TCP, f->proto != ST_TCP))
		return pass(WHY_IN_NOT_TCP);
	if (ST_RULE(WHY_IN_FAMILY_OFF, !addr_is_v4(&f->dst) && !(p->flags & POLICY_V6)))
		return pass(WHY_IN_FAMILY_OFF);
	if (ST_RULE(WHY_IN_LOCAL, f->src_class & CLASS_LOCAL))
		return pass(WHY_IN_LOCAL);
	if (ST_RULE(WHY_IN_TRANSPARENT, f->transparent))
		return pass(WHY_IN_TRANSPARENT);
	if (ST_RULE(WHY_IN_IFACE_EXCLUDED, f->iface_class & IFACE_EXCLUDED))
		return pass(WHY_IN_IFACE_EXCLUDED);
	if (ST_RULE(WHY_IN_TUNNEL, f->port_class & PORT_TUNNEL))
		return pass(WHY_IN_TUNNEL);
	if (p->flags & POLICY_IN_ALL) {
		if (ST_RULE(WHY_IN_PORT_EXCLUDED, f->port_class & PORT_IN_EXCLUDED))
			return pass(WHY_IN_PORT_EXCLUDED);
	} else if (ST_RULE(WHY_IN_NOT_INCLUDED, !(f->port_class & PORT_IN_INCLUDED))) {
		return pass(WHY_IN_NOT_INCLUDED);
	}
	(void)ST_RULE(WHY_IN_CAPTURED, 1);
	return redirect(p->inbound_port, WHY_IN_CAPTURED);
}

#endif
