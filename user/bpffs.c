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

/* --- whose it is --------------------------------------------------------------------------------- */

/* A directory of root's own of which others have none of these bits. */
static int check_own(const char *path, const struct stat *st, mode_t others, struct st_err *e)
{
	if (!S_ISDIR(st->st_mode))
		return err_sys(e, ENOTDIR, "directory", path);
	if (!st->st_uid && !(st->st_mode & others))
		return 0;
	err_hint(e, "somebody else made it: remove it, then 'chmod 700 " ST_BPFFS "'");
	return err_set(e, EPERM, "directory", path, "uid %u, mode %04o: not of root alone",
		       st->st_uid, st->st_mode & 07777);
}

/* Others may add names, as in a bpffs that nobody told its mode (01777, bpf_fill_super()), but not take away
 * or rename what is root's: see check_sticky() in fs/namei.c. Fills st. Returns 0 or -errno with e filled.
 */
static int check_root(struct stat *st, struct st_err *e)
{
	if (stat(ST_BPFFS, st))
		return err_sys(e, errno, "bpffs", ST_BPFFS);
	if (!st->st_uid && (!(st->st_mode & 022) || st->st_mode & S_ISVTX))
		return 0;
	err_hint(e, st->st_uid ? "'chown 0 " ST_BPFFS "'" : "'chmod 700 " ST_BPFFS "'");
	return err_set(e, EPERM, "directory", ST_BPFFS,
		       "uid %u, mode %04o: others may take away what is in it", st->st_uid,
		       st->st_mode & 07777);
}

static int check_pins(struct st_err *e)
{
	struct stat st;

	if (lstat(ST_DIR, &st))
		return errno == ENOENT ? 0 : err_sys(e, errno, "directory", ST_DIR);
	return check_own(ST_DIR, &st, 022, e);
}

/* --- the lock ------------------------------------------------------------------------------------ */

static int is_at(int fd, const char *path)
{
	struct stat mine, there;

	return !fstat(fd, &mine) && !lstat(path, &there) && mine.st_dev == there.st_dev &&
	       mine.st_ino == there.st_ino;
}

/* Whoever can open a file, even to read, can hold a lock on it (flock() in fs/locks.c). So it is on the file
 * system's root, where it leaves nothing behind, only if nobody else can open that.
 */
static const char *lock_path(struct st_err *e)
{
	struct stat st;

	if (check_root(&st, e))
		return NULL;
	return st.st_mode & 044 ? ST_LOCK : ST_BPFFS;
}

/* -EAGAIN: whoever had it last has just removed it. */
static int open_lock(const char *path, struct st_err *e)
{
	int fd, err, is_dir = !strcmp(path, ST_LOCK);
	struct stat st;

	if (is_dir && mkdir(path, 0700) && errno != EEXIST)
		return err_sys(e, errno, "directory", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return is_dir && errno == ENOENT ? -EAGAIN : err_sys(e, errno, "directory", path);
	if (!is_dir)
		return fd;
	err = fstat(fd, &st) ? err_sys(e, errno, "directory", path) : check_own(path, &st, 077, e);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Returns a file descriptor, or -EAGAIN: it is somewhere else now. */
static int try_lock(int exclusive, struct st_err *e)
{
	const char *path = lock_path(e), *now;
	int fd = path ? open_lock(path, e) : -EPERM;

	if (fd < 0)
		return fd;
	while (flock(fd, exclusive ? LOCK_EX : LOCK_SH)) {
		if (errno == EINTR)
			continue;
		close(fd);
		return err_sys(e, errno, "lock", path);
	}
	now = lock_path(e);
	if (now == path && is_at(fd, path))
		return fd;
	close(fd);
	return now ? -EAGAIN : -EPERM;
}

int bpffs_lock(int exclusive, struct st_err *e)
{
	int fd, err, mounted = is_mounted(e);

	if (mounted <= 0)
		return mounted < 0 ? mounted : -ENOENT;
	do
		fd = try_lock(exclusive, e);
	while (fd == -EAGAIN);
	err = fd < 0 ? fd : check_pins(e);
	if (!err)
		return fd;
	bpffs_unlock(fd);
	return err;
}

/* Its directory is removed by the last who has it: by others who opened it before it is not taken for the lock
 * any more. The lock may be another's for a moment while it becomes exclusive, so it is looked for again.
 */
void bpffs_unlock(int lock)
{
	if (is_at(lock, ST_LOCK) && !flock(lock, LOCK_EX | LOCK_NB) && is_at(lock, ST_LOCK))
		rmdir(ST_LOCK);
	if (lock >= 0)
		close(lock);
}

/* --- names --------------------------------------------------------------------------------------- */

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

/* Of who may write to the bpffs there may be a link, or a directory that becomes one. *ret is NULL if there is
 * nothing.
 */
static int open_own(const char *path, DIR **ret, struct st_err *e)
{
	int err, fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	*ret = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "directory", path);
	err = fstat(fd, &st) ? err_sys(e, errno, "directory", path) : check_own(path, &st, 022, e);
	*ret = err ? NULL : fdopendir(fd);
	if (!*ret)
		close(fd);
	return err || *ret ? err : err_sys(e, ENOMEM, "directory", path);
}

int bpffs_remove(const char *path, struct st_err *e)
{
	char child[PATH_MAX];
	struct dirent *d;
	DIR *dir;
	int err = open_own(path, &dir, e);

	if (!dir)
		return err;
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
