/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/nsfs.h>

/* Seen from the reader's own user namespace: inner, outer, count. */
static int read_ranges(pid_t pid, const char *file, struct id_range **ret, size_t *nr)
{
	struct id_range range, *more;
	char path[64];
	FILE *f;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!err && fscanf(f, "%u %u %u", &range.inner, &range.outer, &range.count) == 3) {
		more = realloc(*ret, (*nr + 1) * sizeof(**ret));
		if (!more) {
			err = -ENOMEM;
			break;
		}
		*ret = more;
		more[(*nr)++] = range;
	}
	fclose(f);
	return err;
}

/* A child that is in the namespace until the pipe closes; its map can be read meanwhile. */
static pid_t child_in(int userns, const int ready[2], const int done[2])
{
	pid_t pid = fork();
	char c = 0;

	if (pid)
		return pid;
	close(ready[0]);
	close(done[1]);
	if (setns(userns, CLONE_NEWUSER))
		c = errno;
	if (write(ready[1], &c, 1) != 1 || read(done[0], &c, 1) < 0)
		_exit(1);
	_exit(0);
}

static int read_maps(int userns, struct idmap *map)
{
	int ready[2], done[2], err = 0;
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	if (pipe2(done, O_CLOEXEC)) {
		err = -errno;
		close(ready[0]);
		close(ready[1]);
		return err;
	}
	pid = child_in(userns, ready, done);
	if (pid < 0)
		err = -errno;
	close(ready[1]);
	close(done[0]);
	if (!err)
		err = read(ready[0], &c, 1) == 1 ? -c : -EIO;
	err = err ?: read_ranges(pid, "uid_map", &map->uids, &map->nr_uids);
	err = err ?: read_ranges(pid, "gid_map", &map->gids, &map->nr_gids);
	close(ready[0]);
	close(done[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return err;
}

int idmap_read(int netns_fd, struct idmap *ret, struct st_err *e)
{
	int userns = ioctl(netns_fd, NS_GET_USERNS);
	struct stat own, its;
	int err = 0;

	*ret = (struct idmap){};
	if (userns < 0)
		return err_sys(e, errno, "user namespace of the pod", NULL);
	if (stat("/proc/self/ns/user", &own) || fstat(userns, &its))
		err = -errno;
	else if (own.st_dev != its.st_dev || own.st_ino != its.st_ino)
		err = read_maps(userns, ret);
	else
		ret->identity = 1;
	close(userns);
	if (!err)
		return 0;
	idmap_free(ret);
	return err_sys(e, -err, "user namespace of the pod", NULL);
}

void idmap_free(struct idmap *map)
{
	free(map->uids);
	free(map->gids);
	*map = (struct idmap){};
}

static int translate(const struct id_range *r, size_t nr, const char *what, __u32 *id,
		     struct st_err *e)
{
	char which[16];
	size_t i;

	for (i = 0; i < nr; i++) {
		if (*id >= r[i].inner && *id - r[i].inner < r[i].count) {
			*id = r[i].outer + (*id - r[i].inner);
			return 0;
		}
	}
	snprintf(which, sizeof(which), "%u", *id);
	return err_set(e, EINVAL, what, which,
		       "has no counterpart outside the pod's user namespace");
}

static int translate_groups(const struct idmap *map, struct group_list *list, struct st_err *e)
{
	size_t i;
	int err = 0;

	for (i = 0; i < list->nr && !err; i++)
		err = translate(map->gids, map->nr_gids, "gid", &list->v[i].gid, e);
	return err;
}

/* Istio takes the uids for gids if there are none; here they are translated by another map. */
static int gids_from_uids(struct config *c, struct st_err *e)
{
	if (c->gids.nr)
		return 0;
	c->gids.v = malloc(c->uids.nr * sizeof(*c->gids.v));
	if (!c->gids.v)
		return err_sys(e, ENOMEM, "policy", NULL);
	memcpy(c->gids.v, c->uids.v, c->uids.nr * sizeof(*c->gids.v));
	c->gids.nr = c->uids.nr;
	return 0;
}

int idmap_translate(const struct idmap *map, struct config *c, struct st_err *e)
{
	size_t i;
	int err;

	if (map->identity)
		return 0;
	err = gids_from_uids(c, e);
	for (i = 0; i < c->uids.nr && !err; i++)
		err = translate(map->uids, map->nr_uids, "uid", &c->uids.v[i], e);
	for (i = 0; i < c->gids.nr && !err; i++)
		err = translate(map->gids, map->nr_gids, "gid", &c->gids.v[i], e);
	err = err ?: translate_groups(map, &c->groups, e);
	return err ?: translate_groups(map, &c->groups_exclude, e);
}
