/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

int maps_find_policy(const struct datapath *dp, const char *name, __u64 *ret_cookie,
		     struct policy *ret)
{
	int fd = dp->map[MAP_st_policy];
	__u64 key, *prev = NULL, at;
	struct policy p;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		if (!bpf_map_lookup_elem(fd, &key, &p) && !strcmp(p.name, name)) {
			*ret_cookie = key;
			*ret = p;
			return 0;
		}
		at = key;
		prev = &at;
	}
	return -ENOENT;
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

/* Keys are collected first: deleting while walking would start the walk anew. */
static void drop(int fd, const struct selection *s)
{
	char key[64], at[64], *found = NULL, *more;
	const void *prev = s->behind;
	size_t nr = 0, room = 0, i;

	while (!bpf_map_get_next_key(fd, prev, key)) {
		memcpy(at, key, s->key_size);
		prev = at;
		if (!s->selects(s, key)) {
			if (s->behind)
				break;
			continue;
		}
		if (nr == room) {
			room = room ? 2 * room : 64;
			more = realloc(found, room * s->key_size);
			if (!more)
				break;
			found = more;
		}
		memcpy(found + nr++ * s->key_size, key, s->key_size);
	}
	for (i = 0; i < nr; i++)
		bpf_map_delete_elem(fd, found + i * s->key_size);
	free(found);
}

/* A trie is walked by subtrees, and a policy's prefixes are one, as its id comes first in their
 * keys. Of a subtree the leftmost leaf comes first: that of address ::, which is put there to begin
 * with. Otherwise a pod that leaves would cost the more the more prefixes other pods have.
 */
static void drop_classes(int fd, __u32 policy_id)
{
	const struct class_key first = { 32 + 128, policy_id, {} };
	const struct class_value nothing = {};
	struct selection s = { .key_size = sizeof(first),
			       .selects = of_policy,
			       .policy_at = offsetof(struct class_key, policy),
			       .policy_id = policy_id };

	if (!bpf_map_update_elem(fd, &first, &nothing, BPF_ANY))
		s.behind = &first;
	drop(fd, &s);
	if (s.behind)
		bpf_map_delete_elem(fd, &first);
}

void maps_drop_rules(const struct datapath *dp, __u32 policy_id)
{
	const struct selection ids = { .key_size = sizeof(struct id_key),
				       .selects = of_policy,
				       .policy_at = offsetof(struct id_key, policy),
				       .policy_id = policy_id };

	drop_classes(dp->map[MAP_st_class], policy_id);
	drop(dp->map[MAP_st_ids], &ids);
}

static int of_no_pod(const struct selection *s, const void *key)
{
	struct policy p;

	return bpf_map_lookup_elem(s->dp->map[MAP_st_policy], key, &p) != 0;
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

static int list_policies(struct selection *s)
{
	int fd = s->dp->map[MAP_st_policy];
	__u64 cookie, at, *prev = NULL;
	struct policy p;

	s->ids = calloc(2 * ST_PODS_MAX, sizeof(*s->ids));
	if (!s->ids)
		return -ENOMEM;
	while (s->nr_ids < 2 * ST_PODS_MAX && !bpf_map_get_next_key(fd, prev, &cookie)) {
		if (!bpf_map_lookup_elem(fd, &cookie, &p)) {
			s->ids[s->nr_ids++] = p.id;
			s->ids[s->nr_ids++] = p.other_id;
		}
		at = cookie;
		prev = &at;
	}
	qsort(s->ids, s->nr_ids, sizeof(*s->ids), compare_policy_ids);
	return 0;
}

void maps_collect_garbage(const struct datapath *dp)
{
	struct selection s = { .dp = dp, .selects = of_no_policy };

	if (!list_policies(&s)) {
		s.key_size = sizeof(struct class_key);
		s.policy_at = offsetof(struct class_key, policy);
		drop(dp->map[MAP_st_class], &s);
		s.key_size = sizeof(struct id_key);
		s.policy_at = offsetof(struct id_key, policy);
		drop(dp->map[MAP_st_ids], &s);
		free(s.ids);
	}
	s.selects = of_no_pod;
	s.key_size = sizeof(__u64);
	drop(dp->map[MAP_st_count], &s);
	s.key_size = sizeof(struct listener_key); /* begins with the netns cookie */
	drop(dp->map[MAP_st_listener], &s);
}

void maps_drop_pod(const struct datapath *dp, __u64 cookie)
{
	struct listener_key k = { .netns = cookie };

	for (k.slot = 0; k.slot < ST_LISTENERS; k.slot++)
		bpf_map_delete_elem(dp->map[MAP_st_listener], &k);
	bpf_map_delete_elem(dp->map[MAP_st_count], &cookie);
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
