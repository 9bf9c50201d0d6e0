/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What listens on some ports in a network namespace, whosever it is. */
#ifndef SOCKTABLES_LISTENING_H
#define SOCKTABLES_LISTENING_H

#include <stddef.h>

#include "netns.h"

struct listening {
	struct addr addr;
	__u16 port;  /* host order */
	__u8 proto;  /* ST_TCP, ST_UDP */
	__u8 is_v6;  /* an AF_INET6 socket */
	__u8 v6only; /* and then of no use to IPv4 */
	__u32 uid;   /* owner, of the user namespace that we are in */
	__u32 inode;
	__u64 cgroup_id; /* where it was made; 0: not known */
};

struct listening_list {
	struct listening *v;
	size_t nr;
};

/* TCP listeners, and UDP sockets without a peer, on any of these ports (host order). Returns 0 or -errno
 * with e filled: -ENOENT if the kernel cannot tell. To be freed in any case.
 */
int listening_read(const struct netns *ns, const __u16 *ports, size_t nr_ports,
		   struct listening_list *ret, struct st_err *e);
void listening_free(struct listening_list *list);

/* Whether what was redirected to loopback on that port finds one of these sockets. */
int listening_serves(const struct listening_list *list, __u8 proto, __u16 port, int v6);

#endif
