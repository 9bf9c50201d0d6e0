/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "pod_impl.h"

/* What of a class comes from the flags. The rest, and the sources, are the namespace's. */
#define FROM_FLAGS (CLASS_LOOPBACK | CLASS_INCLUDED | CLASS_EXCLUDED | CLASS_RESOLVER)
#define NESTING 130 /* prefixes of different length that can cover one address, and one more */

/* What is there: the pod, with its entries of the shared maps. */
struct found {
	__u64 cookie;
	int whole;
	struct ruleset rs;
};

static int room_for(void **array, size_t nr, size_t size)
{
	void *more;

	if (nr & (nr - 1))
		return 0;
	more = realloc(*array, (nr ? 2 * nr : 1) * size);
	if (!more)
		return -ENOMEM;
	*array = more;
	return 0;
}

static int read_classes(const struct datapath *dp, struct ruleset *rs)
{
	struct class_key key, at, *prev = NULL;
	struct class_value v;

	while (!bpf_map_get_next_key(dp->map[MAP_st_class], prev, &key)) {
		at = key;
		prev = &at;
		if (key.policy != rs->policy.id ||
		    bpf_map_lookup_elem(dp->map[MAP_st_class], &key, &v))
			continue;
		if (room_for((void **)&rs->classes, rs->nr_classes, sizeof(*rs->classes)))
			return -ENOMEM;
		rs->classes[rs->nr_classes++] = (struct class_entry){
			.prefix = { key.addr, key.prefixlen - 32 }, .class = v.class, .src = v.src
		};
	}
	return 0;
}

static int read_ids(const struct datapath *dp, struct ruleset *rs)
{
	struct id_key key, at, *prev = NULL;
	__u32 class;

	while (!bpf_map_get_next_key(dp->map[MAP_st_ids], prev, &key)) {
		at = key;
		prev = &at;
		if (key.policy != rs->policy.id ||
		    bpf_map_lookup_elem(dp->map[MAP_st_ids], &key, &class))
			continue;
		if (room_for((void **)&rs->ids, rs->nr_ids, sizeof(*rs->ids)))
			return -ENOMEM;
		rs->ids[rs->nr_ids++] = (struct id_entry){ key.kind, key.value, class };
	}
	return 0;
}

static int read_pod(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct found *f = ctx;
	int err;

	if (pod->cookie != f->cookie)
		return 0;
	f->whole = pod->state == POD_ATTACHED;
	f->rs.policy = pod->policy;
	err = read_classes(dp, &f->rs);
	err = err ?: read_ids(dp, &f->rs);
	return err ? err_sys(e, -err, "policy in place", pod->policy.name) : 0;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id_entry));
}

static int same_ids(struct ruleset *a, struct ruleset *b)
{
	if (a->nr_ids != b->nr_ids)
		return 0;
	qsort(a->ids, a->nr_ids, sizeof(*a->ids), compare_ids);
	qsort(b->ids, b->nr_ids, sizeof(*b->ids), compare_ids);
	return !memcmp(a->ids, b->ids, a->nr_ids * sizeof(*a->ids));
}

/* What is left is what the flags say. */
static struct policy from_flags(const struct policy *p)
{
	struct policy q = *p;

	q.id = 0;
	q.other_id = 0;
	if (!(q.flags & POLICY_TPROXY)) {
		q.tproxy_mark = 0;
		q.tproxy_table = 0;
	}
	q.flags &= ~(POLICY_ACTIVE | POLICY_SPREAD | POLICY_ADDED);
	memset(&q.src4, 0, sizeof(q.src4));
	memset(&q.src6, 0, sizeof(q.src6));
	q.cgroup_id = 0;
	q.netns_dev = 0;
	q.netns_ino = 0;
	memset(q.name, 0, sizeof(q.name));
	return q;
}

static int compare_classes(const void *a, const void *b)
{
	return prefix_compare(&((const struct class_entry *)a)->prefix,
			      &((const struct class_entry *)b)->prefix);
}

static int same_classes(const struct ruleset *a, const struct ruleset *b)
{
	const struct class_entry *x = a->classes, *y = b->classes;

	if (a->nr_classes != b->nr_classes)
		return 0;
	for (; x < a->classes + a->nr_classes; x++, y++)
		if (compare_classes(x, y) || x->class != y->class || !addr_equal(&x->src, &y->src))
			return 0;
	return 1;
}

/* Leaves of the sorted classes what the flags say: no other bits, and no prefix that has the bits
 * of the one around it.
 */
static void keep_flags_only(struct ruleset *rs)
{
	const struct class_entry *stack[NESTING];
	struct class_entry *from = rs->classes, *to = from;
	int top = 0;

	for (; from < rs->classes + rs->nr_classes; from++) {
		from->class &= FROM_FLAGS;
		memset(&from->src, 0, sizeof(from->src));
		while (top && !addr_covered(&from->prefix.addr, &stack[top - 1]->prefix.addr,
					    stack[top - 1]->prefix.len))
			top--;
		if (from->class == (top ? stack[top - 1]->class : 0))
			continue;
		*to = *from;
		stack[top++] = to++;
	}
	rs->nr_classes = to - rs->classes;
}

static enum pod_likeness compare(struct ruleset *is, struct ruleset *want)
{
	struct policy a = from_flags(&is->policy), b = from_flags(&want->policy);
	int same_facts = addr_equal(&is->policy.src4, &want->policy.src4) &&
			 addr_equal(&is->policy.src6, &want->policy.src6) &&
			 !((is->policy.flags ^ want->policy.flags) & POLICY_SPREAD);

	if (memcmp(&a, &b, sizeof(a)) || !same_ids(is, want))
		return POD_OTHER;
	qsort(is->classes, is->nr_classes, sizeof(*is->classes), compare_classes);
	qsort(want->classes, want->nr_classes, sizeof(*want->classes), compare_classes);
	if (same_facts && same_classes(is, want))
		return POD_SAME;
	keep_flags_only(is);
	keep_flags_only(want);
	return same_classes(is, want) ? POD_MOVED : POD_OTHER;
}

int pod_name_of_netns(const char *netns, char name[ST_NAME_MAX], struct st_err *e)
{
	struct found f = {};
	struct netns ns;
	int err = netns_open(netns, &ns, e);

	if (err)
		return err;
	f.cookie = ns.cookie;
	netns_close(&ns);
	err = pod_read(NULL, read_pod, &f, e);
	if (!err && f.rs.policy.name[0])
		memcpy(name, f.rs.policy.name, ST_NAME_MAX);
	else
		err = err ?: -ENOENT;
	ruleset_free(&f.rs);
	return err;
}

/* On cgroup2 the inode is the id. A pod at another cgroup is for attach to refuse. */
static int is_at(const struct policy *p, const char *cgroup)
{
	struct stat st;

	return !stat(cgroup, &st) && st.st_ino == p->cgroup_id;
}

int pod_compare(const struct pod_spec *spec, enum pod_likeness *ret, struct st_err *e)
{
	struct ruleset want = {};
	struct found f = {};
	struct netns ns;
	int err = netns_open(spec->netns, &ns, e);

	if (err)
		return err;
	f.cookie = ns.cookie;
	err = pod_read(NULL, read_pod, &f, e);
	if (!err && (!f.whole || !is_at(&f.rs.policy, spec->cgroup))) {
		*ret = POD_NONE;
	} else if (!err) {
		err = pod_make_rules(spec, &ns, &want, e);
		if (!err)
			*ret = compare(&f.rs, &want);
	}
	ruleset_free(&f.rs);
	ruleset_free(&want);
	netns_close(&ns);
	return err;
}
