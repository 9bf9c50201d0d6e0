/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a command and its proxy live; and what earlier ones left that were killed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "pod.h"
#include "run.h"

/* Hundredths of a second, until another run has cleared away what it took for a wreck. */
#define PATIENCE 1000

#define PREFIX "run-" /* of the pods' names; behind it the process id of who runs it */

/* All in that cgroup and in what they made below it, who just fork included (since Linux 5.14). Those that
 * are ending are still there for a moment.
 */
static void kill_all(const char *dir, const char *part)
{
	char path[PATH_MAX + 32], line[32];
	int fd, tries, left = 1;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s/cgroup.kill", dir, part);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		left = 0;
	close(fd);
	snprintf(path, sizeof(path), "%s%s/cgroup.events", dir, part);
	for (tries = 0; tries < 200 && left; tries++) {
		if (tries)
			poll(NULL, 0, 10);
		f = fopen(path, "re");
		left = 0;
		while (f && fgets(line, sizeof(line), f))
			left |= !strcmp(line, "populated 1\n");
		if (f)
			fclose(f);
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int tries;

	(void)st, (void)ftw;
	for (tries = 0; type == FTW_DP && tries < 100 && rmdir(path) && errno == EBUSY; tries++)
		poll(NULL, 0, 10);
	return 0;
}

/* With what the command made below it. */
static void remove_cgroups(const char *dir)
{
	kill_all(dir, "");
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Who runs holds a lock that ends with it in whatever way it ends: on a file that root alone can open (mode
 * 0200, cgroup_file_mode()), as whoever can open one, even to read, or a directory, can keep everybody from a
 * lock on it (flock() in fs/locks.c). Returns a file descriptor or -errno, -EWOULDBLOCK: somebody else has
 * it.
 */
static int lock_cgroup(const char *dir)
{
	char path[PATH_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	close(fd);
	return -EWOULDBLOCK;
}

/* -EAGAIN: between two of our steps another run took it for a wreck, and clears it away. */
static int try_to_make(struct run_place *r, struct st_err *e)
{
	static const char *const parts[] = { "command", "proxy" };
	char path[PATH_MAX + 16];
	int i, err = mkdir(r->dir, 0755) ? errno : 0;

	if (err)
		return err == EEXIST ? -EAGAIN : err_sys(e, err, "cgroup", r->dir);
	r->lock = lock_cgroup(r->dir);
	err = r->lock < 0 ? -r->lock : 0;
	for (i = 0; i < 2 && !err; i++) {
		snprintf(path, sizeof(path), "%s/%s", r->dir, parts[i]);
		err = mkdir(path, 0755) ? errno : 0;
	}
	if (!err)
		return 0;
	if (err == EWOULDBLOCK || err == ENOENT || err == ENODEV) {
		if (r->lock >= 0)
			close(r->lock);
		r->lock = -1;
		return -EAGAIN;
	}
	return err_sys(e, err, "cgroup", r->dir);
}

/* Of the signals that end us, which are blocked */
static int is_interrupted(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT) ||
				     sigismember(&set, SIGHUP));
}

static int make_cgroups(struct run_place *r, struct st_err *e)
{
	int tries, err = try_to_make(r, e);

	for (tries = 0; err == -EAGAIN && tries < PATIENCE && !is_interrupted(); tries++) {
		poll(NULL, 0, 10);
		err = try_to_make(r, e);
	}
	if (err != -EAGAIN)
		return err;
	return is_interrupted() ? err_set(e, EINTR, "run", NULL, "interrupted")
				: err_sys(e, EEXIST, "cgroup", r->dir);
}

int place_move(const struct run_place *r, const char *part, pid_t pid, struct st_err *e)
{
	char path[PATH_MAX + 32];
	FILE *f;
	int err;

	snprintf(path, sizeof(path), "%s/%s/cgroup.procs", r->dir, part);
	f = fopen(path, "we");
	err = !f || fprintf(f, "%d", pid) < 0 || fflush(f) ? errno : 0;
	if (f)
		fclose(f);
	return err ? err_sys(e, err, "cgroup", path) : 0;
}

#define SWEPT 16 /* at once; the next one has the rest */

struct sweep {
	char names[SWEPT][ST_NAME_MAX];
	char dirs[SWEPT][PATH_MAX];
	/* Held until they are gone: whoever makes one sees by it that it is a wreck. */
	int locks[SWEPT];
	int nr;
};

static int note_wreck(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	const char *name = pod->policy.name;
	struct sweep *s = ctx;
	char *dir;
	int lock;

	(void)dp, (void)e;
	if (strncmp(name, PREFIX, strlen(PREFIX)) || s->nr == SWEPT)
		return 0;
	dir = s->dirs[s->nr];
	if (cgroup_path(pod->policy.cgroup_id, dir) || !strstr(dir, "/socktables-" PREFIX))
		return 0; /* gone: as stale as any pod is; or attached by somebody who likes the name */
	lock = lock_cgroup(dir);
	if (lock < 0)
		return 0;
	s->locks[s->nr] = lock;
	strcpy(s->names[s->nr++], name);
	return 0;
}

/* One that was killed before it was a pod */
static void note_directories(struct sweep *s, const char *parent)
{
	static const char prefix[] = "socktables-" PREFIX;
	DIR *dir = opendir(parent);
	struct dirent *d;
	int lock;

	while (dir && s->nr < SWEPT && (d = readdir(dir))) {
		if (strncmp(d->d_name, prefix, strlen(prefix)) || strlen(d->d_name) >= ST_NAME_MAX)
			continue;
		snprintf(s->dirs[s->nr], PATH_MAX, "%s/%s", parent, d->d_name);
		lock = lock_cgroup(s->dirs[s->nr]);
		if (lock < 0)
			continue;
		s->locks[s->nr] = lock;
		strcpy(s->names[s->nr++], d->d_name + strlen(prefix) - strlen(PREFIX));
	}
	if (dir)
		closedir(dir);
}

static int sweep(const char *parent, struct st_err *e)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct st_err ignored = {};
	int i, err;

	if (!s)
		return err_sys(e, ENOMEM, "run", NULL);
	err = pod_read(NULL, note_wreck, s, e);
	note_directories(s, parent);
	for (i = 0; i < s->nr; i++) {
		kill_all(s->dirs[i], "/command"); /* or it would go direct */
		pod_detach(s->names[i], DETACH_ANY, &ignored);
		remove_cgroups(s->dirs[i]);
		close(s->locks[i]);
	}
	free(s);
	return err == -ENOENT ? 0 : err;
}

int place_make(struct run_place *r, struct st_err *e)
{
	int parent, err;
	__u64 id;

	r->lock = -1;
	snprintf(r->name, sizeof(r->name), PREFIX "%d", getpid());
	if (snprintf(r->dir, sizeof(r->dir), "%s/socktables-%s", r->parent, r->name) >= PATH_MAX)
		return err_sys(e, ENAMETOOLONG, "cgroup", r->parent);
	parent = cgroup_open(r->parent, &id, e);
	if (parent < 0)
		return parent;
	close(parent);
	err = sweep(r->parent, e);
	return err ?: make_cgroups(r, e);
}

void place_kill(const struct run_place *r)
{
	kill_all(r->dir, "/command");
}

void place_remove(struct run_place *r)
{
	if (r->lock < 0)
		return; /* it was not made, or not by us */
	remove_cgroups(r->dir);
	close(r->lock);
	r->lock = -1;
}
