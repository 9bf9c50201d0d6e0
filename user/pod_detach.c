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
 * do, should we fail or be killed.
 */
static int stop(const struct datapath *dp, __u64 cookie, const struct policy *p, struct st_err *e)
{
	struct policy stopped = *p;

	stopped.flags &= ~(POLICY_ACTIVE | POLICY_DRAINING);
	return maps_put_policy(dp, cookie, &stopped, BPF_EXIST, e);
}

static int remove_env(__u64 cookie, const struct policy *p, struct st_err *e)
{
	struct netns ns;
	int err;

	if (!(p->flags & POLICY_ADDED))
		return 0;
	err = netns_find(p->netns_dev, p->netns_ino, cookie, &ns, e);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = pod_env_remove(&ns, p, p->flags & POLICY_ADDED, e);
	netns_close(&ns);
	return err;
}

/* The record goes last. */
static int forget(const struct datapath *dp, __u64 cookie, const struct policy *p, struct st_err *e)
{
	const __u32 other = OTHER_ID(p->id);
	int err = remove_env(cookie, p, e);

	err = err ?: maps_drop_rules(dp, p->id, e);
	err = err ?: maps_has_rules(dp, other, e);
	if (err > 0)
		err = maps_drop_rules(dp, other, e);
	return err ?: maps_drop_pod(dp, cookie, e);
}

int pod_remove(const struct datapath *dp, const char *name, __u64 cookie, const struct policy *p,
	       struct st_err *e)
{
	struct gone gone = {};
	char dir[PATH_MAX];
	int err, known;

	bpffs_pod_dir(name, dir);
	known = bpffs_has(dir, e);
	if (known < 0)
		return known;
	gone_watch_links(&gone, dir);
	err = p ? stop(dp, cookie, p, e) : 0;
	err = err ?: bpffs_remove(dir, e);
	if (err)
		return err;
	if (p || known)
		err = pod_wait_for_readers(e);
	if (err)
		return err;
	gone_wait(&gone); /* while we waited most of it went */
	if (!p)
		return known ? maps_collect_garbage(dp, e) : 0;
	return forget(dp, cookie, p, e);
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
	gone_watch(&gone, GONE_PROG, dp->inbound);
	datapath_close(dp);
	err = datapath_remove(e);
	gone_wait(&gone);
	return err;
}

int pod_remove_datapath_if_unused(struct datapath *dp, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err = maps_next_policy(dp, NULL, &cookie, &p, e);

	if (err != -ENOENT)
		return err;
	if (rmdir(ST_PODS) && errno != ENOENT)
		return errno == ENOTEMPTY ? 0 : err_sys(e, errno, "directory", ST_PODS);
	return remove_datapath(dp, e);
}

static int detach_locked(struct datapath *dp, const char *name, enum detach_what what,
			 struct st_err *e)
{
	char dir[PATH_MAX];
	struct policy p;
	__u64 cookie;
	int err;

	bpffs_pod_dir(name, dir);
	err = datapath_open_rest(dp, e);
	err = err ?: bpffs_remove(ST_DIR_NEW, e);
	err = err ?: maps_find_policy(dp, name, &cookie, &p, e);
	if (!err && what == DETACH_WRECK)
		return -ENOENT;
	if (!err && what == DETACH_DRAINED && p.flags & POLICY_ACTIVE) {
		err = err_set(e, ECANCELED, "pod", name, "was attached again meanwhile");
	} else if (!err) {
		err = pod_remove(dp, name, cookie, &p, e);
	} else if (err == -ENOENT) { /* there may be links without a policy */
		err = bpffs_has(dir, e);
		if (err <= 0)
			return err ?: -ENOENT;
		err = pod_remove(dp, name, 0, NULL, e);
	}
	return err ?: pod_remove_datapath_if_unused(dp, e);
}

int pod_detach(const char *name, enum detach_what what, struct st_err *e)
{
	struct datapath dp;
	int lock, err;

	if (pod_check_name(name, e))
		return -EINVAL;
	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock;
	err = detach_locked(&dp, name, what, e);
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err;
}

static int detach_each(const struct datapath *dp, int only_stale, struct st_err *e)
{
	__u64 cookie, kept, *prev = NULL;
	struct policy p;
	int err;

	while (!(err = maps_next_policy(dp, prev, &cookie, &p, e))) {
		if (only_stale && !pod_is_stale(dp, cookie, &p)) {
			kept = cookie;
			prev = &kept;
			continue;
		}
		err = pod_remove(dp, p.name, cookie, &p, e);
		if (err)
			break;
	}
	return err == -ENOENT ? 0 : err;
}

int pod_detach_all(int only_stale, struct st_err *e)
{
	struct datapath dp;
	int lock, err;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock == -ENOENT ? 0 : lock;
	err = datapath_open_rest(&dp, e);
	if (!err)
		err = detach_each(&dp, only_stale, e);
	if (only_stale)
		err = err ?: pod_remove_datapath_if_unused(&dp, e);
	else if (!err || err == -ENOENT)
		err = remove_datapath(&dp, e);
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err == -ENOENT ? 0 : err;
}
