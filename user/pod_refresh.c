/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy knows of its pod, made anew without the flags that it was made of. */
#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "pod_impl.h"
#include "pod_maps.h"

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
	close(lock);
	return err;
}

int pod_has_changed(const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	struct pod_facts facts;
	struct netns ns;
	int changed = netns_find(p->netns_dev, p->netns_ino, pod->cookie, &ns, e);

	if (changed)
		return changed;
	changed = look(dp, &ns, p, &facts, e);
	if (changed >= 0)
		netns_facts_free(&facts);
	netns_close(&ns);
	return changed;
}
