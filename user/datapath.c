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

#include "../include/event.h"
#include "../include/known.h"
#include "bpffs.h"
#include "datapath_load.h"
#include "st_all.skel.h"
#include "tracer.h"

#define X_HOOK(name, type, section, since) \
	[HOOK_##name] = { #name, BPF_CGROUP_##type, section, since },
const struct hook hooks[NR_HOOKS] = { ST_HOOKS(X_HOOK) };

#define X_NAME(name, key, value) [MAP_##name] = #name,
const char *const map_names[NR_MAPS] = { ST_MAPS(X_NAME) };

#define X_SIZES(name, key, value) [MAP_##name] = { key, value },
static const struct {
	__u32 key, value;
} map_sizes[NR_MAPS] = { ST_MAPS(X_SIZES) };

static const __u32 version_key;

void datapath_init(struct datapath *dp)
{
	datapath_load_quietly();
	memset(dp, -1, sizeof(*dp));
	dp->version = (struct version){};
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
	if (dp->inbound >= 0)
		close(dp->inbound);
	datapath_init(dp);
}

/* -ENOENT in *fd, and no error, if it is not there. */
static int open_pin(const char *name, int *fd, struct st_err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), ST_DIR "/%s", name);
	*fd = bpf_obj_get(path);
	if (*fd < 0)
		*fd = -errno;
	return *fd >= 0 || *fd == -ENOENT ? 0 : err_sys(e, errno, "pin", path);
}

static int check_sizes(const struct datapath *dp, int i, struct st_err *e)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (dp->map[i] < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(dp->map[i], &info, &size))
		return err_sys(e, errno, "map", map_names[i]);
	if (info.key_size == map_sizes[i].key && info.value_size == map_sizes[i].value)
		return 0;
	err_hint(e, "detach all pods with the version that attached them");
	return err_set(e, EPROTO, "map", map_names[i], "made by another version of socktables");
}

/* Numbers first, for a message that says more; the sizes are those of buffers that the kernel fills. */
static int check_layout(struct datapath *dp, struct st_err *e)
{
	struct version *v = &dp->version;
	int i, err = check_sizes(dp, MAP_st_version, e);

	if (err)
		return err;
	if (dp->map[MAP_st_version] >= 0) {
		if (bpf_map_lookup_elem(dp->map[MAP_st_version], &version_key, v))
			return err_sys(e, errno, "map", "st_version");
		v->build[sizeof(v->build) - 1] = 0;
		if (v->layout != ST_LAYOUT) {
			err_hint(e, "detach all pods with the version that attached them, then "
				    "attach them with this one");
			return err_set(
				e, EPROTO, "datapath", ST_DIR,
				"has layout %u, of build %s; this is build %s, for layout %u",
				v->layout, *v->build ? v->build : "?", datapath_build(), ST_LAYOUT);
		}
	}
	for (i = 0; i < NR_MAPS && !err; i++)
		err = check_sizes(dp, i, e);
	return err;
}

int datapath_open_rest(struct datapath *dp, struct st_err *e)
{
	int i, err = 0;

	datapath_init(dp);
	if (access(ST_DIR, F_OK))
		return errno == ENOENT ? -ENOENT : err_sys(e, errno, "directory", ST_DIR);
	for (i = 0; i < NR_MAPS && !err; i++)
		err = open_pin(map_names[i], &dp->map[i], e);
	for (i = 0; i < NR_HOOKS && !err; i++)
		err = open_pin(hooks[i].name, &dp->prog[i], e);
	err = err ?: open_pin(SCAN_NAME, &dp->scan, e);
	err = err ?: open_pin(INBOUND_NAME, &dp->inbound, e);
	err = err ?: check_layout(dp, e);
	err ? datapath_close(dp) : tracers_clear(dp);
	return err;
}

static int check_pin(int fd, const char *name, struct st_err *e)
{
	char path[PATH_MAX];

	if (fd >= 0)
		return 0;
	snprintf(path, sizeof(path), ST_DIR "/%s", name);
	err_sys(e, ENOENT, "pin", path);
	err_hint(e, "the datapath is incomplete: 'socktables detach --all' clears it away");
	return -EIO;
}

int datapath_open(struct datapath *dp, struct st_err *e)
{
	int i, err = datapath_open_rest(dp, e);

	for (i = 0; i < NR_MAPS && !err; i++)
		err = check_pin(dp->map[i], map_names[i], e);
	for (i = 0; i < NR_HOOKS && !err; i++)
		err = check_pin(dp->prog[i], hooks[i].name, e);
	err = err ?: check_pin(dp->scan, SCAN_NAME, e);
	err = err ?: check_pin(dp->inbound, INBOUND_NAME, e);
	if (err)
		datapath_close(dp);
	return err;
}

static int put_version(int map, const struct version *v, struct st_err *e)
{
	return bpf_map_update_elem(map, &version_key, v, BPF_ANY)
		       ? err_sys(e, errno, "map", "st_version")
		       : 0;
}

static void make_version(struct version *v)
{
	*v = (struct version){ .layout = ST_LAYOUT, .flags = POLICY_KNOWN };
	strcpy(v->build, datapath_build());
}

