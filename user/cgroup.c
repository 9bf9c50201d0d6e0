/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <libgen.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/magic.h>

#include <bpf/bpf.h>

#include "hooks.h"

int cgroup_open(const char *path, __u64 *ret_id, struct st_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return err_sys(e, errno, "cgroup", path);
	if (fstatfs(fd, &fs) || fstat(fd, &st)) {
		err_sys(e, errno, "cgroup", path);
	} else if (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC) {
		err_set(e, EINVAL, "cgroup", path, "%s",
			fs.f_type == TMPFS_MAGIC ? "not a cgroup" : "a cgroup v1 directory");
		err_hint(e, "a cgroup v2 directory is needed: see 'grep cgroup2 /proc/mounts'");
	} else if (fs.f_type != CGROUP2_SUPER_MAGIC) {
		err_set(e, EINVAL, "cgroup", path, "not a cgroup");
		err_hint(e, "a cgroup v2 directory is needed: see 'grep cgroup2 /proc/mounts'");
	} else {
		*ret_id = st.st_ino; /* on cgroup2 the inode is the id (kernfs, since 5.5) */
		return fd;
	}
	close(fd);
	return e->text[0] ? -EINVAL : -EIO;
}

/* Where cgroup2 is mounted: it is not always /sys/fs/cgroup (hybrid mounts). */
static int cgroup_root(char path[PATH_MAX])
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int err = -ENOENT;

	while (f && err && (m = getmntent(f))) {
		if (strcmp(m->mnt_type, "cgroup2"))
			continue;
		snprintf(path, PATH_MAX, "%s", m->mnt_dir);
		err = 0;
	}
	if (f)
		endmntent(f);
	return err;
}

int cgroup_path(__u64 id, char path[PATH_MAX])
{
	/* The file handle of a kernfs node is its 64-bit id (FILEID_KERNFS, 0xfe). */
	struct {
		struct file_handle h;
		__u64 id;
	} handle = { .h = { .handle_bytes = sizeof(id), .handle_type = 0xfe } };
	char root[PATH_MAX], link[64];
	int mount, fd, err;
	ssize_t n;

	if (cgroup_root(root))
		return -ENOENT;
	mount = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount < 0)
		return -errno;
	memcpy(handle.h.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(mount, &handle.h, O_RDONLY | O_CLOEXEC);
	err = errno;
	close(mount);
	if (fd < 0)
		return err == EPERM ? -EPERM : -ENOENT;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	close(fd);
	if (n < 0)
		return -errno;
	path[n] = 0;
	/* A cgroup that was removed but still has users shows as deleted. */
	return n > 10 && !strcmp(path + n - 10, " (deleted)") ? -ENOENT : 0;
}

int cgroup_of_pid(int pid, char path[PATH_MAX], struct st_err *e)
{
	char file[64], line[PATH_MAX], root[PATH_MAX], which[16];
	FILE *f;

	snprintf(which, sizeof(which), "%d", pid);
	snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	f = fopen(file, "re");
	if (!f)
		return err_set(e, errno, "pid", which, "%s",
			       errno == ENOENT ? "no such process" : strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::", 3))
			continue;
		fclose(f);
		if (cgroup_root(root))
			return err_set(e, ENOENT, "cgroup v2", NULL, "not mounted");
		if (snprintf(path, PATH_MAX, "%s%s", root, line + 3) >= PATH_MAX)
			return err_sys(e, ENAMETOOLONG, "cgroup of pid", which);
		return 0;
	}
	fclose(f);
	return err_set(e, ENOENT, "pid", which, "in no cgroup v2");
}

void cgroup_program_name(__u32 id, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	snprintf(name, BPF_OBJ_NAME_LEN, "?");
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.name[0])
		snprintf(name, BPF_OBJ_NAME_LEN, "%s", info.name);
	close(fd);
}

static int check_one(const char *path, struct st_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct hook *h;
	char name[BPF_OBJ_NAME_LEN];
	__u32 ids[64], flags, nr;
	int err = 0;

	if (fd < 0)
		return err_sys(e, errno, "cgroup", path);
	for (h = hooks; h < hooks + NR_HOOKS && !err; h++) {
		nr = sizeof(ids) / sizeof(*ids);
		flags = 0;
		if (bpf_prog_query(fd, h->type, 0, &flags, ids, &nr) || !nr ||
		    flags & BPF_F_ALLOW_MULTI)
			continue;
		cgroup_program_name(ids[0], name);
		err = err_set(e, EBUSY, "hook", h->section,
			      "held exclusively by program %u (%s) on cgroup %s", ids[0], name,
			      path);
		err_hint(e, "attach that program by a link or with BPF_F_ALLOW_MULTI");
	}
	close(fd);
	return err;
}

int cgroup_check_hooks(const char *path, struct st_err *e)
{
	char dir[PATH_MAX];
	struct statfs fs;
	int err = 0;

	if (!realpath(path, dir))
		return err_sys(e, errno, "cgroup", path);
	while (!err && !statfs(dir, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC) {
		err = check_one(dir, e);
		if (!strcmp(dir, "/"))
			break;
		dirname(dir);
	}
	return err;
}

struct relatives {
	struct cgroup_relative *v;
	size_t nr;
};

static int add_relative(struct relatives *r, __u64 id, enum cgroup_relation is)
{
	struct cgroup_relative *more = reallocarray(r->v, r->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->v = more;
	more[r->nr++] = (struct cgroup_relative){ id, is };
	return 0;
}

static int add_above(struct relatives *r, const char *path)
{
	char dir[PATH_MAX];
	struct statfs fs;
	struct stat st;
	int err = 0;

	snprintf(dir, sizeof(dir), "%s", path);
	while (!err && strcmp(dir, "/")) {
		dirname(dir);
		if (statfs(dir, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC || stat(dir, &st))
			break;
		err = add_relative(r, st.st_ino, CGROUP_ABOVE);
	}
	return err;
}

/* The cgroup and what lies in it. What goes meanwhile was nobody's. */
static int add_below(struct relatives *r, char *path)
{
	char *const roots[] = { path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *dir;
	int err = 0;

	if (!tree)
		return -errno;
	while (!err && (dir = fts_read(tree))) {
		if (dir->fts_info == FTS_D)
			err = add_relative(r, dir->fts_statp->st_ino,
					   dir->fts_level ? CGROUP_BELOW : CGROUP_SAME);
		else if (dir->fts_info == FTS_DNR || dir->fts_info == FTS_ERR)
			err = dir->fts_errno == ENOENT ? 0 : -dir->fts_errno;
	}
	fts_close(tree);
	return err;
}

int cgroup_relatives(const char *path, struct cgroup_relative **ret, size_t *ret_nr,
		     struct st_err *e)
{
	struct relatives r = {};
	char real[PATH_MAX];
	int err = realpath(path, real) ? 0 : -errno;

	err = err ?: add_below(&r, real);
	err = err ?: add_above(&r, real);
	*ret = r.v;
	*ret_nr = r.nr;
	return err ? err_sys(e, -err, "cgroup", path) : 0;
}
