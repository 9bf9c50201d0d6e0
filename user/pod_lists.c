/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lists of policies, st_class and st_ids: put there, read back, taken away. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "pod_maps.h"

/* What tells that there are lists comes first: see maps_has_rules(). */
int maps_put_rules(const struct datapath *dp, const struct ruleset *rs, struct st_err *e)
{
	size_t i;

	for (i = 0; i < rs->nr_ids; i++) {
		const struct id_entry *id = &rs->ids[i];
		const struct id_key k = { rs->policy.id, id->kind, id->value };

		if (bpf_map_update_elem(dp->map[MAP_st_ids], &k, &id->class, BPF_ANY))
			return maps_put_failed(e, errno, "st_ids", ST_IDS_MAX);
	}
	for (i = 0; i < rs->nr_classes; i++) {
		const struct class_entry *c = &rs->classes[i];
		const struct class_key k = { 32 + c->prefix.len, rs->policy.id, c->prefix.addr };

		const struct class_value v = { .class = c->class, .src = c->src };

		if (bpf_map_update_elem(dp->map[MAP_st_class], &k, &v, BPF_ANY))
			return maps_put_failed(e, errno, "st_class", ST_CLASSES_MAX);
	}
	return 0;
}

/* Which keys of a map are to go. */
struct selection {
	const char *map;
	size_t key_size;
	size_t value_size; /* of a hash; 0: of another map */
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

/* What a walk finds of a selection. */
struct found {
	const struct selection *s;
	char *keys;
	size_t nr, room;
};

static int add_found(struct found *f, const void *key, struct st_err *e)
{
	const size_t size = f->s->key_size;
	char *more;

	if (!f->keys || f->nr == f->room) {
		f->room = f->room ? 2 * f->room : 64;
		more = realloc(f->keys, f->room * size);
		if (!more)
			return err_sys(e, ENOMEM, "map", f->s->map);
		f->keys = more;
	}
	memcpy(f->keys + f->nr++ * size, key, size);
	return 0;
}

static int on_entry(void *ctx, const void *key, const void *value)
{
	struct st_err ignored = {};
	struct found *f = ctx;

	(void)value;
	return f->s->selects(f->s, key) ? add_found(f, key, &ignored) : 0;
}

/* Keys in an array, to be freed in any case. */
static int collect(int fd, struct found *f, struct st_err *e)
{
	const struct selection *s = f->s;
	const struct maps_hash hash = { fd, s->map, s->key_size, s->value_size };
	const void *prev = s->behind;
	char key[64], at[64];
	int err;

	if (s->value_size) {
		err = maps_walk(&hash, on_entry, f, e);
		return err == -ENOMEM ? err_sys(e, ENOMEM, "map", s->map) : err;
	}
	while ((err = maps_next_key(fd, prev, key, s->map, e)) > 0) {
		memcpy(at, key, s->key_size);
		prev = at;
		if (s->selects(s, key))
			err = add_found(f, key, e);
		else if (s->behind)
			return 0;
		if (err < 0)
			return err;
	}
	return err;
}

/* Keys are collected first: deleting while walking would start the walk anew. */
static int drop(int fd, const struct selection *s, struct st_err *e)
{
	struct found f = { .s = s };
	int err = collect(fd, &f, e);
	size_t i;

	for (i = 0; i < f.nr && !err; i++)
		err = maps_delete(fd, f.keys + i * s->key_size, s->map, e);
	free(f.keys);
	return err;
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

static struct selection classes_of(__u32 policy_id)
{
	return (struct selection){ .map = "st_class",
				   .key_size = sizeof(struct class_key),
				   .selects = of_policy,
				   .policy_at = offsetof(struct class_key, policy),
				   .policy_id = policy_id };
}

static struct selection ids_of(__u32 policy_id)
{
	return (struct selection){ .map = "st_ids",
				   .key_size = sizeof(struct id_key),
				   .value_size = sizeof(__u32),
				   .selects = of_policy,
				   .policy_at = offsetof(struct id_key, policy),
				   .policy_id = policy_id };
}

static void class_walk_begin(struct class_walk *w, int fd, __u32 policy_id)
{
	const struct class_value same = look_up(fd, policy_id, 128);
	const struct class_value around = look_up(fd, policy_id, 127);

	*w = (struct class_walk){ .first = { 32 + 128, policy_id, {} },
				  .s = classes_of(policy_id) };
	if (fd < 0 || bpf_map_update_elem(fd, &w->first, &same, BPF_ANY))
		return;
	w->s.behind = &w->first;
	w->is_ours = !memcmp(&same, &around, sizeof(same));
}

static int drop_classes(int fd, __u32 policy_id, struct st_err *e)
{
	struct class_walk w;
	int err;

	class_walk_begin(&w, fd, policy_id);
	err = drop(fd, &w.s, e);
	if (w.s.behind)
		err = maps_delete(fd, &w.first, w.s.map, e) ?: err;
	return err;
}

int maps_drop_rules(const struct datapath *dp, __u32 policy_id, struct st_err *e)
{
	const struct selection ids = ids_of(policy_id);
	int err = drop_classes(dp->map[MAP_st_class], policy_id, e);

	return err ?: drop(dp->map[MAP_st_ids], &ids, e);
}

static int is_of(void *ctx, const void *key, const void *value)
{
	(void)value;
	return of_policy(ctx, key);
}

int maps_has_rules(const struct datapath *dp, __u32 policy_id, struct st_err *e)
{
	struct selection s = ids_of(policy_id);
	const struct maps_hash hash = { dp->map[MAP_st_ids], s.map, s.key_size, s.value_size };

	return maps_walk(&hash, is_of, &s, e);
}

static int read_class(int fd, const struct class_key *k, struct ruleset *rs, struct st_err *e)
{
	struct class_value v;

	if (bpf_map_lookup_elem(fd, k, &v))
		return err_sys(e, errno, "map", "st_class");
	rs->classes[rs->nr_classes++] = (struct class_entry){
		.prefix = { k->addr, k->prefixlen - 32 }, .class = v.class, .src = v.src
	};
	return 0;
}

/* The leaf of address :: is not behind itself. */
static int read_classes(int fd, struct class_walk *w, struct ruleset *rs, struct st_err *e)
{
	int there = w->s.behind && !w->is_ours, err;
	struct found f = { .s = &w->s };
	const struct class_key *k;
	size_t i;

	err = collect(fd, &f, e);
	k = (void *)f.keys;
	rs->classes = calloc(f.nr + 1, sizeof(*rs->classes));
	if (!rs->classes) {
		free(f.keys);
		err_sys(e, ENOMEM, "map", "st_class");
		return -ENOMEM;
	}
	if (!err && there)
		err = read_class(fd, &w->first, rs, e);
	for (i = 0; !err && i < f.nr; i++)
		err = read_class(fd, &k[i], rs, e);
	free(f.keys);
	return err;
}

static int read_ids(int fd, __u32 policy_id, struct ruleset *rs, struct st_err *e)
{
	const struct selection s = ids_of(policy_id);
	struct found f = { .s = &s };
	const struct id_key *k;
	size_t i;
	int err;

	err = collect(fd, &f, e);
	k = (void *)f.keys;
	rs->ids = calloc(f.nr + 1, sizeof(*rs->ids));
	if (!rs->ids) {
		free(f.keys);
		err_sys(e, ENOMEM, "map", "st_ids");
		return -ENOMEM;
	}
	for (i = 0; !err && i < f.nr; i++) {
		rs->ids[i] = (struct id_entry){ k[i].kind, k[i].value, 0 };
		if (bpf_map_lookup_elem(fd, &k[i], &rs->ids[i].class))
			err = err_sys(e, errno, "map", "st_ids");
		rs->nr_ids++;
	}
	free(f.keys);
	return err;
}

int maps_read_rules(const struct datapath *dp, const struct policy *p, int exclusive,
		    struct ruleset *ret, struct st_err *e)
{
	struct class_walk w = { .s = classes_of(p->id) };
	int fd = dp->map[MAP_st_class], err;

	*ret = (struct ruleset){ .policy = *p };
	if (exclusive)
		class_walk_begin(&w, fd, p->id);
	err = read_classes(fd, &w, ret, e);
	if (w.is_ours)
		err = maps_delete(fd, &w.first, w.s.map, e) ?: err;
	return err ?: read_ids(dp->map[MAP_st_ids], p->id, ret, e);
}

/* -ENOENT (e untouched) if it is not there. */
static int read_id(const struct datapath *dp, __u32 kind, __u32 value, struct ruleset *rs,
		   struct st_err *e)
{
	const struct id_key k = { rs->policy.id, kind, value };
	struct id_entry *more;
	__u32 class;

	if (bpf_map_lookup_elem(dp->map[MAP_st_ids], &k, &class))
		return errno == ENOENT ? -ENOENT : err_sys(e, errno, "map", "st_ids");
	more = realloc(rs->ids, (rs->nr_ids + 1) * sizeof(*rs->ids));
	if (!more)
		return err_sys(e, ENOMEM, "map", "st_ids");
	rs->ids = more;
	rs->ids[rs->nr_ids++] = (struct id_entry){ kind, value, class };
	return 0;
}

int maps_read_notes(const struct datapath *dp, const struct policy *p, struct ruleset *ret,
		    struct st_err *e)
{
	__u32 value = 0;
	int err;

	*ret = (struct ruleset){ .policy = *p };
	do
		err = read_id(dp, ID_IFACE_NAME, value++, ret, e);
	while (!err);
	if (err == -ENOENT)
		err = read_id(dp, ID_FACTS, 0, ret, e);
	return err ?: read_id(dp, ID_FACTS, 1, ret, e);
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

	s->ids = calloc(ST_PODS_MAX, sizeof(*s->ids));
	if (!s->ids)
		return err_sys(e, ENOMEM, "map", "st_policy");
	err = maps_next_policy(s->dp, NULL, &cookie, &p, e);
	while (!err && s->nr_ids < ST_PODS_MAX) {
		s->ids[s->nr_ids++] = p.id;
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
				 .value_size = sizeof(__u32),
				 .policy_at = offsetof(struct id_key, policy) };
	/* Keys that begin with a netns cookie. */
	static const struct {
		enum map_id map;
		size_t key_size;
	} by_netns[] = {
		{ MAP_st_count, sizeof(__u64) },
		{ MAP_st_listener, sizeof(struct listener_key) },
		{ MAP_st_dest, sizeof(struct dest_key) },
		{ MAP_st_number, sizeof(struct number_key) },
		{ MAP_st_numbering, sizeof(__u64) },
	};
	struct selection pods = { .dp = dp, .selects = of_no_pod };
	size_t i;
	int err = list_policies(&classes, e);

	ids.ids = classes.ids;
	ids.nr_ids = classes.nr_ids;
	err = err ?: drop(dp->map[MAP_st_class], &classes, e);
	err = err ?: drop(dp->map[MAP_st_ids], &ids, e);
	free(classes.ids);
	for (i = 0; i < sizeof(by_netns) / sizeof(*by_netns); i++) {
		pods.map = map_names[by_netns[i].map];
		pods.key_size = by_netns[i].key_size;
		err = err ?: drop(dp->map[by_netns[i].map], &pods, e);
	}
	return err;
}
