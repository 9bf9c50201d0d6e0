/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

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

/* Of one piece; a bucket with more entries than that has to fit in as a whole. */
#define PIECE 512

static int walk_pieces(const struct maps_hash *map, char *keys, char *values, __u32 room,
		       int (*each)(void *ctx, const void *key, const void *value), void *ctx,
		       struct st_err *e)
{
	char at[64], next[64];
	const void *prev = NULL;
	int err, last = 0, ret = 0;
	__u32 i, nr;

	while (!last && !ret) {
		nr = room;
		err = bpf_map_lookup_batch(map->fd, (void *)prev, next, keys, values, &nr, NULL);
		if (err && errno != ENOENT)
			return err_sys(e, errno, "map", map->name);
		last = !!err;
		for (i = 0; i < nr && !ret; i++)
			ret = each(ctx, keys + i * map->key_size, values + i * map->value_size);
		memcpy(at, next, sizeof(at));
		prev = at;
	}
	return ret;
}

int maps_walk(const struct maps_hash *map,
	      int (*each)(void *ctx, const void *key, const void *value), void *ctx,
	      struct st_err *e)
{
	char *keys, *values;
	int err;

	if (map->fd < 0)
		return 0; /* of a datapath that is incomplete */
	keys = calloc(PIECE, map->key_size);
	values = calloc(PIECE, map->value_size);
	err = keys && values ? walk_pieces(map, keys, values, PIECE, each, ctx, e)
			     : err_sys(e, ENOMEM, "map", map->name);
	free(keys);
	free(values);
	return err;
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

struct wanted {
	const char *name;
	__u64 *cookie;
	struct policy *policy;
};

static int has_name(void *ctx, const void *key, const void *value)
{
	const struct policy *p = value;
	struct wanted *w = ctx;

	if (strcmp(p->name, w->name))
		return 0;
	memcpy(w->cookie, key, sizeof(*w->cookie));
	*w->policy = *p;
	return 1;
}

int maps_find_policy(const struct datapath *dp, const char *name, __u64 *ret_cookie,
		     struct policy *ret, struct st_err *e)
{
	const struct maps_hash map = { dp->map[MAP_st_policy], "st_policy", sizeof(*ret_cookie),
				       sizeof(*ret) };
	struct wanted w = { name, ret_cookie, ret };
	int err = maps_walk(&map, has_name, &w, e);

	return err < 0 ? err : err ? 0 : -ENOENT;
}

static int has_id(void *ctx, const void *key, const void *value)
{
	const struct policy *p = value;
	const __u32 *id = ctx;

	(void)key;
	return p->id == *id || p->id == OTHER_ID(*id);
}

/* At random, so that what somebody left under the id of a policy that he deleted is nobody's. */
int maps_new_id(const struct datapath *dp, __u32 *ret, struct st_err *e)
{
	const struct maps_hash map = { dp->map[MAP_st_policy], "st_policy", sizeof(__u64),
				       sizeof(struct policy) };
	int err;

	do {
		if (getrandom(ret, sizeof(*ret), 0) != sizeof(*ret))
			return err_sys(e, errno, "random number", NULL);
		*ret &= ~1u;
		err = *ret ? maps_walk(&map, has_id, ret, e) : 1;
	} while (err > 0);
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
	struct policy put = *p;
	struct timespec now;

	/* What the programs learnt meanwhile, if P was read before, may not hold any more. */
	put.listens = put.wildcard = 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	put.made = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (bpf_map_update_elem(dp->map[MAP_st_policy], &cookie, &put, flags))
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

int maps_put_numbering(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	const struct numbering none = {};

	if (bpf_map_update_elem(dp->map[MAP_st_numbering], &cookie, &none, BPF_ANY))
		return maps_put_failed(e, errno, "st_numbering", ST_PODS_MAX);
	return 0;
}

int maps_start_numbers(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	int fd = dp->map[MAP_st_numbering];
	struct numbering g;

	if (bpf_map_lookup_elem(fd, &cookie, &g))
		return err_sys(e, errno, "map", "st_numbering");
	g.first = g.next;
	g.end = g.next + ST_NUMBERS_POD < ST_NUMBERS ? g.next + ST_NUMBERS_POD : ST_NUMBERS;
	if (bpf_map_update_elem(fd, &cookie, &g, BPF_EXIST))
		return err_sys(e, errno, "map", "st_numbering");
	return 0;
}

__u32 maps_count_numbers(const struct datapath *dp, __u64 cookie)
{
	struct numbering g;

	if (bpf_map_lookup_elem(dp->map[MAP_st_numbering], &cookie, &g))
		return 0;
	/* next goes on when there is none left */
	return (g.next < g.end ? g.next : g.end) - g.first;
}

static int drop_number(const struct datapath *dp, const struct number_key *k, struct st_err *e)
{
	struct dest_key dest = { .netns = k->netns };
	struct origin o;
	int err;

	if (bpf_map_lookup_elem(dp->map[MAP_st_number], k, &o))
		return errno == ENOENT ? 0 : err_sys(e, errno, "map", "st_number");
	dest.dst = o.dst;
	dest.src = o.src;
	dest.port = o.port;
	dest.via = o.via;
	dest.kind = o.kind;
	err = maps_delete(dp->map[MAP_st_dest], &dest, "st_dest", e);
	return err ?: maps_delete(dp->map[MAP_st_number], k, "st_number", e);
}

static int drop_numbers(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	int fd = dp->map[MAP_st_numbering], err = 0;
	struct number_key k = { .netns = cookie };
	struct numbering g;

	if (fd < 0)
		return 0;
	if (bpf_map_lookup_elem(fd, &cookie, &g))
		return errno == ENOENT ? 0 : err_sys(e, errno, "map", "st_numbering");
	for (k.number = g.first; k.number < g.next && k.number < g.end && !err; k.number++)
		err = drop_number(dp, &k, e);
	return err ?: maps_delete(fd, &cookie, "st_numbering", e);
}

int maps_drop_pod(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	struct listener_key k = { .netns = cookie };
	int err = 0;

	for (k.slot = 0; k.slot < ST_LISTENERS && !err; k.slot++)
		err = maps_delete(dp->map[MAP_st_listener], &k, "st_listener", e);
	err = err ?: maps_delete(dp->map[MAP_st_count], &cookie, "st_count", e);
	err = err ?: drop_numbers(dp, cookie, e);
	return err ?: maps_delete(dp->map[MAP_st_policy], &cookie, "st_policy", e);
}

/* Of each slot what is read is the cookie of its socket, which may have several. */
int maps_unite_listeners(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	struct listener_key k = { .netns = cookie };
	__u64 seen[ST_LISTENERS];
	int nr = 0, i, err = 0;

	for (k.slot = 0; k.slot < ST_LISTENERS && !err; k.slot++) {
		if (bpf_map_lookup_elem(dp->map[MAP_st_listener], &k, &seen[nr]))
			continue;
		for (i = 0; i < nr && seen[i] != seen[nr]; i++)
			;
		if (i == nr)
			nr++;
		else
			err = maps_delete(dp->map[MAP_st_listener], &k, "st_listener", e);
	}
	return err;
}

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
