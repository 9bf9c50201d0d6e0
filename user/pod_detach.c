/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_detach() and pod_detach_all(). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
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

/* Where there is something to take away; if there is nothing, or no namespace any more, ns->fd is -1. */
static int find_env(__u64 cookie, const struct policy *p, struct netns *ns, struct st_err *e)
{
	int err;

	ns->fd = -1;
	if (!p || !(p->flags & POLICY_ADDED))
		return 0;
	err = netns_find(p->netns_dev, p->netns_ino, cookie, ns, e);
	return err == -ENOENT ? 0 : err;
}

/* The record goes last. */
static int forget(const struct datapath *dp, __u64 cookie, const struct policy *p,
		  const struct netns *ns, struct st_err *e)
{
	const __u32 other = OTHER_ID(p->id);
	int err = ns->fd < 0 ? 0 : pod_env_remove(ns, p, p->flags & POLICY_ADDED, e);

	err = err ?: maps_drop_rules(dp, p->id, e);
	err = err ?: maps_has_rules(dp, other, e);
	if (err > 0)
		err = maps_drop_rules(dp, other, e);
	return err ?: maps_drop_pod(dp, cookie, e);
}

int pod_remove_from(const struct netns *ns, const struct datapath *dp, const char *name,
		    __u64 cookie, const struct policy *p, struct st_err *e)
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
	return forget(dp, cookie, p, ns, e);
}

/* First what may fail for want of privileges: who may not look for the namespace has changed nothing. */
int pod_remove(const struct datapath *dp, const char *name, __u64 cookie, const struct policy *p,
	       struct st_err *e)
{
	struct netns ns;
	int err = find_env(cookie, p, &ns, e);

	if (err)
		return err;
	err = pod_remove_from(&ns, dp, name, cookie, p, e);
	netns_close(&ns);
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
		err = err_set(e, ECANCELED, "pod", name, ATTACHED_AGAIN);
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

void pod_failed(struct pod_failures *f, __u64 cookie, const char *name, const struct st_err *why)
{
	struct pod_failure *more = reallocarray(f->v, f->nr_kept + 1, sizeof(*more));

	f->nr++;
	if (!more)
		return;
	f->v = more;
	more += f->nr_kept++;
	*more = (struct pod_failure){ .cookie = cookie };
	err_set(&more->why, EIO, "pod", name, "%s", why->text);
	err_hint(&more->why, "%s", why->hint);
}

void pod_failures_tell(struct pod_failures *f,
		       void (*told)(void *ctx, const struct pod_failure *failure), void *ctx)
{
	unsigned int i;

	for (i = 0; i < f->nr_kept; i++)
		told(ctx, &f->v[i]);
	free(f->v);
	*f = (struct pod_failures){};
}

static int remove_chosen(const struct datapath *dp, pod_choice is_meant, void *ctx,
			 struct pod_failures *failed, struct st_err *e)
{
	__u64 cookie, kept, *prev = NULL;
	struct policy p;
	int err, did;

	while (!(err = maps_next_policy(dp, prev, &cookie, &p, e))) {
		struct st_err why = {};

		did = is_meant(ctx, dp, cookie, &p, &why);
		if (did > 0 && !pod_remove(dp, p.name, cookie, &p, &why))
			continue;
		if (did)
			pod_failed(failed, cookie, p.name, &why);
		kept = cookie;
		prev = &kept;
	}
	return err == -ENOENT ? 0 : err;
}

/* Of attaches and detaches that were killed, or of pods whose policy somebody deleted. */
static int remove_wrecks(const struct datapath *dp, struct pod_failures *failed, struct st_err *e)
{
	int err = bpffs_remove(ST_DIR_NEW, e);
	DIR *pods = opendir(ST_PODS);
	char name[ST_NAME_MAX];
	struct dirent *d;
	struct policy p;
	__u64 cookie;

	if (!pods && errno != ENOENT)
		err = err ?: err_sys(e, errno, "directory", ST_PODS);
	while (pods && !err && (d = readdir(pods))) {
		struct st_err why = {};

		if (d->d_name[0] == '.')
			continue;
		bpffs_pod_name(d->d_name, name, sizeof(name));
		err = maps_find_policy(dp, name, &cookie, &p, e);
		if (err == -ENOENT && pod_remove(dp, name, 0, NULL, &why))
			pod_failed(failed, 0, name, &why);
		err = err == -ENOENT ? 0 : err;
	}
	if (pods)
		closedir(pods);
	return err;
}

int pod_detach_chosen(pod_choice is_meant, void *ctx, enum pod_rest rest,
		      struct pod_failures *failed, struct st_err *e)
{
	struct datapath dp;
	int lock, err;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock == -ENOENT ? 0 : lock;
	err = datapath_open_rest(&dp, e);
	err = err == -ENOENT ? 0 : err;
	err = err ?: remove_chosen(&dp, is_meant, ctx, failed, e);
	if (rest == REST_ALL && !failed->nr) {
		err = err ?: remove_datapath(&dp, e);
	} else {
		if (rest != REST_STAYS)
			err = err ?: remove_wrecks(&dp, failed, e);
		err = err ?: pod_remove_datapath_if_unused(&dp, e);
	}
	datapath_close(&dp);
	bpffs_unlock(lock);
	if (!err && failed->nr)
		err = err_set(e, EIO, "pods", NULL, "%u not detached", failed->nr);
	return err;
}

static int is_any(void *ctx, const struct datapath *dp, __u64 cookie, const struct policy *p,
		  struct st_err *e)
{
	(void)ctx, (void)dp, (void)cookie, (void)p, (void)e;
	return 1;
}

static int is_stale(void *ctx, const struct datapath *dp, __u64 cookie, const struct policy *p,
		    struct st_err *e)
{
	(void)ctx, (void)e;
	return pod_is_stale(dp, cookie, p);
}

int pod_detach_all(int only_stale, struct pod_failures *failed, struct st_err *e)
{
	return pod_detach_chosen(only_stale ? is_stale : is_any, NULL,
				 only_stale ? REST_STAYS : REST_ALL, failed, e);
}
