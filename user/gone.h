/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel frees programs, maps and links some milliseconds after their last user has gone. Detach
 * waits for that, so that who looks afterwards finds nothing.
 */
#ifndef SOCKTABLES_GONE_H
#define SOCKTABLES_GONE_H

#include <linux/types.h>

enum gone_kind { GONE_MAP, GONE_PROG, GONE_LINK };

#define GONE_MAX 64

struct gone {
	struct {
		enum gone_kind kind;
		__u32 id;
	} v[GONE_MAX];
	int nr;
};

/* Remembers the object behind a descriptor; of a pod's own program also its constants. */
void gone_watch(struct gone *g, enum gone_kind kind, int fd);

/* The same for everything that is pinned in a directory of links. */
void gone_watch_links(struct gone *g, const char *dir);

/* Until all of it is gone, two seconds at most: somebody else may hold it. */
void gone_wait(const struct gone *g);

#endif
