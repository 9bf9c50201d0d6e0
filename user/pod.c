/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod's policy: made, and replaced in a live pod. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "enter.h"
#include "idmap.h"
#include "pod_env.h"
#include "pod_impl.h"
#include "pod_maps.h"

/* Ids of owners are those of the pod's user namespace. */
static int translate_ids(const struct netns *ns, struct config *c, struct st_err *e)
{
	struct idmap map;
	int err = idmap_read(ns->fd, &map, e);

	if (err)
		return err;
	err = idmap_translate(&map, c, e);
	idmap_free(&map);
	return err;
}

/* In the host's own namespace an inbound policy holds for all that comes to the host. */
static int check_node(const struct netns *ns, struct policy *p, struct st_err *e)
{
	if (!ns->is_node)
		return 0;
	p->flags |= POLICY_HOST;
	if (!(p->flags & POLICY_IN_ALL))
		return 0;
	err_hint(e, "give -b '' or the pod's own ports");
	return err_set(
		e, EINVAL, "flag", "-b *",
		"in the host's own network namespace it would capture all that comes to the host");
}

int pod_make_rules(struct pod_inputs *in, const struct netns *ns, struct ruleset *rs,
		   struct st_err *e)
{
	struct pod_facts facts = {};
	int err = translate_ids(ns, &in->c, e);

	err = err ?: netns_facts(ns, in->c.dual_stack, &facts, e);
	facts.resolvers = in->resolvers;
	facts.nr_resolvers = in->nr_resolvers;
	err = err ?: ruleset_make(&in->c, &facts, rs, e);
	facts.resolvers = NULL; /* they stay in's */
	err = err ?: check_node(ns, &rs->policy, e);
	netns_facts_free(&facts);
	return err;
}

#define ADDED_WAY \
	(POLICY_ADDED_ROUTE4 | POLICY_ADDED_ROUTE6 | POLICY_ADDED_RULE4 | POLICY_ADDED_RULE6)

/* What cannot change under live connections without a moment in which some are lost. */
static int check_change(const struct policy *old, const struct policy *p, struct st_err *e)
{
	int way = p->flags & POLICY_TPROXY && old->flags & (POLICY_TPROXY | ADDED_WAY);
	const char *which = NULL;

	if (p->inbound_port != old->inbound_port)
		which = "-z";
	else if (way && p->tproxy_mark != old->tproxy_mark)
		which = "-t";
	else if (way && p->tproxy_table != old->tproxy_table)
		which = "-r";
	if (!which)
		return 0;
	err_hint(e, "detach the pod and attach it again");
	return err_set(e, EINVAL, "flag", which, "cannot change while the pod is attached");
}

int pod_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p,
		   struct st_err *e)
{
	int err = maps_put_policy(dp, cookie, p, BPF_EXIST, e);

	return err ?: pod_wait_for_readers(e);
}

/* The new policy's id, name, place and flags. */
static void prepare_replace(const struct policy *old, struct policy *p, __u32 missing)
{
	p->id = OTHER_ID(old->id);
	p->cgroup_id = old->cgroup_id;
	p->netns_dev = old->netns_dev;
	p->netns_ino = old->netns_ino;
	memcpy(p->name, old->name, sizeof(p->name));
	p->flags |= POLICY_ACTIVE | missing | (old->flags & POLICY_ADDED);
}

/* What is added to the pod's namespace is recorded first, for whoever comes after us if we are killed. */
static int record_missing(const struct datapath *dp, __u64 cookie, const struct policy *old,
			  __u32 missing, struct st_err *e)
{
	struct policy p = *old;

	if (!missing)
		return 0;
	p.flags |= missing;
	return pod_put_policy(dp, cookie, &p, e);
}

static void undo_replace(const struct datapath *dp, const struct netns *ns,
			 const struct policy *old, const struct policy *p, __u32 missing)
{
	__u32 added = missing & ~old->flags;
	struct st_err ignored = {};
	struct policy back = *old;

	maps_drop_rules(dp, p->id, &ignored);
	if (pod_env_remove(ns, p, added, &ignored))
		back.flags |= added;
	if (missing)
		pod_put_policy(dp, ns->cookie, &back, &ignored);
}

