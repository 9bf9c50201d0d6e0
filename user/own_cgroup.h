/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pod's cgroup, for a process inside of the pod. */
#ifndef SOCKTABLES_OWN_CGROUP_H
#define SOCKTABLES_OWN_CGROUP_H

#include <limits.h>
#include <stddef.h>

#include "err.h"

/* How much of a cgroup's path leads to the pod that it belongs to, by the names that kubelet gives:
 *	.../kubepods/pod<UID>/...			driver cgroupfs; or below kubepods/burstable
 *							or kubepods/besteffort
 *	.../kubepods-burstable-pod<UID>.slice/...	driver systemd: a slice with kubepods and
 *							-pod in its name
 * The deepest one counts, for nodes that are pods themselves. 0 if there is none.
 */
size_t cgroup_pod_prefix(const char *path);

/* The directory of the pod's cgroup: of the calling process' own cgroup by the rule above; the own
 * cgroup itself if no part of its path is a pod's. In a cgroup namespace it is looked for by inode
 * in a mount of the cgroups above, if there is one. Returns 0, or -errno with e filled.
 */
int cgroup_of_own_pod(char path[PATH_MAX], struct st_err *e);

#endif
