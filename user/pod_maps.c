/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* The map's first key, or the one behind PREV. 1, 0 at the end, or -errno with e filled. */
static int next_key(int fd, const void *prev, void *key, const char *map, struct st_err *e)
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

	while ((err = next_key(dp->map[MAP_st_policy], prev, &key, "st_policy", e)) > 0) {
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

/* MAX: what there is room for, as the kernel's words for a map that is full differ by its type. */
static int put_failed(struct st_err *e, int code, const char *map, int max)
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
		return put_failed(e, errno, "st_policy", ST_PODS_MAX);
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
		err = put_failed(e, errno, "st_count", ST_PODS_MAX);
	free(zero);
	return err;
}

int maps_put_rules(const struct datapath *dp, const struct ruleset *rs, struct st_err *e)
{
	size_t i;

	for (i = 0; i < rs->nr_classes; i++) {
		const struct class_entry *c = &rs->classes[i];
		const struct class_key k = { 32 + c->prefix.len, rs->policy.id, c->prefix.addr };

		const struct class_value v = { .class = c->class, .src = c->src };

		if (bpf_map_update_elem(dp->map[MAP_st_class], &k, &v, BPF_ANY))
			return put_failed(e, errno, "st_class", ST_CLASSES_MAX);
	}
	for (i = 0; i < rs->nr_ids; i++) {
		const struct id_entry *id = &rs->ids[i];
		const struct id_key k = { rs->policy.id, id->kind, id->value };

		if (bpf_map_update_elem(dp->map[MAP_st_ids], &k, &id->class, BPF_ANY))
			return put_failed(e, errno, "st_ids", ST_IDS_MAX);
	}
	return 0;
}

/* Which keys of a map are to go. */
struct selection {
	const char *map;
	size_t key_size;
	int (*selects)(const struct selection *s, const void *key);
	const void
		*behind;  /* they are together, this one before them all; NULL: they are anywhere */
	size_t policy_at; /* where the policy's id is in a key */
	__u32 policy_id;
	__u32 *ids; /* of the policies that there are, sorted */
	size_t nr_ids;
	const struct datapath *dp;
};

static __u32 policy_of(const struct selection *s, const void *key)
{
	__u32 id;

	memcpy(&id, (const char *)key + s->policy_at, sizeof(id));
	return id;
}

static int of_policy(const struct selection *s, const void *key)
{
	return policy_of(s, key) == s->policy_id;
}

/* What next_key() finds of a selection, in an array. */
static int collect(int fd, const struct selection *s, char **found, size_t *nr, struct st_err *e)
{
	char key[64], at[64], *more;
	const void *prev = s->behind;
	size_t room = 0;
	int err;

	while ((err = next_key(fd, prev, key, s->map, e)) > 0) {
		memcpy(at, key, s->key_size);
		prev = at;
		if (!s->selects(s, key)) {
			if (s->behind)
				return 0;
			continue;
		}
		if (*nr == room) {
			room = room ? 2 * room : 64;
			more = realloc(*found, room * s->key_size);
			if (!more)
				return err_sys(e, ENOMEM, "map", s->map);
			*found = more;
		}
		memcpy(*found + (*nr)++ * s->key_size, key, s->key_size);
	}
	return err;
}

static int delete (int fd, const void *key, const char *map, struct st_err *e)
{
	if (fd < 0 || !bpf_map_delete_elem(fd, key) || errno == ENOENT)
		return 0;
	return err_sys(e, errno, "map", map);
}

/* Keys are collected first: deleting while walking would start the walk anew. */
static int drop(int fd, const struct selection *s, struct st_err *e)
{
	char *found = NULL;
	size_t nr = 0, i;
	int err = collect(fd, s, &found, &nr, e);

	for (i = 0; i < nr && !err; i++)
		err = delete (fd, found + i * s->key_size, s->map, e);
	free(found);
	return err;
}

/* A trie is walked by subtrees, and a policy's prefixes are one, as its id comes first in their
 * keys. Of a subtree the leftmost leaf comes first: that of address ::, which is put there to begin
 * with. Otherwise a pod that leaves would cost the more the more prefixes other pods have.
 */
