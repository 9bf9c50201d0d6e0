/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "own_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEEPEST 64 /* levels of cgroups that are looked into */

struct part {
	const char *text;
	size_t len;
};

static int part_is(const struct part *p, const char *name)
{
	return p->len == strlen(name) && !memcmp(p->text, name, p->len);
}

/* In the driver systemd a slice's name repeats its parents', '-' in the UID is '_'. */
static int is_pod(const struct part *p, const struct part *parent, const struct part *grandparent)
{
	static const char slice[] = ".slice";

	if (part_is(parent, "burstable") || part_is(parent, "besteffort"))
		parent = grandparent;
	if (part_is(parent, "kubepods"))
		return p->len > 3 && !memcmp(p->text, "pod", 3);
	return p->len > sizeof(slice) &&
	       !memcmp(p->text + p->len - strlen(slice), slice, strlen(slice)) &&
	       memmem(p->text, p->len, "kubepods", 8) && memmem(p->text, p->len, "-pod", 4);
}

size_t cgroup_pod_prefix(const char *path)
{
	struct part p = { path, 0 }, parent = p, grandparent;
	size_t found = 0;

	while (*p.text) {
		grandparent = parent;
		parent = p;
		p.text += p.len + strspn(p.text + p.len, "/");
		p.len = strcspn(p.text, "/");
		if (is_pod(&p, &parent, &grandparent))
			found = p.text + p.len - path;
	}
	return found;
}

/* One mount of cgroup2: which cgroup (in the view of our cgroup namespace) is where. */
struct mount {
	char root[PATH_MAX], dir[PATH_MAX];
};

static int next_mount(FILE *mountinfo, struct mount *m)
{
	char *line = NULL;
	size_t size = 0;
	int found = 0;

	while (!found && getline(&line, &size, mountinfo) > 0)
		found = strstr(line, " - cgroup2 ") &&
			sscanf(line, "%*d %*d %*s %4095s %4095s", m->root, m->dir) == 2;
	free(line);
	return found;
}

/* The part of path below root, or NULL if it is not below. */
static const char *below(const char *path, const char *root)
{
	size_t n = strcmp(root, "/") ? strlen(root) : 0;

	return strncmp(path, root, n) || (path[n] && path[n] != '/') ? NULL : path + n;
}

/* A directory that shows the cgroup of that path; fails if no mount reaches so far up. */
static int find_dir(const char *path, char dir[PATH_MAX])
{
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	const char *rest;
	int found = 0;
	struct mount m;
	struct stat st;

	while (mountinfo && !found && next_mount(mountinfo, &m)) {
		rest = below(path, m.root);
		found = rest && snprintf(dir, PATH_MAX, "%s%s", m.dir, rest) < PATH_MAX &&
			!stat(dir, &st) && S_ISDIR(st.st_mode);
	}
	if (mountinfo)
		fclose(mountinfo);
	return found ? 0 : -ENOENT;
}

/* Appends to dir the way down to the cgroup with that inode. */
static int descend(char dir[PATH_MAX], ino_t inode, int depth)
{
	size_t n = strlen(dir);
	struct dirent *d;
	DIR *entries = opendir(dir);
	int found = 0;

	while (entries && !found && (d = readdir(entries))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.' || n + d->d_reclen >= PATH_MAX)
			continue;
		snprintf(dir + n, PATH_MAX - n, "/%s", d->d_name);
		found = d->d_ino == inode || (depth < DEEPEST && descend(dir, inode, depth + 1));
		if (!found)
			dir[n] = '\0';
	}
	if (entries)
		closedir(entries);
	return found;
}

/* In a cgroup namespace, mounts of what is above it have a root of "/..", or "/../.." and so on. */
static int find_from_above(const char *own, char dir[PATH_MAX], size_t *ret_top)
{
	FILE *mountinfo;
	struct mount m;
	struct stat st;
	int found = 0;

	if (find_dir(own, dir) || stat(dir, &st))
		return -ENOENT;
	mountinfo = fopen("/proc/self/mountinfo", "re");
	while (mountinfo && !found && next_mount(mountinfo, &m)) {
		if (strncmp(m.root, "/..", 3))
			continue;
		strcpy(dir, m.dir);
		*ret_top = strlen(dir);
		found = descend(dir, st.st_ino, 0);
	}
	if (mountinfo)
		fclose(mountinfo);
	return found ? 0 : -ENOENT;
}

/* The line of the unified hierarchy in /proc/self/cgroup. */
static int own_path(char path[PATH_MAX])
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	int found = 0;

	while (f && !found && fgets(path, PATH_MAX, f))
		found = !strncmp(path, "0::/", 4);
	if (f)
		fclose(f);
	if (!found)
		return -ENOENT;
	path[strcspn(path, "\n")] = '\0';
	memmove(path, path + 3, strlen(path + 3) + 1);
	return 0;
}

/* The first cgroup namespace has an inode that never changes (PROC_CGROUP_INIT_INO). */
static int in_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/cgroup", &st) && st.st_ino != 0xEFFFFFFBU;
}

static int not_found(const char *own, const char *why, struct st_err *e)
{
	err_hint(e, "mount the node's cgroup2 tree into this container (a hostPath volume of "
		    "/sys/fs/cgroup), or give --cgroup DIR");
	return err_set(e, ENOENT, "cgroup", own, "%s", why);
}

int cgroup_of_own_pod(char path[PATH_MAX], struct st_err *e)
{
	char own[PATH_MAX];
	size_t top, n;

	if (own_path(own)) {
		err_hint(e, "give --cgroup DIR");
		return err_set(e, ENOENT, "cgroup", NULL, "this process is in none of cgroup v2");
	}
	n = cgroup_pod_prefix(own);
	if (!n && !find_from_above(own, path, &top)) {
		n = cgroup_pod_prefix(path + top);
		if (n)
			path[top + n] = '\0';
		return 0;
	}
	if (!strcmp(own, "/"))
		return not_found(own,
				 in_namespace() ? "a cgroup namespace hides which pod this is"
						: "this process is in no pod's",
				 e);
	if (n)
		own[n] = '\0';
	return find_dir(own, path) ? not_found(own, "no mount shows it here", e) : 0;
}
