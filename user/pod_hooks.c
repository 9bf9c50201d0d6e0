/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether the pod's hooks do anything: the kernel is asked, not the pins alone. */
#include "pod_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"

#define PROGRAMS_MAX 512 /* on one hook, with those of all cgroups above */

/* The pinned link's program and place. */
static int link_info(const struct pod *pod, const char *name, struct bpf_link_info *ret)
{
	char dir[PATH_MAX], path[PATH_MAX];
	__u32 size = sizeof(*ret);
	int fd, err;

	memset(ret, 0, sizeof(*ret));
	bpffs_pod_dir(pod->policy.name, dir);
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = bpf_obj_get_info_by_fd(fd, ret, &size) ? -errno : 0;
	close(fd);
	return err;
}

static int runs_there(int cgroup, int type, __u32 program)
{
	__u32 ids[PROGRAMS_MAX], flags = 0, nr = PROGRAMS_MAX, i;

	if (bpf_prog_query(cgroup, type, BPF_F_QUERY_EFFECTIVE, &flags, ids, &nr))
		return 0;
	for (i = 0; i < nr; i++)
		if (ids[i] == program)
			return 1;
	return 0;
}

int pod_hook_runs(const struct pod *pod, int hook, int cgroup)
{
	struct bpf_link_info info;

	return !link_info(pod, hooks[hook].name, &info) &&
	       info.cgroup.cgroup_id == pod->policy.cgroup_id &&
	       runs_there(cgroup, hooks[hook].type, info.prog_id);
}

int pod_inbound_runs(const struct pod *pod)
{
	struct bpf_link_info info;

	return !link_info(pod, INBOUND_NAME, &info) &&
	       info.netns.netns_ino == pod->policy.netns_ino;
}
