/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

int maps_next_key(int fd, const void *prev, void *key, const char *map, struct st_err *e)
{
	if (fd < 0)
		return 0; /* of a datapath that is incomplete */
	if (!bpf_map_get_next_key(fd, prev, key))
		return 1;
	return errno == ENOENT ? 0 : err_sys(e, errno, "map", map);
}

int maps_get_policy(const struct datapath *dp, __u64 cookie, struct policy *ret, struct st_err *e)
{
	int fd = dp->map[MAP_st_policy];

	if (fd < 0)
		return -ENOENT;
	if (!bpf_map_lookup_elem(fd, &cookie, ret))
		return 0;
	return errno == ENOENT ? -ENOENT : err_sys(e, errno, "map", "st_policy");
}

int maps_next_policy(const struct datapath *dp, const __u64 *prev, __u64 *ret_cookie,
		     struct policy *ret, struct st_err *e)
{
	__u64 at = prev ? *prev : 0, key;
	int err;

	while ((err = maps_next_key(dp->map[MAP_st_policy], prev, &key, "st_policy", e)) > 0) {
		err = maps_get_policy(dp, key, ret, e);
		if (err != -ENOENT) {
			*ret_cookie = key;
			return err;
		}
		at = key;
		prev = &at;
	}
	return err ?: -ENOENT;
}

int maps_find_policy(const struct datapath *dp, const char *name, __u64 *ret_cookie,
		     struct policy *ret, struct st_err *e)
{
	int err = maps_next_policy(dp, NULL, ret_cookie, ret, e);

	while (!err && strcmp(ret->name, name))
		err = maps_next_policy(dp, ret_cookie, ret_cookie, ret, e);
	return err;
}

int maps_put_failed(struct st_err *e, int code, const char *map, int max)
{
	if (code == E2BIG || code == ENOSPC)
		return err_set(e, code, "map", map, "full: there is room for %d entries on a node",
			       max);
	return err_sys(e, code, "map", map);
}

int maps_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p, __u64 flags,
		    struct st_err *e)
{
	if (bpf_map_update_elem(dp->map[MAP_st_policy], &cookie, p, flags))
		return maps_put_failed(e, errno, "st_policy", ST_PODS_MAX);
	return 0;
}

int maps_put_counters(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	int cpus = libbpf_num_possible_cpus();
	struct counters *zero = cpus > 0 ? calloc(cpus, sizeof(*zero)) : NULL;
	int err = 0;

	if (!zero)
		return err_sys(e, ENOMEM, "map", "st_count");
	if (bpf_map_update_elem(dp->map[MAP_st_count], &cookie, zero, BPF_ANY))
		err = maps_put_failed(e, errno, "st_count", ST_PODS_MAX);
	free(zero);
	return err;
}

int maps_delete(int fd, const void *key, const char *map, struct st_err *e)
{
	if (fd < 0 || !bpf_map_delete_elem(fd, key) || errno == ENOENT)
		return 0;
	return err_sys(e, errno, "map", map);
}

int maps_drop_pod(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	struct listener_key k = { .netns = cookie };
	int err = 0;

	for (k.slot = 0; k.slot < ST_LISTENERS && !err; k.slot++)
		err = maps_delete(dp->map[MAP_st_listener], &k, "st_listener", e);
	err = err ?: maps_delete(dp->map[MAP_st_count], &cookie, "st_count", e);
	return err ?: maps_delete(dp->map[MAP_st_policy], &cookie, "st_policy", e);
}

/* Of each slot what is read is the cookie of its socket, which may have several. */
int maps_count_listeners(const struct datapath *dp, __u64 cookie)
{
	struct listener_key k = { .netns = cookie };
	__u64 seen[ST_LISTENERS];
	int nr = 0, i;

	for (k.slot = 0; k.slot < ST_LISTENERS; k.slot++) {
		if (bpf_map_lookup_elem(dp->map[MAP_st_listener], &k, &seen[nr]))
			continue;
		for (i = 0; i < nr && seen[i] != seen[nr]; i++)
			;
		nr += i == nr;
	}
	return nr;
}
