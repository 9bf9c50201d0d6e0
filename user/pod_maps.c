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

int maps_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p, __u64 flags,
		    struct st_err *e)
{
	if (bpf_map_update_elem(dp->map[MAP_st_policy], &cookie, p, flags))
		return err_sys(e, errno, "map", "st_policy");
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
		err = err_sys(e, errno, "map", "st_count");
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
			return err_sys(e, errno, "map", "st_class");
	}
	for (i = 0; i < rs->nr_ids; i++) {
		const struct id_entry *id = &rs->ids[i];
		const struct id_key k = { rs->policy.id, id->kind, id->value };

		if (bpf_map_update_elem(dp->map[MAP_st_ids], &k, &id->class, BPF_ANY))
			return err_sys(e, errno, "map", "st_ids");
	}
	return 0;
}

/* Keys are collected first: deleting while walking would start the walk anew. */
static void drop_where(int fd, size_t key_size, size_t policy_at, __u32 policy_id)
{
	char key[64], *found = NULL, *more;
	void *prev = NULL;
	char at[64];
	size_t nr = 0, room = 0, i;

	while (!bpf_map_get_next_key(fd, prev, key)) {
		memcpy(at, key, key_size);
		prev = at;
		if (memcmp(key + policy_at, &policy_id, sizeof(policy_id)))
			continue;
		if (nr == room) {
			room = room ? 2 * room : 64;
			more = realloc(found, room * key_size);
			if (!more)
				break;
			found = more;
		}
		memcpy(found + nr++ * key_size, key, key_size);
	}
	for (i = 0; i < nr; i++)
		bpf_map_delete_elem(fd, found + i * key_size);
	free(found);
}

void maps_drop_rules(const struct datapath *dp, __u32 policy_id)
{
	drop_where(dp->map[MAP_st_class], sizeof(struct class_key),
		   offsetof(struct class_key, policy), policy_id);
	drop_where(dp->map[MAP_st_ids], sizeof(struct id_key), offsetof(struct id_key, policy),
		   policy_id);
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
