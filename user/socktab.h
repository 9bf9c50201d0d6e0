/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sockets of the network namespace that we are in, as the kernel has them: no hook of ours shows
 * them as something else here.
 */
#ifndef SOCKTABLES_SOCKTAB_H
#define SOCKTABLES_SOCKTAB_H

#include "../include/policy.h"

#define SOCKTAB_LISTEN 10 /* TCP_LISTEN; what is bound in UDP has no such state */
#define SOCKTAB_SYN_SENT 2

struct socktab_row {
	struct addr local, peer;
	__u16 local_port, peer_port; /* host order */
	unsigned int state;	     /* of TCP */
	__u32 uid;		     /* of who made it, as we see ids */
	__u64 inode;		     /* 0: it has no file any more */
};

/* Calls each() for every socket of that protocol and family (ST_TCP or ST_UDP), until it returns other
 * than 0; returns that, 0 at the end, or -errno.
 */
int socktab_walk(int proto, int v4, int (*each)(void *ctx, const struct socktab_row *row),
		 void *ctx);

/* The one with that inode. Returns 1, 0 if there is none, or -errno. */
int socktab_find(int proto, int v4, __u64 inode, struct socktab_row *ret);

/* One that gets what is sent to that port of loopback, of the family or of both: listening, or for UDP
 * bound and not connected. Returns as socktab_find().
 */
int socktab_listener(int proto, int v4, __u16 port, struct socktab_row *ret);

#endif
