/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* User namespaces: the uids and gids of a policy are the pod's, those of the kernel the node's. */
#ifndef SOCKTABLES_IDMAP_H
#define SOCKTABLES_IDMAP_H

#include <stddef.h>

#include "config.h"
#include "err.h"

struct id_range {
	__u32 inner, outer, count;
};

struct idmap {
	int identity; /* 1: every id is itself */
	struct id_range *uids, *gids;
	size_t nr_uids, nr_gids;
};

/* The map of the user namespace that owns a network namespace, which is the one that xt_owner takes
 * (make_kuid(net->user_ns, ...) in net/netfilter/xt_owner.c). Returns 0 or -errno with e filled.
 * Free with idmap_free().
 */
int idmap_read(int netns_fd, struct idmap *ret, struct st_err *e);
void idmap_free(struct idmap *map);

/* Replaces the ids of a config by the node's. -EINVAL with e filled if one has none. */
int idmap_translate(const struct idmap *map, struct config *c, struct st_err *e);

#endif
