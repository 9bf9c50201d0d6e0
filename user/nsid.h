/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens in other network namespaces, through one socket. A socket inside of each would keep its
 * namespace alive; this one is in a namespace of its own, which has but a number for each of them, and
 * the kernel takes the number back when the namespace ends.
 */
#ifndef SOCKTABLES_NSID_H
#define SOCKTABLES_NSID_H

#include "err.h"

/* Takes the calling thread to a new namespace, and returns a socket that hears of changes in those that
 * nsid_assign() was called for; or -errno with e filled.
 */
int nsid_listen(struct st_err *e);

/* The number of the namespace that fd is, a new one if it has none. Returns 0, or -errno with e filled. */
int nsid_assign(int fd, int *ret, struct st_err *e);

enum nsid_event {
	NSID_CHANGED, /* addresses, routes or links of it */
	NSID_GONE,    /* it ends, and its number may be given to another */
	NSID_LOST,    /* messages were lost: anything may have changed anywhere; nsid is -1 */
};

/* Calls fn for each message that is there. Returns 0, or -errno with e filled. */
int nsid_receive(int sock, void (*fn)(void *ctx, int nsid, enum nsid_event what), void *ctx,
		 struct st_err *e);

#endif
