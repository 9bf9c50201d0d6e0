// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often BPF programs run; see runs.h. */
#define _GNU_SOURCE
#include "runs.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <unistd.h>

static void read_prog(struct run_of *of, __u32 id)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		err(1, "BPF program %u", id);
	close(fd);
	snprintf(of->name, sizeof(of->name), "%s", info.name);
	of->id = id;
	of->count = info.run_cnt;
	of->ns = info.run_time_ns;
	of->insns = info.verified_insns;
	of->bytes = info.xlated_prog_len;
}

static void read_link(struct runs *runs, const char *dir, const char *name)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		err(1, "%s", path);
	if (!bpf_obj_get_info_by_fd(fd, &info, &len) && info.prog_id) {
		if (runs->n == RUNS_MAX)
			errx(1, "%s: more than %d links", dir, RUNS_MAX);
		read_prog(&runs->of[runs->n++], info.prog_id);
	}
	close(fd);
}

/* The pins are root's alone, whoever makes sockets at the moment. */
static struct runs read_all(const char *path)
{
	struct runs runs = {};
	struct dirent **found;
	int uid = setfsuid(0), n = scandir(path, &found, NULL, alphasort);

	if (n < 0)
		err(1, "%s", path);
	for (int i = 0; i < n; i++) {
		if (found[i]->d_name[0] != '.')
			read_link(&runs, path, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	if (!runs.n)
		errx(1, "%s: no links", path);
	setfsuid(uid);
	return runs;
}

struct runs runs_begin(const char *dir)
{
	struct runs none = {};

	if (!dir)
		return none;
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) <
	    0) /* stays open: it is what makes the kernel count */
		err(1, "BPF_ENABLE_STATS");
	return read_all(dir);
}

void runs_end(const char *dir, const struct runs *before)
{
	struct runs after;

	if (!dir)
		return;
	after = read_all(dir);
	if (after.n != before->n)
		errx(1, "%s: links have come or gone", dir);
	for (int i = 0; i < after.n; i++) {
		const struct run_of *a = &after.of[i], *b = &before->of[i];

		if (a->id != b->id)
			errx(1, "%s: another program", a->name);
		printf("prog %s %llu %llu %u %u\n", a->name, a->count - b->count, a->ns - b->ns,
		       a->insns, a->bytes);
	}
}
