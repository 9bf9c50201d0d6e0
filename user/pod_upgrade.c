/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_upgrade(): this build's programs take the place of the pinned and linked ones, on the same
 * maps. Each link is updated in place, so there is no moment without a program; and as the maps stay,
 * programs of both builds may run side by side in any order. So it does not matter where this ends if
 * it is killed: all pods are captured, and another upgrade does the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "pod_impl.h"
#include "pod_maps.h"

struct pod_news {
	char name[ST_NAME_MAX];
	const char *why;
};

struct upgrade {
	struct datapath dp, next;
	struct pod_news *news; /* to be told without the lock: whoever listens may take any time */
	size_t nr;
};

/* A policy that uses what only the other build's programs know would be half a policy with ours. */
static int check_policies(const struct datapath *dp, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err = maps_next_policy(dp, NULL, &cookie, &p, e);

	while (!err) {
		if (p.flags & ~POLICY_KNOWN) {
			err_hint(e, "'socktables update %s' gives it a policy of this build",
				 p.name);
			return err_set(e, EPROTO, "pod", p.name,
				       "its policy uses what this build does not know");
		}
		err = maps_next_policy(dp, &cookie, &cookie, &p, e);
	}
	return err == -ENOENT ? 0 : err;
}

/* Returns 1 if what the link hung on is gone. A link that is not there is attach's business. */
static int exchange(const char *dir, const char *name, int prog, struct st_err *e)
{
	char path[PATH_MAX + 32];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "pin", path);
	if (bpf_link_update(fd, prog, NULL))
		err = errno == ENOLINK ? 1 : err_sys(e, errno, "link", path);
	close(fd);
	return err;
}

static int exchange_hooks(struct upgrade *u, const char *dir, struct st_err *e)
{
	int i, err = 0, stale = 0;

	for (i = 0; i < NR_HOOKS && err >= 0; i++) {
		err = exchange(dir, hooks[i].name, u->next.prog[i], e);
		stale |= err > 0;
	}
	return err < 0 ? err : stale;
}

/* The pod's own program is of no build: it jumps to what datapath_jump() says. Returns as exchange(). */
static int check_inbound(const char *dir, struct st_err *e)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);
	char path[PATH_MAX + 32];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/" INBOUND_NAME, dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "pin", path);
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		err = err_sys(e, errno, "link", path);
	close(fd);
	return err ?: !info.netns.netns_ino;
}

/* Before anything is done to the pod */
static struct pod_news *add_news(struct upgrade *u, const char *name)
{
	struct pod_news *more = realloc(u->news, (u->nr + 1) * sizeof(*more));

	if (!more)
		return NULL;
	u->news = more;
	snprintf(more[u->nr].name, ST_NAME_MAX, "%s", name);
	return &more[u->nr];
}

static int upgrade_pod(struct upgrade *u, const char *name, struct st_err *e)
{
	struct pod_news *news = add_news(u, name);
	const char *why = NULL;
	char dir[PATH_MAX];
	struct policy p;
	__u64 cookie;
	int err;

	if (!news)
		return err_sys(e, ENOMEM, "pod", name);
	bpffs_pod_dir(name, dir);
	err = exchange_hooks(u, dir, e);
	if (err > 0)
		why = "its cgroup is gone";
	if (err >= 0) {
		err = maps_find_policy(&u->dp, name, &cookie, &p, e);
		if (!err)
			err = check_inbound(dir, e);
		else if (err == -ENOENT)
			err = 0, why = "it has no policy";
		if (err > 0)
			why = "its network namespace is gone";
	}
	if (err < 0)
		return err;
	news->why = why;
	u->nr++;
	return 0;
}

static int upgrade_pods(struct upgrade *u, struct st_err *e)
{
	DIR *pods = opendir(ST_PODS);
	char name[ST_NAME_MAX];
	struct dirent *d;
	int err = 0;

	if (!pods && errno != ENOENT)
		return err_sys(e, errno, "directory", ST_PODS);
	while (pods && !err && (d = readdir(pods))) {
		if (d->d_name[0] == '.')
			continue;
		bpffs_pod_name(d->d_name, name, sizeof(name));
		err = upgrade_pod(u, name, e);
	}
	if (pods)
		closedir(pods);
	return err;
}

static int upgrade_locked(struct upgrade *u, struct st_err *e)
{
	int err = check_policies(&u->dp, e);

	err = err ?: datapath_load_next(&u->dp, &u->next, e);
	if (err)
		return err; /* nothing is touched yet */
	err = datapath_mix(&u->dp, e);
	err = err ?: datapath_jump(&u->dp, u->next.inbound, e);
	err = err ?: upgrade_pods(u, e);
	err = err ?: datapath_publish_next(&u->dp, e);
	if (err) {
		bpffs_remove(ST_DIR_NEW, e);
		err_hint(e, "pods are captured, by programs of both builds: "
			    "'socktables upgrade' again does the rest");
	}
	return err;
}

int pod_upgrade(upgrade_told told, void *ctx, struct st_err *e)
{
	struct upgrade u = {};
	int lock, err;
	size_t i;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock;
	err = datapath_open(&u.dp, e);
	if (!err && !strcmp(u.dp.version.build, datapath_build())) {
		err = bpffs_remove(ST_DIR_NEW, e) ?: 1;
	} else if (!err) {
		err = upgrade_locked(&u, e);
		datapath_close(&u.next);
	}
	datapath_close(&u.dp);
	bpffs_unlock(lock);
	for (i = 0; i < u.nr; i++)
		told(ctx, u.news[i].name, u.news[i].why);
	free(u.news);
	return err;
}
