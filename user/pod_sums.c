/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "pod_maps.h"
#include "ruleset_impl.h"

#define X_NAME(id, name, kind, bit) [LIST_##id] = (name),
const char *const list_names[NR_LISTS] = { ST_LISTS(X_NAME) };

#define X_WHERE(id, name, kind, bit) [LIST_##id] = { kind, bit },
static const struct {
	__u32 kind, bit;
} where[NR_LISTS] = { ST_LISTS(X_WHERE) };

static int compare_ids(const void *a, const void *b)
{
	const __u32 x = ((const struct policy_sum *)a)->policy_id;
	const __u32 y = ((const struct policy_sum *)b)->policy_id;

	return x < y ? -1 : x > y;
}

static struct policy_sum *find(const struct policy_sums *sums, __u32 policy_id)
{
	const struct policy_sum key = { .policy_id = policy_id };

	return bsearch(&key, sums->v, sums->nr, sizeof(key), compare_ids);
}

const struct policy_sum *pod_sums_of(const struct policy_sums *sums, __u32 policy_id)
{
	return find(sums, policy_id);
}

static int list_policies(const struct datapath *dp, struct policy_sums *ret, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err;

	ret->v = calloc(ST_PODS_MAX, sizeof(*ret->v));
	if (!ret->v)
		return err_sys(e, ENOMEM, "lists of policies", NULL);
	err = maps_next_policy(dp, NULL, &cookie, &p, e);
	while (!err && ret->nr < ST_PODS_MAX) {
		ret->v[ret->nr++].policy_id = p.id;
		err = maps_next_policy(dp, &cookie, &cookie, &p, e);
	}
	qsort(ret->v, ret->nr, sizeof(*ret->v), compare_ids);
	return err == -ENOENT ? 0 : err;
}

static void add_number(struct list_sum *s, __u32 value)
{
	unsigned int n = s->nr < SUM_FIRST ? s->nr : SUM_FIRST, i;

	s->nr++;
	if (n == SUM_FIRST && value > s->numbers[n - 1])
		return;
	for (i = n == SUM_FIRST ? n - 1 : n; i && s->numbers[i - 1] > value; i--)
		s->numbers[i] = s->numbers[i - 1];
	s->numbers[i] = value;
}

static void add_cidr(struct list_sum *s, const struct prefix *p)
{
	unsigned int n = s->nr < SUM_FIRST ? s->nr : SUM_FIRST, i;

	s->nr++;
	if (n == SUM_FIRST && prefix_compare(p, &s->cidrs[n - 1]) > 0)
		return;
	for (i = n == SUM_FIRST ? n - 1 : n; i && prefix_compare(&s->cidrs[i - 1], p) > 0; i--)
		s->cidrs[i] = s->cidrs[i - 1];
	s->cidrs[i] = *p;
}

/* What a look-up in the trie finds: the bits of the longest prefix that covers these bits. */
static __u32 class_at(int fd, const struct class_key *k)
{
	struct class_value v;

	return bpf_map_lookup_elem(fd, k, &v) ? 0 : v.class;
}

/* A prefix has the bits of those around it, too: it begins a list's CIDR if they have it not. */
static void add_class(int fd, const struct class_key *k, struct policy_sum *sum)
{
	const struct prefix p = { k->addr, k->prefixlen - 32 };
	__u32 bits = class_at(fd, k), around = 0;
	struct class_key wider = *k;
	int i;

	if (p.len) {
		wider.prefixlen--;
		around = class_at(fd, &wider);
	}
	for (i = 0; i < NR_LISTS; i++)
		if (!where[i].kind && where[i].bit & bits & ~around)
			add_cidr(&sum->lists[i], &p);
}

static void add_iface(struct policy_sum *sum, __u32 value, __u32 word)
{
	const __u32 n = value / IFACE_WORDS;

	if (n >= sum->nr_ifaces)
		sum->nr_ifaces = n + 1;
	if (n < SUM_IFACES)
		memcpy(sum->ifaces[n] + value % IFACE_WORDS * sizeof(word), &word, sizeof(word));
}

static void add_id(const struct id_key *k, __u32 class, struct policy_sum *sum)
{
	int i;

	if (k->kind == ID_IFACE_NAME)
		add_iface(sum, k->value, class);
	for (i = 0; i < NR_LISTS; i++)
		if (where[i].kind == k->kind && where[i].bit & class)
			add_number(&sum->lists[i], k->value);
}

static int walk_classes(int fd, const struct policy_sums *sums, struct st_err *e)
{
	struct class_key k, at;
	struct policy_sum *sum;
	const void *prev = NULL;
	int err;

	while ((err = maps_next_key(fd, prev, &k, "st_class", e)) > 0) {
		at = k;
		prev = &at;
		sum = find(sums, k.policy);
		if (sum)
			add_class(fd, &k, sum);
	}
	return err;
}

static int walk_ids(int fd, const struct policy_sums *sums, struct st_err *e)
{
	struct id_key k, at;
	struct policy_sum *sum;
	const void *prev = NULL;
	__u32 class;
	int err;

	while ((err = maps_next_key(fd, prev, &k, "st_ids", e)) > 0) {
		at = k;
		prev = &at;
		sum = find(sums, k.policy);
		if (sum && !bpf_map_lookup_elem(fd, &k, &class))
			add_id(&k, class, sum);
	}
	return err;
}

int pod_sums_read(const struct datapath *dp, struct policy_sums *ret, struct st_err *e)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = list_policies(dp, ret, e);
	err = err ?: walk_classes(dp->map[MAP_st_class], ret, e);
	return err ?: walk_ids(dp->map[MAP_st_ids], ret, e);
}

void pod_sums_free(struct policy_sums *sums)
{
	free(sums->v);
	memset(sums, 0, sizeof(*sums));
}
