/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs and maps that all pods of a node share: loaded once, pinned, found again. */
#ifndef SOCKTABLES_DATAPATH_H
#define SOCKTABLES_DATAPATH_H

#include <linux/types.h>

#include "../include/policy.h"
#include "err.h"
#include "hooks.h"

struct datapath {
	struct version version; /* as it is pinned */
	int map[NR_MAPS];	/* file descriptors, negative if not there */
	int prog[NR_HOOKS];
	int scan;    /* the iterator over listeners */
	int inbound; /* what pods' own sk_lookup programs jump to */
};

/* Tells this build from others: a hash of its programs. */
const char *datapath_build(void);

/* Nothing is open: datapath_close() may follow. */
void datapath_init(struct datapath *dp);

/* Opens the pinned datapath. Returns 0, -ENOENT if there is none (e untouched), or another -errno
 * with e filled, e.g. -EPROTO if it has another layout. Its programs may be another build's, as long
 * as the layout is ours. Close with datapath_close().
 */
int datapath_open(struct datapath *dp, struct st_err *e);

/* The same for whatever of it is there. For detach. */
int datapath_open_rest(struct datapath *dp, struct st_err *e);

/* The same as datapath_open(), after loading and pinning it if there is none. Under the exclusive lock. */
int datapath_ensure(struct datapath *dp, struct st_err *e);

void datapath_close(struct datapath *dp);

/* Unpins it. Under the exclusive lock, with no pod left. */
int datapath_remove(struct st_err *e);

/* To be called before a program of this build runs beside another build's: nobody counts any more on
 * what one of them does not know.
 */
int datapath_mix(struct datapath *dp, struct st_err *e);

/* Whether its programs know all that is in a new policy; else -EPROTO with e filled. */
int datapath_knows(const struct datapath *dp, const struct policy *p, struct st_err *e);

/* Loads this build's programs on the maps of DP and pins them aside. Nothing runs them yet. */
int datapath_load_next(const struct datapath *dp, struct datapath *next, struct st_err *e);

/* What pods' own programs jump to is the new one, in all pods at once. */
int datapath_jump(const struct datapath *dp, int inbound, struct st_err *e);

/* Puts them in the place of the pinned ones, when nothing else runs any more. */
int datapath_publish_next(struct datapath *dp, struct st_err *e);

#endif
