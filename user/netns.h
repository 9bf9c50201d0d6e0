/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod's network namespace: who it is, which addresses are its own. */
#ifndef SOCKTABLES_NETNS_H
#define SOCKTABLES_NETNS_H

#include <limits.h>
#include <linux/types.h>

#include "err.h"
#include "ruleset.h"

struct netns {
	int fd;
	__u64 cookie;	/* SO_NETNS_COOKIE, Linux 5.14 */
	__u64 dev, ino; /* of the namespace file */
	int is_node;	/* it is the host's own */
};

/* Opens the namespace that the file at path is. Refuses what is no network namespace, and the host's
 * own unless FORCE. Returns 0, or -errno with e filled. Close with netns_close().
 */
int netns_open(const char *path, int force, struct netns *ret, struct st_err *e);

/* The same for a namespace known by its file's device and inode, found where `ip netns` and container
 * engines bind them or through any process that is in it. -ENOENT (e untouched) if it is nowhere, or
 * gone and its inode another's: the kernel gives that away again at once, the cookie never.
 */
int netns_find(__u64 dev, __u64 ino, __u64 cookie, struct netns *ret, struct st_err *e);

/* A path that leads to it: of /run/netns or the like, or of a process. Returns 1, 0: there is none, or
 * -EACCES: looking through processes takes CAP_SYS_PTRACE. Whether the inode is still that namespace's
 * only the cookie tells.
 */
int netns_locate(__u64 dev, __u64 ino, char path[PATH_MAX]);

void netns_close(struct netns *ns);

/* The cookie of the namespace that we are in. -ENOPROTOOPT: the kernel has none. */
int netns_own_cookie(__u64 *cookie);

/* Fills the parts of pod that the namespace knows: local, src4, src6, ipv6 (dual_stack as in
 * Istio: is the first, or is any, address IPv6), spread. Free with netns_facts_free().
 */
int netns_facts(const struct netns *ns, int dual_stack, struct pod_facts *pod, struct st_err *e);
void netns_facts_free(struct pod_facts *pod);

/* Calls fn(ctx) with the calling thread in the namespace, and returns what it returned; or -errno
 * with e filled if the thread cannot get in.
 */
int netns_run(const struct netns *ns, int (*fn)(void *ctx, struct st_err *e), void *ctx,
	      struct st_err *e);

#endif
