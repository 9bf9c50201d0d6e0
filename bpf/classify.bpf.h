/* SPDX-License-Identifier: GPL-2.0-only */
/* What the policy's lists say of an outbound flow, and what is kept of that at hand: see include/known.h. */
#ifndef SOCKTABLES_CLASSIFY_BPF_H
#define SOCKTABLES_CLASSIFY_BPF_H

#include "flow.bpf.h"

static __always_inline struct known_slot *known_slot_of(const struct policy *p,
							const struct flow *f)
{
	__u32 n = known_at(p, f);

	return bpf_map_lookup_elem(&st_known, &n);
}

/* What there is to know of the flow's destination. A function for the verifier, too, which looks at it
 * once, for any policy and any flow.
 */
__noinline int st_know(const struct policy *p, const struct flow *f, struct known *ret)
{
	const struct class_value *dst;
	struct known_slot *slot;

	if (!p || !f || !ret)
		return 0;
	slot = known_slot_of(p, f);
	if (slot && known_read(slot, p, f, ret))
		return 0;
	dst = class_of(p, &f->dst);
	*ret = (struct known){ .port_class = id_class_of(p, ID_PORT, f->dport) };
	if (dst) {
		ret->dst_class = dst->class;
		ret->src = dst->src;
	}
	if (slot)
		known_write(slot, p, f, ret);
	return 0;
}

static __always_inline void know_number(const struct policy *p, const struct flow *f, __u32 number)
{
	struct known_slot *slot = known_slot_of(p, f);

	if (slot)
		known_write_number(slot, p, f, number);
}

/* What the lists of the policy say about an outbound flow. SOURCE is set to the address that an
 * unbound socket would get there; all zero: the kernel's own choice is right. Returns the
 * destination's number as in struct known.
 */
static __always_inline __u32 flow_classify(const struct policy *p, struct flow *f,
					   struct bpf_sock *sk, struct addr *source)
{
	struct owner o = owner_of(sk);
	struct known known = {};

	st_know(p, f, &known);
	f->uid = o.uid;
	f->gid = o.gid;
	f->dst_class = known.dst_class;
	f->port_class = known.port_class;
	if (!addr_is_zero(&f->src) || addr_is_loopback(&f->dst))
		*source = (struct addr){};
	else if (!addr_is_zero(&known.src))
		*source = known.src;
	else if (f->dst_class & CLASS_LOCAL)
		*source = f->dst;
	else
		*source = addr_is_v4(&f->dst) ? p->src4 : p->src6;
	f->bound_lo = RD(sk->bound_dev_if) == LOOPBACK_IFINDEX;
	if (p->flags & POLICY_IFACES && RD(sk->bound_dev_if)) {
		f->bound_iface = 1;
		f->iface_class = id_class_of(p, ID_IFACE, RD(sk->bound_dev_if));
	}
	if (p->flags & POLICY_OWNER_SETS) {
		f->uid_class = id_class_of(p, ID_UID, f->uid);
		f->gid_class = id_class_of(p, ID_GID, f->gid);
	}
	return known.number;
}

#endif
