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

/* All selected keys, one behind the other, in an array that the caller frees, and how many. What memory
 * is too little for is not among them: then *err.
 */
static size_t collect(int fd, const struct selection *s, char **ret, int *err)
{
	char key[64], at[64], *found = NULL, *more;
	const void *prev = s->behind;
	size_t nr = 0, room = 0;

	*err = 0;
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
			if (!more) {
				*err = -ENOMEM;
				break;
			}
			found = more;
		}
		memcpy(found + nr++ * s->key_size, key, s->key_size);
	}
	*ret = found;
	return nr;
}

/* Keys are collected first: deleting while walking would start the walk anew. */
static void drop(int fd, const struct selection *s)
{
	char *found;
	int err;
	size_t nr = collect(fd, s, &found, &err), i;

	for (i = 0; i < nr; i++)
		bpf_map_delete_elem(fd, found + i * s->key_size);
	free(found);
}

/* A trie is walked by subtrees, and a policy's prefixes are one, as its id comes first in their
 * keys. Of a subtree the leftmost leaf comes first: that of address ::, which is put there to begin
 * with. Otherwise a pod that leaves would cost the more the more prefixes other pods have.
 * It changes the map, so only under the exclusive lock.
 */
struct class_walk {
	struct class_key first;
	struct selection s;
	int is_ours; /* the leaf was not there before */
};

/* What a look-up of the first LEN bits of :: finds. A prefix that its surroundings make needless is not
 * there, so the address itself is if it finds something else.
 */
static struct class_value look_up(int fd, __u32 policy_id, __u32 len)
{
	const struct class_key k = { 32 + len, policy_id, {} };
	struct class_value v = {};

	if (bpf_map_lookup_elem(fd, &k, &v))
		return (struct class_value){};
	return v;
}

static void class_walk_begin(struct class_walk *w, int fd, __u32 policy_id)
{
	const struct class_value same = look_up(fd, policy_id, 128);
	const struct class_value around = look_up(fd, policy_id, 127);

	w->first = (struct class_key){ 32 + 128, policy_id, {} };
	w->s = (struct selection){ .key_size = sizeof(w->first),
				   .selects = of_policy,
				   .policy_at = offsetof(struct class_key, policy),
				   .policy_id = policy_id };
	if (bpf_map_update_elem(fd, &w->first, &same, BPF_ANY))
		return;
	w->s.behind = &w->first;
	w->is_ours = !memcmp(&same, &around, sizeof(same));
}

static void drop_classes(int fd, __u32 policy_id)
{
	struct class_walk w;

	class_walk_begin(&w, fd, policy_id);
	drop(fd, &w.s);
	if (w.s.behind)
		bpf_map_delete_elem(fd, &w.first);
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

static int read_class(int fd, const struct class_key *k, struct ruleset *rs)
{
	struct class_value v;

	if (bpf_map_lookup_elem(fd, k, &v))
		return -errno;
	rs->classes[rs->nr_classes++] = (struct class_entry){
		.prefix = { k->addr, k->prefixlen - 32 }, .class = v.class, .src = v.src
	};
	return 0;
}

/* The leaf of address :: is not behind itself. */
static int read_classes(int fd, struct class_walk *w, struct ruleset *rs)
{
	char *found;
	int err, there = w->s.behind && !w->is_ours;
	size_t nr = collect(fd, &w->s, &found, &err), i;
	const struct class_key *k = (void *)found;

	rs->classes = calloc(nr + 1, sizeof(*rs->classes));
	if (!rs->classes)
		err = -ENOMEM;
	if (!err && there)
		err = read_class(fd, &w->first, rs);
	for (i = 0; !err && i < nr; i++)
		err = read_class(fd, &k[i], rs);
	free(found);
	return err;
}

static int read_ids(int fd, __u32 policy_id, struct ruleset *rs)
{
	const struct selection s = { .key_size = sizeof(struct id_key),
				     .selects = of_policy,
				     .policy_at = offsetof(struct id_key, policy),
				     .policy_id = policy_id };
	char *found;
	int err;
	size_t nr = collect(fd, &s, &found, &err), i;
	const struct id_key *k = (void *)found;

	rs->ids = calloc(nr + 1, sizeof(*rs->ids));
	if (!rs->ids)
		err = -ENOMEM;
	for (i = 0; !err && i < nr; i++) {
		rs->ids[i] = (struct id_entry){ k[i].kind, k[i].value, 0 };
		err = bpf_map_lookup_elem(fd, &k[i], &rs->ids[i].class) ? -errno : 0;
		rs->nr_ids++;
	}
	free(found);
	return err;
}

int maps_read_rules(const struct datapath *dp, const struct policy *p, int exclusive,
		    struct ruleset *ret)
{
	int fd = dp->map[MAP_st_class], err;
	struct class_walk w = { .s = { .key_size = sizeof(w.first),
				       .selects = of_policy,
				       .policy_at = offsetof(struct class_key, policy),
				       .policy_id = p->id } };

	*ret = (struct ruleset){ .policy = *p };
	if (exclusive)
		class_walk_begin(&w, fd, p->id);
	err = read_classes(fd, &w, ret);
	if (w.is_ours)
		bpf_map_delete_elem(fd, &w.first);
	return err ?: read_ids(dp->map[MAP_st_ids], p->id, ret);
}

static int read_id(const struct datapath *dp, __u32 kind, __u32 value, struct ruleset *rs)
{
	const struct id_key k = { rs->policy.id, kind, value };
	struct id_entry *more;
	__u32 class;

	if (bpf_map_lookup_elem(dp->map[MAP_st_ids], &k, &class))
		return -errno;
	more = realloc(rs->ids, (rs->nr_ids + 1) * sizeof(*rs->ids));
	if (!more)
		return -ENOMEM;
	rs->ids = more;
	rs->ids[rs->nr_ids++] = (struct id_entry){ kind, value, class };
	return 0;
}

int maps_read_notes(const struct datapath *dp, const struct policy *p, struct ruleset *ret)
{
	__u32 value = 0;
	int err;

	*ret = (struct ruleset){ .policy = *p };
	do
		err = read_id(dp, ID_IFACE_NAME, value++, ret);
	while (!err);
	if (err == -ENOENT)
		err = read_id(dp, ID_FACTS, 0, ret);
	return err ?: read_id(dp, ID_FACTS, 1, ret);
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
