/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../include/verdict.h"
#include "bpffs.h"
#include "probe.h"
#include "st_all.skel.h"
#include "st_in.skel.h"

#define X_HOOK(name, type, section, since) \
	[HOOK_##name] = { #name, BPF_CGROUP_##type, section, since },
const struct hook hooks[NR_HOOKS] = { ST_HOOKS(X_HOOK) };

#define X_NAME(name) [MAP_##name] = #name,
const char *const map_names[NR_MAPS] = { ST_MAPS(X_NAME) };

/* The last of what libbpf said, for a failed load; else nobody wants to read it. */
static char libbpf_says[2048];

__attribute__((format(printf, 2, 0))) static int keep_message(enum libbpf_print_level level,
							      const char *format, va_list args)
{
	char line[4096];
	size_t n, have = strlen(libbpf_says);

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	n = strlen(line);
	if (n >= sizeof(libbpf_says)) {
		memmove(line, line + n - sizeof(libbpf_says) + 1, sizeof(libbpf_says));
		n = sizeof(libbpf_says) - 1;
	}
	if (have + n >= sizeof(libbpf_says)) {
		size_t drop = have + n - sizeof(libbpf_says) + 1;

		memmove(libbpf_says, libbpf_says + drop, have - drop + 1);
		have -= drop;
	}
	memcpy(libbpf_says + have, line, n + 1);
	return 0;
}

static void clear(struct datapath *dp)
{
	libbpf_set_print(keep_message); /* nothing of it goes to stderr by itself */
	memset(dp, -1, sizeof(*dp));
}

void datapath_close(struct datapath *dp)
{
	int i;

	for (i = 0; i < NR_MAPS; i++)
		if (dp->map[i] >= 0)
			close(dp->map[i]);
	for (i = 0; i < NR_HOOKS; i++)
		if (dp->prog[i] >= 0)
			close(dp->prog[i]);
	if (dp->scan >= 0)
		close(dp->scan);
	clear(dp);
}

static int open_pin(const char *name, int *fd, struct st_err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), ST_DIR "/%s", name);
	*fd = bpf_obj_get(path);
	if (*fd >= 0)
		return 0;
	err_sys(e, errno, "pin", path);
	err_hint(e, "the datapath is incomplete: 'socktables detach --all' clears it away");
	return -errno;
}

/* Sizes are what an older or newer build would differ in. */
static int check_layout(struct datapath *dp, struct st_err *e)
{
	static const struct {
		enum map_id map;
		__u32 key, value;
	} expected[] = {
		{ MAP_st_policy, sizeof(__u64), sizeof(struct policy) },
		{ MAP_st_class, sizeof(struct class_key), sizeof(struct class_value) },
		{ MAP_st_ids, sizeof(struct id_key), sizeof(__u32) },
		{ MAP_st_count, sizeof(__u64), sizeof(struct counters) },
	};
	struct bpf_map_info info;
	__u32 size;
	size_t i;

	for (i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		memset(&info, 0, sizeof(info));
		size = sizeof(info);
		if (bpf_obj_get_info_by_fd(dp->map[expected[i].map], &info, &size))
			return err_sys(e, errno, "map", map_names[expected[i].map]);
		if (info.key_size == expected[i].key && info.value_size == expected[i].value)
			continue;
		err_hint(e, "detach all pods with the version that attached them");
		return err_set(e, EPROTO, "map", map_names[expected[i].map],
			       "made by another version of socktables");
	}
	return 0;
}

int datapath_open(struct datapath *dp, struct st_err *e)
{
	int i, err = 0;

	clear(dp);
	if (access(ST_DIR, F_OK))
		return errno == ENOENT ? -ENOENT : err_sys(e, errno, "directory", ST_DIR);
	for (i = 0; i < NR_MAPS && !err; i++)
		err = open_pin(map_names[i], &dp->map[i], e);
	for (i = 0; i < NR_HOOKS && !err; i++)
		err = open_pin(hooks[i].name, &dp->prog[i], e);
	if (!err)
		err = open_pin("st_scan", &dp->scan, e);
	if (!err)
		err = check_layout(dp, e);
	if (err) {
		datapath_close(dp);
		return err == -ENOENT ? -EIO : err;
	}
	return 0;
}

/* With the owner read from the socket's file, or where that does not load from the current task. */
static struct st_all *load(int kernel_reads, int *ret_err)
{
	struct st_all *skel;

	libbpf_says[0] = 0;
	skel = st_all__open();
	if (!skel) {
		*ret_err = -errno;
		return NULL;
	}
	skel->rodata->kernel_reads = kernel_reads;
	*ret_err = st_all__load(skel);
	if (!*ret_err)
		return skel;
	st_all__destroy(skel);
	return NULL;
}