/* What the old policy needed, and the new one does not. */
static int finish_replace(const struct datapath *dp, const struct netns *ns,
			  const struct policy *old, struct policy *p, __u32 spare, struct st_err *e)
{
	int err = pod_wait_for_readers(e);

	err = err ?: maps_drop_rules(dp, old->id, e);
	if (!err && spare) {
		err = pod_env_remove(ns, old, spare, e);
		p->flags &= ~spare;
		err = err ?: pod_put_policy(dp, ns->cookie, p, e);
	}
	if (err)
		err_hint(e, "the new policy is in force; what is left of the old one goes with the "
			    "next update, or with detach");
	return err;
}

/* Of an update that was killed, maybe just now, when programs still hold the policy. */
static int drop_leftovers(const struct datapath *dp, __u32 policy_id, struct st_err *e)
{
	int err = maps_has_rules(dp, policy_id, e);

	if (err <= 0)
		return err;
	err = pod_wait_for_readers(e);
	return err ?: maps_drop_rules(dp, policy_id, e);
}

/* To lo come connections that TPROXY wants; without it they pass before anybody looks at the policy. */
static int follow_mode(const struct datapath *dp, __u64 cookie, const struct policy *old,
		       const struct policy *p, struct st_err *e)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	int prog, link, err;

	if (!(p->flags & ~old->flags & POLICY_TPROXY))
		return 0;
	bpffs_pod_dir(p->name, dir);
	snprintf(path, sizeof(path), "%s/" INBOUND_NAME, dir);
	link = bpf_obj_get(path);
	if (link < 0)
		return err_sys(e, errno, "pin", path);
	prog = enter_load(dp, cookie, 0, e);
	err = prog;
	if (prog >= 0) {
		err = bpf_link_update(link, prog, NULL) ? err_sys(e, errno, "link", path) : 0;
		close(prog);
	}
	close(link);
	return err;
}

int pod_replace_rules(const struct datapath *dp, const struct netns *ns, const struct policy *old,
		      struct ruleset *rs, struct st_err *e)
{
	__u32 missing = 0, spare;
	struct policy *p = &rs->policy;
	int err;

	err = datapath_knows(dp, p, e);
	err = err ?: check_change(old, p, e);
	err = err ?: pod_env_missing(ns, p, &missing, e);
	if (err)
		return err;
	spare = old->flags & POLICY_ADDED & ~pod_env_wanted(p);
	/* Live connections of a transparent proxy need the way that their mark leads, until detach. */
	if (spare & ADDED_WAY) {
		p->tproxy_mark = old->tproxy_mark;
		p->tproxy_table = old->tproxy_table;
		spare &= ~ADDED_WAY;
	}
	prepare_replace(old, p, missing);
	err = drop_leftovers(dp, p->id, e);
	if (err)
		return err;
	err = record_missing(dp, ns->cookie, old, missing, e);
	err = err ?: pod_env_add(ns, p, missing, e);
	err = err ?: maps_put_rules(dp, rs, e);
	err = err ?: follow_mode(dp, ns->cookie, old, p, e);
	err = err ?: maps_put_policy(dp, ns->cookie, p, BPF_EXIST, e);
	if (err) {
		undo_replace(dp, ns, old, p, missing);
		return err;
	}
	return finish_replace(dp, ns, old, p, spare, e);
}

static int update_locked(const struct datapath *dp, const char *name, struct pod_inputs *in,
			 struct st_err *e)
{
	struct ruleset rs = {};
	struct policy old;
	struct netns ns;
	__u64 cookie;
	int err = maps_find_policy(dp, name, &cookie, &old, e);

	if (err)
		return err;
	if (!(old.flags & POLICY_ACTIVE))
		return err_set(e, EIO, "pod", name,
			       old.flags & POLICY_DRAINING ? "is being detached"
							   : "attach did not complete");
	if (netns_find(old.netns_dev, old.netns_ino, cookie, &ns, e))
		return err_set(e, ESTALE, "pod", name, "its network namespace is gone");
	err = pod_make_rules(in, &ns, &rs, e);
	err = err ?: pod_replace_rules(dp, &ns, &old, &rs, e);
	ruleset_free(&rs);
	netns_close(&ns);
	return err;
}

int pod_update(const struct pod_spec *spec, struct st_err *e)
{
	struct pod_inputs in;
	struct datapath dp;
	int lock, err = pod_inputs_read(spec, &in, e);

	lock = err ? err : bpffs_lock(1, e);
	err = lock;
	if (lock >= 0) {
		err = datapath_open(&dp, e);
		if (!err) {
			err = update_locked(&dp, spec->name, &in, e);
			datapath_close(&dp);
		}
		bpffs_unlock(lock);
	}
	pod_inputs_free(&in);
	return err;
}
