/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy knows of its pod, made anew without the flags that it was made of. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "pod_impl.h"
#include "pod_maps.h"
#include "ruleset_impl.h"

/* The facts of today, in ret: 1 if they are not the policy's, 0 if they are, or -errno. The policy keeps
 * but a hash of its own: to compare that is cheap, however long its lists are.
 */
static int look(const struct datapath *dp, const struct netns *ns, const struct policy *p,
		struct pod_facts *ret, struct st_err *e)
{
	struct ruleset rs;
	__u64 was;
	int err;

	err = netns_facts(ns, !!(p->flags & POLICY_DUAL_STACK), ret, e);
	if (err)
		return err;
	err = maps_read_notes(dp, p, &rs, e);
	if (err == -ENOENT) {
		err_hint(e, "'socktables update %s' with its flags", p->name);
		err = err_set(e, EPROTO, "pod", p->name, "attached by another version");
	}
	was = ruleset_facts_hash(&rs);
	ruleset_keep_flags(&rs);
	err = err ?: ruleset_add_facts(&rs, ret, e);
	err = err ?: was != ruleset_facts_hash(&rs);
	ruleset_free(&rs);
	if (err < 0)
		netns_facts_free(ret);
	return err;
}

static int replace(const struct datapath *dp, const struct netns *ns, const struct policy *old,
		   const struct pod_facts *facts, struct st_err *e)
{
	struct ruleset rs;
	int err = maps_read_rules(dp, old, 1, &rs, e);

	ruleset_keep_flags(&rs);
	err = err ?: ruleset_add_facts(&rs, facts, e);
	rs.policy.flags &= ~POLICY_ADDED;
	err = err ?: pod_replace_rules(dp, ns, old, &rs, e);
	ruleset_free(&rs);
	return err;
}

static int refresh(const struct datapath *dp, __u64 cookie, struct st_err *e)
{
	struct pod_facts facts;
	struct policy p;
	struct netns ns;
	int changed, err = maps_get_policy(dp, cookie, &p, e);

	if (err || !(p.flags & POLICY_ACTIVE))
		return err ?: -ENOENT;
	err = netns_find(p.netns_dev, p.netns_ino, cookie, &ns, e);
	if (err)
		return err;
	changed = look(dp, &ns, &p, &facts, e);
	if (changed >= 0) {
		err = changed ? replace(dp, &ns, &p, &facts, e) : 0;
		netns_facts_free(&facts);
	}
	netns_close(&ns);
	return err ?: changed;
}

int pod_refresh(__u64 cookie, struct st_err *e)
{
	struct datapath dp;
	int lock = bpffs_lock(1, e), err;

	if (lock < 0)
		return lock;
	err = datapath_open(&dp, e);
	if (!err) {
		err = refresh(&dp, cookie, e);
		datapath_close(&dp);
	}
	bpffs_unlock(lock);
	return err;
}

/* An address that is local by A, but not by B; classes are in the order of look-ups. */
static int local_by_one(const struct ruleset *a, const struct ruleset *b, struct addr *ret)
{
	const struct class_entry *c;

	for (c = a->classes; c < a->classes + a->nr_classes; c++) {
		if (c->prefix.len != 128 || !(c->class & CLASS_LOCAL) ||
		    ruleset_class(b, &c->prefix.addr) & CLASS_LOCAL)
			continue;
		*ret = c->prefix.addr;
		return 1;
	}
	return 0;
}

/* The lists that the policy has, which take long to read, against those of the pod's addresses alone. */
static int name_change(const struct datapath *dp, const struct policy *p,
		       const struct pod_facts *facts, struct pod_change *ret, struct st_err *e)
{
	struct ruleset was, is = { .policy = *p };
	int err = maps_read_rules(dp, p, 0, &was, e);

	err = err ?: ruleset_add_facts(&is, facts, e);
	if (!err) {
		qsort(was.classes, was.nr_classes, sizeof(*was.classes), ruleset_compare_length);
		if (local_by_one(&is, &was, &ret->address))
			ret->what = CHANGE_CAME;
		else if (local_by_one(&was, &is, &ret->address))
			ret->what = CHANGE_WENT;
	}
	ruleset_free(&was);
	ruleset_free(&is);
	return err;
}

int pod_has_changed(const struct datapath *dp, const struct netns *ns, const struct policy *p,
		    struct pod_change *ret, struct st_err *e)
{
	struct pod_facts facts;
	int err, changed = look(dp, ns, p, &facts, e);

	*ret = (struct pod_change){};
	if (changed < 0)
		return changed;
	err = changed ? name_change(dp, p, &facts, ret, e) : 0;
	netns_facts_free(&facts);
	return err ?: changed;
}