static int pin_all(struct st_all *skel, struct st_err *e)
{
	char path[PATH_MAX];
	struct bpf_map *map;
	struct bpf_program *prog;

	bpf_object__for_each_map(map, skel->obj) {
		if (bpf_map__is_internal(map))
			continue;
		snprintf(path, sizeof(path), ST_DIR_NEW "/%s", bpf_map__name(map));
		if (bpf_map__pin(map, path))
			return err_sys(e, errno, "pin", path);
	}
	bpf_object__for_each_program(prog, skel->obj) {
		snprintf(path, sizeof(path), ST_DIR_NEW "/%s", bpf_program__name(prog));
		if (bpf_program__pin(prog, path))
			return err_sys(e, errno, "pin", path);
	}
	return 0;
}

/* Loads into a directory aside and publishes by rename: nobody finds half a datapath. */
static int load_and_pin(struct st_err *e)
{
	struct st_all *skel;
	int err;

	err = bpffs_remove(ST_DIR_NEW, e); /* of a load that was killed */
	if (err)
		return err;
	skel = load(1, &err);
	if (!skel)
		skel = load(0, &err);
	if (!skel)
		return probe_explain(-err, libbpf_says, e);
	if (mkdir(ST_DIR_NEW, 0700) || mkdir(ST_DIR_NEW "/pods", 0700))
		err = err_sys(e, errno, "directory", ST_DIR_NEW);
	if (!err)
		err = pin_all(skel, e);
	if (!err && rename(ST_DIR_NEW, ST_DIR))
		err = err_sys(e, errno, "directory", ST_DIR);
	if (err)
		bpffs_remove(ST_DIR_NEW, e);
	st_all__destroy(skel);
	return err;
}

/* -1 in *fd if it is not there. */
static int open_if_there(const char *name, int *fd, struct st_err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), ST_DIR "/%s", name);
	*fd = bpf_obj_get(path);
	return *fd >= 0 || errno == ENOENT ? 0 : err_sys(e, errno, "pin", path);
}

int datapath_open_rest(struct datapath *dp, struct st_err *e)
{
	int i, err = 0;

	clear(dp);
	if (access(ST_DIR, F_OK))
		return errno == ENOENT ? -ENOENT : err_sys(e, errno, "directory", ST_DIR);
	for (i = 0; i < NR_MAPS && !err; i++)
		err = open_if_there(map_names[i], &dp->map[i], e);
	for (i = 0; i < NR_HOOKS && !err; i++)
		err = open_if_there(hooks[i].name, &dp->prog[i], e);
	err = err ?: open_if_there("st_scan", &dp->scan, e);
	if (err)
		datapath_close(dp);
	return err;
}

int datapath_ensure(struct datapath *dp, struct st_err *e)
{
	struct st_err ignored = {};
	int err = datapath_open(dp, e);

	if (err != -ENOENT)
		return err;
	err = load_and_pin(e);
	if (err)
		return err;
	err = datapath_open(dp, e);
	if (err)
		datapath_remove(&ignored);
	return err;
}

/* Out of the way first, all at once: whoever comes next, should we be killed, finds no half of it. */
int datapath_remove(struct st_err *e)
{
	int err = bpffs_remove(ST_DIR_NEW, e);

	if (!err && rename(ST_DIR, ST_DIR_NEW) && errno != ENOENT)
		err = err_sys(e, errno, "directory", ST_DIR);
	return err ?: bpffs_remove(ST_DIR_NEW, e);
}

int datapath_load_inbound(const struct datapath *dp, __u64 netns_cookie, struct st_err *e)
{
	struct st_in *skel;
	int fd, err;

	libbpf_says[0] = 0;
	skel = st_in__open();
	if (!skel)
		return err_sys(e, errno, "program", INBOUND_NAME);
	skel->rodata->netns_cookie = netns_cookie;
	err = bpf_map__reuse_fd(skel->maps.st_policy, dp->map[MAP_st_policy]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_class, dp->map[MAP_st_class]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_ids, dp->map[MAP_st_ids]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_count, dp->map[MAP_st_count]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_handshake, dp->map[MAP_st_handshake]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_listener, dp->map[MAP_st_listener]);
	err = err ?: st_in__load(skel);
	if (err) {
		st_in__destroy(skel);
		return probe_explain(-err, libbpf_says, e);
	}
	fd = dup(bpf_program__fd(skel->progs.st_inbound));
	err = errno;
	st_in__destroy(skel);
	return fd < 0 ? err_sys(e, err, "program", INBOUND_NAME) : fd;
}
