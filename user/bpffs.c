/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bpffs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* 1, 0, or -errno with e filled. */
static int is_mounted(struct st_err *e)
{
	struct statfs fs;

	if (statfs(ST_BPFFS, &fs))
		return errno == ENOENT ? 0 : err_sys(e, errno, "bpffs", ST_BPFFS);
	return fs.f_type == BPF_FS_MAGIC;
}

int bpffs_mount(struct st_err *e)
{
	int mounted = is_mounted(e);

	if (mounted)
		return mounted < 0 ? mounted : 0;
	if (mkdir(ST_BPFFS, 0700) && errno != EEXIST)
		return err_sys(e, errno, "bpffs", ST_BPFFS);
	if (mount("bpf", ST_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return err_sys(e, errno, "mount of bpffs", ST_BPFFS);
	return 0;
}

int bpffs_lock(int exclusive, struct st_err *e)
{
	int fd, mounted = is_mounted(e);

	if (mounted <= 0)
		return mounted < 0 ? mounted : -ENOENT;
	fd = open(ST_BPFFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "bpffs", ST_BPFFS);
	while (flock(fd, exclusive ? LOCK_EX : LOCK_SH)) {
		if (errno == EINTR)
			continue;
		close(fd);
		return err_sys(e, errno, "lock", ST_BPFFS);
	}
	return fd;
}

static void translate(char *s, char from, char to)
{
	for (; *s; s++)
		if (*s == from)
			*s = to;
}

void bpffs_pod_dir(const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, ST_PODS "/%s", name);
	translate(path + strlen(ST_PODS "/"), '.', ':');
}

void bpffs_pod_name(const char *dir, char *name, unsigned long size)
{
	snprintf(name, size, "%s", dir);
	translate(name, ':', '.');
}

int bpffs_has(const char *path, struct st_err *e)
{
	if (!access(path, F_OK))
		return 1;
	return errno == ENOENT ? 0 : err_sys(e, errno, "pin", path);
}

/* Of who may write to the bpffs there may be a link, to a directory that is none of ours. */
static DIR *open_own(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? NULL : fdopendir(fd);
}

int bpffs_remove(const char *path, struct st_err *e)
{
	char child[PATH_MAX];
	struct dirent *d;
	int err = 0;
	DIR *dir = open_own(path);

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "directory", path);
	while (!err && (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, d->d_name);
		if (!unlink(child) || errno == ENOENT)
			continue;
		err = errno == EISDIR || errno == EPERM ? bpffs_remove(child, e)
							: err_sys(e, errno, "pin", child);
	}
	closedir(dir);
	if (!err && rmdir(path) && errno != ENOENT)
		err = err_sys(e, errno, "directory", path);
	return err;
}
