/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether connections are redirected here, by trying it: the proxy's listeners are played, and a
 * connection of the proxy to its own pod must come back to one of them, with its original
 * destination. What Istio's validation does. Needs no privilege; nothing of socktables is asked.
 */
#ifndef SOCKTABLES_VALIDATE_H
#define SOCKTABLES_VALIDATE_H

#include <linux/types.h>

#include "err.h"

struct validation {
	__u16 outbound_port, inbound_port; /* of the proxy's listeners, host order */
	__u16 probe_port;		   /* what is dialled; nothing listens there */
	__u32 timeout;			   /* milliseconds */
	int v4, v6;			   /* which families have to pass */
};

/* Makes this process the proxy, whose connections are the ones that come back, if it is root. There
 * is no way back. Returns 0, or -errno with e filled.
 */
int validate_as(__u32 uid, __u32 gid, struct st_err *e);

/* Returns 0; -ETIMEDOUT if nothing came back, or another -errno if it could not be tried: e is
 * filled.
 */
int validate(const struct validation *v, struct st_err *e);

#endif
