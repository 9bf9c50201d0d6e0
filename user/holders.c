/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "holders.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_ROOM 320 /* /proc/PID/fd/ENTRY */

struct search {
	char link[32]; /* what /proc/PID/fd/N of the socket reads */
	int (*each)(void *ctx, const struct holder *h);
	void *ctx;
	int denied;
};

/* 1, 0, or -EACCES */
static int has_open(int pid, const char *wanted)
{
	char path[PATH_ROOM], link[64];
	struct dirent *d;
	int found = 0;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES || errno == EPERM ? -EACCES : 0;
	while (!found && (d = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, d->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n < 0) {
			if (errno == EACCES || errno == EPERM)
				found = -EACCES;
			continue;
		}
		link[n] = 0;
		found = !strcmp(link, wanted);
	}
	closedir(dir);
	return found;
}

/* Returns 0 if the process is gone. */
static int describe(int pid, struct holder *ret)
{
	char path[PATH_ROOM], line[256];
	int got = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	memset(ret, 0, sizeof(*ret));
	ret->pid = pid;
	while (f && fgets(line, sizeof(line), f)) {
		got += sscanf(line, "Name:\t%15[^\n]", ret->comm) == 1;
		got += sscanf(line, "Uid:\t%*u\t%*u\t%*u\t%u", &ret->uid) == 1;
		got += sscanf(line, "Gid:\t%*u\t%*u\t%*u\t%u", &ret->gid) == 1;
	}
	if (f)
		fclose(f);
	return got == 3;
}

static int search_cgroup(struct search *s, const char *dir)
{
	char path[4096 + 16];
	struct holder h;
	int pid, found, ret = 0;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/cgroup.procs", dir) >= (int)sizeof(path))
		return 0;
	f = fopen(path, "re");
	while (f && !ret && fscanf(f, "%d", &pid) == 1) {
		found = pid > 0 ? has_open(pid, s->link) : 0; /* 0: of another PID namespace */
		if (found < 0)
			s->denied = 1;
		else if (found && describe(pid, &h))
			ret = s->each(s->ctx, &h);
	}
	if (f)
		fclose(f);
	return ret;
}

int holders_find(const char *cgroup, __u32 inode, int (*each)(void *ctx, const struct holder *h),
		 void *ctx)
{
	char *const roots[] = { (char *)cgroup, NULL };
	struct search s = { .each = each, .ctx = ctx };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	FTSENT *dir;
	int ret = 0;

	if (!tree)
		return -errno;
	snprintf(s.link, sizeof(s.link), "socket:[%u]", inode);
	while (!ret && (dir = fts_read(tree)))
		if (dir->fts_info == FTS_D)
			ret = search_cgroup(&s, dir->fts_path);
	fts_close(tree);
	return ret ?: s.denied ? -EACCES : 0;
}
