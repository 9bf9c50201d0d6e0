/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel frees programs, maps and links some milliseconds after their last user has gone. Detach
 * waits for that, so that who looks afterwards finds nothing.
 */
#ifndef SOCKTABLES_GONE_H
#define SOCKTABLES_GONE_H

#include <linux/types.h>

enum gone_kind { GONE_MAP, GONE_PROG, GONE_LINK };

struct gone {
	struct gone_one {
		enum gone_kind kind;
		__u32 id;
	} * v;
	int nr;
};

/* Remembers the object behind a descriptor; of a pod's own program also its constants. */
void gone_watch(struct gone *g, enum gone_kind kind, int fd);

/* The same for everything that is pinned in a directory of links. */
void gone_watch_links(struct gone *g, const char *dir);

/* The program of a namespace's link, which is the pod's own. */
void gone_watch_linked(struct gone *g, int link);

/* Until all of it is gone, two seconds at most: somebody else may hold it. Frees g. */
void gone_wait(struct gone *g);
void gone_free(struct gone *g);

#endif