static int drop_classes(int fd, __u32 policy_id, struct st_err *e)
{
	const struct class_key first = { 32 + 128, policy_id, {} };
	const struct class_value nothing = {};
	struct selection s = { .map = "st_class",
			       .key_size = sizeof(first),
			       .selects = of_policy,
			       .policy_at = offsetof(struct class_key, policy),
			       .policy_id = policy_id };
	int err;

	if (fd >= 0 && !bpf_map_update_elem(fd, &first, &nothing, BPF_ANY))
		s.behind = &first;
	err = drop(fd, &s, e);
	if (s.behind)
		err = delete (fd, &first, s.map, e) ?: err;
	return err;
}

int maps_drop_rules(const struct datapath *dp, __u32 policy_id, struct st_err *e)
{
	const struct selection ids = { .map = "st_ids",
				       .key_size = sizeof(struct id_key),
				       .selects = of_policy,
				       .policy_at = offsetof(struct id_key, policy),
				       .policy_id = policy_id };
	int err = drop_classes(dp->map[MAP_st_class], policy_id, e);

	return err ?: drop(dp->map[MAP_st_ids], &ids, e);
}

static int of_no_pod(const struct selection *s, const void *key)
{
	struct st_err ignored = {};
	struct policy p;
	__u64 cookie;

	memcpy(&cookie, key, sizeof(cookie));
	return maps_get_policy(s->dp, cookie, &p, &ignored) == -ENOENT;
}

static int compare_policy_ids(const void *a, const void *b)
{
	const __u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static int of_no_policy(const struct selection *s, const void *key)
{
	const __u32 id = policy_of(s, key);

	return !bsearch(&id, s->ids, s->nr_ids, sizeof(id), compare_policy_ids);
}

static int list_policies(struct selection *s, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err;

	s->ids = calloc(2 * ST_PODS_MAX, sizeof(*s->ids));
	if (!s->ids)
		return err_sys(e, ENOMEM, "map", "st_policy");
	err = maps_next_policy(s->dp, NULL, &cookie, &p, e);
	while (!err && s->nr_ids < 2 * ST_PODS_MAX) {
		s->ids[s->nr_ids++] = p.id;
		s->ids[s->nr_ids++] = p.other_id;
		err = maps_next_policy(s->dp, &cookie, &cookie, &p, e);
	}
	qsort(s->ids, s->nr_ids, sizeof(*s->ids), compare_policy_ids);
	return err == -ENOENT ? 0 : err;
}

int maps_collect_garbage(const struct datapath *dp, struct st_err *e)
{
	struct selection classes = { .map = "st_class",
				     .dp = dp,
				     .selects = of_no_policy,
				     .key_size = sizeof(struct class_key),
				     .policy_at = offsetof(struct class_key, policy) };
	struct selection ids = { .map = "st_ids",
				 .dp = dp,
				 .selects = of_no_policy,
				 .key_size = sizeof(struct id_key),
				 .policy_at = offsetof(struct id_key, policy) };
	struct selection pods = { .dp = dp, .selects = of_no_pod, .key_size = sizeof(__u64) };
	int err = list_policies(&classes, e);

	ids.ids = classes.ids;
	ids.nr_ids = classes.nr_ids;
	err = err ?: drop(dp->map[MAP_st_class], &classes, e);
	err = err ?: drop(dp->map[MAP_st_ids], &ids, e);
	free(classes.ids);
	pods.map = "st_count";
	err = err ?: drop(dp->map[MAP_st_count], &pods, e);
	pods.map = "st_listener";
	pods.key_size = sizeof(struct listener_key); /* begins with the netns cookie */
	return err ?: drop(dp->map[MAP_st_listener], &pods, e);
}

int maps_drop_pod(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	struct listener_key k = { .netns = cookie };
	int err = 0;

	for (k.slot = 0; k.slot < ST_LISTENERS && !err; k.slot++)
		err = delete (dp->map[MAP_st_listener], &k, "st_listener", e);
	err = err ?: delete (dp->map[MAP_st_count], &cookie, "st_count", e);
	return err ?: delete (dp->map[MAP_st_policy], &cookie, "st_policy", e);
}

int maps_count_listeners(const struct datapath *dp, __u64 cookie)
{
	struct listener_key k = { .netns = cookie };
	__u64 socket_cookie;
	int nr = 0;

	for (k.slot = 0; k.slot < ST_LISTENERS; k.slot++)
		nr += !bpf_map_lookup_elem(dp->map[MAP_st_listener], &k, &socket_cookie);
	return nr;
}
