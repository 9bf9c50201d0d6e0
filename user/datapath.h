/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs and maps that all pods of a node share: loaded once, pinned, found again. */
#ifndef SOCKTABLES_DATAPATH_H
#define SOCKTABLES_DATAPATH_H

#include <linux/types.h>

#include "err.h"
#include "hooks.h"

struct datapath {
	int map[NR_MAPS]; /* file descriptors, -1 if not there */
	int prog[NR_HOOKS];
	int scan; /* the iterator over listeners */
};

/* Opens the pinned datapath. Returns 0, -ENOENT if there is none (e untouched), or another -errno
 * with e filled, e.g. -EPROTO if it is another version's. Close with datapath_close().
 */
int datapath_open(struct datapath *dp, struct st_err *e);

/* Whatever of it is there; the rest is -1. For detach. -ENOENT (e untouched) if nothing is. */
int datapath_open_rest(struct datapath *dp, struct st_err *e);

/* The same as datapath_open(), after loading and pinning it if there is none. Under the exclusive lock. */
int datapath_ensure(struct datapath *dp, struct st_err *e);

void datapath_close(struct datapath *dp);

/* Unpins it. Under the exclusive lock, with no pod left. */
int datapath_remove(struct st_err *e);

/* Loads a pod's own sk_lookup program. Returns its file descriptor, or -errno with e filled. */
int datapath_load_inbound(const struct datapath *dp, __u64 netns_cookie, struct st_err *e);

#endif
