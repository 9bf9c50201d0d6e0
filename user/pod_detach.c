/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_detach() and pod_detach_all(). */
#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "gone.h"
#include "pod_env.h"
#include "pod_impl.h"
#include "pod_maps.h"

/* The policy stays until the end, but decides nothing any more: it is the record of what is left to
 * do, should we be killed.
 */
int pod_remove(const struct datapath *dp, const char *name, __u64 cookie, const struct policy *p,
	       struct st_err *e)
{
	struct gone gone = {};
	struct policy stopped;
	char dir[PATH_MAX];
	struct netns ns;
	int err, known;

	bpffs_pod_dir(name, dir);
	known = !access(dir, F_OK);
	gone_watch_links(&gone, dir);
	if (p) {
		stopped = *p;
		stopped.flags &= ~POLICY_ACTIVE;
		bpf_map_update_elem(dp->map[MAP_st_policy], &cookie, &stopped, BPF_EXIST);
	}
	err = bpffs_remove(dir, e);
	gone_wait(&gone);
	if (!p) {
		if (known)
			maps_collect_garbage(dp);
		return err;
	}
	pod_wait_for_readers();
	if (p->flags & POLICY_ADDED && !netns_find(p->netns_dev, p->netns_ino, cookie, &ns, e)) {
		err = err ?: pod_env_remove(&ns, p, p->flags & POLICY_ADDED, e);
		netns_close(&ns);
	}
	maps_drop_rules(dp, p->id);
	if (p->other_id)
		maps_drop_rules(dp, p->other_id);
	maps_drop_pod(dp, cookie);
	bpf_map_delete_elem(dp->map[MAP_st_policy], &cookie);
	return err;
}

/* Unpins the datapath and waits until it is gone. DP is closed. */
static int remove_datapath(struct datapath *dp, struct st_err *e)
{
	struct gone gone = {};
	int i, err;

	for (i = 0; i < NR_MAPS; i++)
		gone_watch(&gone, GONE_MAP, dp->map[i]);
	for (i = 0; i < NR_HOOKS; i++)
		gone_watch(&gone, GONE_PROG, dp->prog[i]);
	gone_watch(&gone, GONE_PROG, dp->scan);
	datapath_close(dp);
	err = datapath_remove(e);
	gone_wait(&gone);
	return err;
}

int pod_remove_datapath_if_unused(struct datapath *dp, struct st_err *e)
{
	__u64 cookie;

	if (!bpf_map_get_next_key(dp->map[MAP_st_policy], NULL, &cookie))
		return 0;
	if (rmdir(ST_PODS) && errno == ENOTEMPTY)
		return 0; /* links of a pod that has lost its policy */
	return remove_datapath(dp, e);
}

int pod_detach(const char *name, struct st_err *e)
{
	struct datapath dp;
	char dir[PATH_MAX];
	struct policy p;
	int lock, err;
	__u64 cookie;

	if (pod_check_name(name, e))
		return -EINVAL;
	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock;
	bpffs_pod_dir(name, dir);
	err = datapath_open_rest(&dp);
	if (!err && !maps_find_policy(&dp, name, &cookie, &p))
		err = pod_remove(&dp, name, cookie, &p, e);
	else if (!access(dir, F_OK))
		err = pod_remove(&dp, name, 0, NULL, e); /* links without a policy */
	else
		err = -ENOENT;
	if (!err)
		err = pod_remove_datapath_if_unused(&dp, e);
	datapath_close(&dp);
	close(lock);
	return err;
}

int pod_detach_all(struct st_err *e)
{
	struct datapath dp;
	struct policy p;
	int lock, err = 0, nr = 0;
	__u64 cookie;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock == -ENOENT ? 0 : lock;
	if (!datapath_open_rest(&dp))
		while (!err && !bpf_map_get_next_key(dp.map[MAP_st_policy], NULL, &cookie) &&
		       !bpf_map_lookup_elem(dp.map[MAP_st_policy], &cookie, &p)) {
			err = pod_remove(&dp, p.name, cookie, &p, e);
			nr++;
		}
	err = err ?: remove_datapath(&dp, e);
	close(lock);
	return err ? err : nr;
}
