/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod's cgroup v2 directory. */
#ifndef SOCKTABLES_CGROUP_H
#define SOCKTABLES_CGROUP_H

#include <limits.h>
#include <linux/bpf.h>
#include <linux/types.h>

#include "err.h"

/* Opens a cgroup v2 directory. Returns a file descriptor, or -errno with e filled: not there, not a
 * directory, of a cgroup v1 hierarchy, or no cgroup at all.
 */
int cgroup_open(const char *path, __u64 *ret_id, struct st_err *e);

/* The path of the cgroup with that id in the first cgroup2 mount. -ENOENT if it is gone, -EPERM
 * without CAP_DAC_READ_SEARCH.
 */
int cgroup_path(__u64 id, char path[PATH_MAX]);

/* The cgroup v2 directory of a process, by /proc/PID/cgroup. Returns 0, or -errno with e filled. */
int cgroup_of_pid(int pid, char path[PATH_MAX], struct st_err *e);

/* Refuses a cgroup where one of our hooks is held by a program that was attached without
 * BPF_F_ALLOW_MULTI, there or in an ancestor: the kernel would either refuse us with a bare EPERM or
 * silently switch that program off for the pod. Returns 0, or -EBUSY with e filled.
 */
int cgroup_check_hooks(const char *path, struct st_err *e);

/* A cgroup itself, one that it lies in, or one that lies in it. */
enum cgroup_relation { CGROUP_SAME, CGROUP_ABOVE, CGROUP_BELOW };

struct cgroup_relative {
	__u64 id;
	enum cgroup_relation is;
};

/* All of them that can be seen from here. *ret is to be freed in any case. Returns 0, or -errno with e
 * filled.
 */
int cgroup_relatives(const char *path, struct cgroup_relative **ret, size_t *ret_nr,
		     struct st_err *e);

/* What a program that is found on a hook is called; "?" if it is gone, or may not be asked. */
void cgroup_program_name(__u32 id, char name[BPF_OBJ_NAME_LEN]);

#endif