int datapath_mix(struct datapath *dp, struct st_err *e)
{
	if (!strcmp(dp->version.build, datapath_build()))
		return 0;
	dp->version.flags &= POLICY_KNOWN;
	memset(dp->version.build, 0, sizeof(dp->version.build));
	return put_version(dp->map[MAP_st_version], &dp->version, e);
}

int datapath_knows(const struct datapath *dp, const struct policy *p, struct st_err *e)
{
	if (!(p->flags & ~dp->version.flags))
		return 0;
	err_hint(e, "'socktables upgrade' loads this build's programs");
	return err_set(e, EPROTO, "policy", NULL,
		       "the loaded programs, another build's, do not know all of it");
}

static int pin_maps(struct st_all *skel, struct st_err *e)
{
	char path[PATH_MAX];
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj) {
		if (bpf_map__is_internal(map))
			continue;
		snprintf(path, sizeof(path), ST_DIR_NEW "/%s", bpf_map__name(map));
		if (bpf_map__pin(map, path))
			return err_sys(e, errno, "pin", path);
	}
	return 0;
}

static int pin_programs(struct st_all *skel, struct st_err *e)
{
	struct bpf_program *prog;
	char path[PATH_MAX];

	bpf_object__for_each_program(prog, skel->obj) {
		snprintf(path, sizeof(path), ST_DIR_NEW "/%s", bpf_program__name(prog));
		if (bpf_program__pin(prog, path))
			return err_sys(e, errno, "pin", path);
	}
	return 0;
}

static int make_dir(const char *path, struct st_err *e)
{
	return mkdir(path, 0700) ? err_sys(e, errno, "directory", path) : 0;
}

static int jump_to(int map, int inbound, struct st_err *e)
{
	const __u32 here = 0;

	return bpf_map_update_elem(map, &here, &inbound, BPF_ANY)
		       ? err_sys(e, errno, "map", "st_jump")
		       : 0;
}

int datapath_jump(const struct datapath *dp, int inbound, struct st_err *e)
{
	return jump_to(dp->map[MAP_st_jump], inbound, e);
}

/* Loads into a directory aside and publishes by rename: nobody finds half a datapath. */
static int load_and_pin(struct st_err *e)
{
	struct version version;
	struct st_all *skel;
	int err;

	skel = datapath_load(NULL, e, &err);
	if (!skel)
		return err;
	make_version(&version);
	err = put_version(bpf_map__fd(skel->maps.st_version), &version, e);
	err = err
		      ?: jump_to(bpf_map__fd(skel->maps.st_jump),
				 bpf_program__fd(skel->progs.st_inbound), e);
	err = err ?: make_dir(ST_DIR_NEW, e);
	err = err ?: make_dir(ST_DIR_NEW "/pods", e);
	err = err ?: pin_maps(skel, e);
	err = err ?: pin_programs(skel, e);
	if (!err && rename(ST_DIR_NEW, ST_DIR))
		err = err_sys(e, errno, "directory", ST_DIR);
	if (err)
		bpffs_remove(ST_DIR_NEW, e);
	st_all__destroy(skel);
	return err;
}

int datapath_ensure(struct datapath *dp, struct st_err *e)
{
	struct st_err ignored = {};
	int err = datapath_open(dp, e);

	if (err && err != -ENOENT)
		return err;
	if (bpffs_remove(ST_DIR_NEW, e)) { /* of a load or an upgrade that was killed */
		datapath_close(dp);
		return -EIO;
	}
	if (!err)
		return 0;
	err = load_and_pin(e);
	err = err ?: datapath_open(dp, e);
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

static int keep(const struct st_all *skel, const char *name, int *ret, struct st_err *e)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(skel->obj, name);

	*ret = dup(bpf_program__fd(prog));
	return *ret < 0 ? err_sys(e, errno, "program", name) : 0;
}

int datapath_load_next(const struct datapath *dp, struct datapath *next, struct st_err *e)
{
	struct st_all *skel;
	int i, err;

	datapath_init(next);
	err = bpffs_remove(ST_DIR_NEW, e);
	skel = err ? NULL : datapath_load(dp, e, &err);
	if (!skel)
		return err;
	err = make_dir(ST_DIR_NEW, e) ?: pin_programs(skel, e);
	for (i = 0; i < NR_HOOKS && !err; i++)
		err = keep(skel, hooks[i].name, &next->prog[i], e);
	err = err ?: keep(skel, INBOUND_NAME, &next->inbound, e);
	st_all__destroy(skel);
	if (err) {
		bpffs_remove(ST_DIR_NEW, e);
		datapath_close(next);
	}
	return err;
}

static int publish(const char *name, struct st_err *e)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), ST_DIR_NEW "/%s", name);
	snprintf(to, sizeof(to), ST_DIR "/%s", name);
	return rename(from, to) ? err_sys(e, errno, "pin", to) : 0;
}

int datapath_publish_next(struct datapath *dp, struct st_err *e)
{
	int i, err = 0;

	for (i = 0; i < NR_HOOKS && !err; i++)
		err = publish(hooks[i].name, e);
	err = err ?: publish(SCAN_NAME, e);
	err = err ?: publish(INBOUND_NAME, e);
	err = err ?: bpffs_remove(ST_DIR_NEW, e);
	make_version(&dp->version);
	return err ?: put_version(dp->map[MAP_st_version], &dp->version, e);
}
