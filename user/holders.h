/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose a socket is: the processes of a cgroup that have it open. */
#ifndef SOCKTABLES_HOLDERS_H
#define SOCKTABLES_HOLDERS_H

#include <linux/types.h>

struct holder {
	int pid;
	__u32 uid, gid; /* that its new sockets get: the file system's, of our user namespace */
	char comm[16];
};

/* Calls each() for every process of the cgroup and of those below it that has the socket of that inode
 * open, until it returns other than 0. Returns that, 0, or -EACCES if there were processes that may not
 * be looked at (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH).
 */
int holders_find(const char *cgroup, __u32 inode, int (*each)(void *ctx, const struct holder *h),
		 void *ctx);

#endif
