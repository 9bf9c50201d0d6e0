/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pod_impl.h"
#include "pod_maps.h"
#include "ruleset_impl.h"

/* What is there: the pod, with its entries of the shared maps. */
struct found {
	__u64 cookie;
	int whole;
	struct ruleset rs;
};

static int read_pod(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct found *f = ctx;

	if (pod->cookie != f->cookie)
		return 0;
	f->whole = pod->state == POD_ATTACHED;
	return maps_read_rules(dp, &pod->policy, 0, &f->rs, e);
}

static int same_ids(const struct ruleset *a, const struct ruleset *b)
{
	return a->nr_ids == b->nr_ids && !memcmp(a->ids, b->ids, a->nr_ids * sizeof(*a->ids));
}

/* What is left is what the flags say. */
static struct policy from_flags(const struct policy *p)
{
	struct policy q = *p;

	q.id = 0;
	if (!(q.flags & POLICY_TPROXY)) {
		q.tproxy_mark = 0;
		q.tproxy_table = 0;
	}
	q.flags &= ~(POLICY_ACTIVE | POLICY_ADDED);
	q.cgroup_id = 0;
	q.netns_dev = 0;
	q.netns_ino = 0;
	memset(q.name, 0, sizeof(q.name));
	q.listens = q.wildcard = q.made = 0;
	return q;
}

static int same_classes(const struct ruleset *a, const struct ruleset *b)
{
	const struct class_entry *x = a->classes, *y = b->classes;

	if (a->nr_classes != b->nr_classes)
		return 0;
	for (; x < a->classes + a->nr_classes; x++, y++)
		if (prefix_compare(&x->prefix, &y->prefix) || x->class != y->class)
			return 0;
	return 1;
}

static enum pod_likeness compare(struct ruleset *is, struct ruleset *want)
{
	int same_facts;
	struct policy a, b;

	qsort(is->ids, is->nr_ids, sizeof(*is->ids), ruleset_compare_ids);
	same_facts = ruleset_facts_hash(is) == ruleset_facts_hash(want);
	ruleset_keep_flags(is);
	ruleset_keep_flags(want);
	a = from_flags(&is->policy);
	b = from_flags(&want->policy);
	if (memcmp(&a, &b, sizeof(a)) || !same_ids(is, want) || !same_classes(is, want))
		return POD_OTHER;
	return same_facts ? POD_SAME : POD_MOVED;
}

int pod_name_of_netns(const char *netns, char name[ST_NAME_MAX], struct st_err *e)
{
	struct found f = {};
	struct netns ns;
	int err = netns_open(netns, 0, &ns, e);

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

int pod_is_linked_to(const char *name, const char *netns)
{
	struct bpf_link_info info;
	struct stat st;

	return !stat(netns, &st) && !pod_link(name, INBOUND_NAME, &info) &&
	       info.type == BPF_LINK_TYPE_NETNS && info.netns.netns_ino == (__u32)st.st_ino;
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
	struct pod_inputs in;
	struct found f = {};
	struct netns ns;
	int err = netns_open(spec->netns, spec->force, &ns, e);

	if (err)
		return err;
	f.cookie = ns.cookie;
	err = pod_read(NULL, read_pod, &f, e);
	if (!err && (!f.whole || !is_at(&f.rs.policy, spec->cgroup))) {
		*ret = POD_NONE;
	} else if (!err) {
		err = pod_inputs_read(spec, &in, e);
		err = err ?: pod_make_rules(&in, &ns, &want, e);
		if (!err)
			*ret = compare(&f.rs, &want);
		pod_inputs_free(&in);
	}
	ruleset_free(&f.rs);
	ruleset_free(&want);
	netns_close(&ns);
	return err;
}
