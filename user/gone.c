/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "gone.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

static void add(struct gone *g, enum gone_kind kind, __u32 id)
{
	if (g->nr < GONE_MAX) {
		g->v[g->nr].kind = kind;
		g->v[g->nr++].id = id;
	}
}

/* A program's constants are a map of its own; all its other maps are shared. */
static void watch_constants(struct gone *g, const __u32 *ids, __u32 nr)
{
	struct bpf_map_info info;
	__u32 i, size;
	int fd;

	for (i = 0; i < nr; i++) {
		fd = bpf_map_get_fd_by_id(ids[i]);
		if (fd < 0)
			continue;
		memset(&info, 0, sizeof(info));
		size = sizeof(info);
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && strstr(info.name, ".rodata"))
			add(g, GONE_MAP, info.id);
		close(fd);
	}
}

static void watch_prog(struct gone *g, int fd)
{
	__u32 maps[16];
	struct bpf_prog_info info = { .nr_map_ids = 16, .map_ids = (unsigned long)maps };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	add(g, GONE_PROG, info.id);
	watch_constants(g, maps, info.nr_map_ids < 16 ? info.nr_map_ids : 16);
}

/* Of a namespace's link also the program, which is the pod's own. */
static void watch_link(struct gone *g, int fd)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);
	int prog;

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	add(g, GONE_LINK, info.id);
	if (info.type != BPF_LINK_TYPE_NETNS)
		return;
	prog = bpf_prog_get_fd_by_id(info.prog_id);
	if (prog >= 0) {
		watch_prog(g, prog);
		close(prog);
	}
}

void gone_watch(struct gone *g, enum gone_kind kind, int fd)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (kind == GONE_LINK)
		watch_link(g, fd);
	else if (kind == GONE_PROG)
		watch_prog(g, fd);
	else if (!bpf_obj_get_info_by_fd(fd, &info, &size))
		add(g, GONE_MAP, info.id);
}

void gone_watch_links(struct gone *g, const char *dir)
{
	char path[PATH_MAX];
	DIR *entries = opendir(dir);
	struct dirent *d;
	int fd;

	while (entries && (d = readdir(entries))) {
		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		fd = d->d_name[0] == '.' ? -1 : bpf_obj_get(path);
		if (fd < 0)
			continue;
		gone_watch(g, GONE_LINK, fd);
		close(fd);
	}
	if (entries)
		closedir(entries);
}

static int is_there(enum gone_kind kind, __u32 id)
{
	int fd = kind == GONE_MAP    ? bpf_map_get_fd_by_id(id)
		 : kind == GONE_PROG ? bpf_prog_get_fd_by_id(id)
				     : bpf_link_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void gone_wait(const struct gone *g)
{
	const struct timespec tick = { .tv_nsec = 100000 };
	int tries, i = 0;

	for (tries = 0; tries < 20000 && i < g->nr; tries++) {
		while (i < g->nr && !is_there(g->v[i].kind, g->v[i].id))
			i++;
		if (i < g->nr)
			nanosleep(&tick, NULL);
	}
}
