/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verbs of pod.h. */
#define _GNU_SOURCE
#include "pod.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpffs.h"
#include "cgroup.h"
#include "gone.h"
#include "netns.h"
#include "pod_maps.h"

static int take_lock(struct st_err *e)
{
	int err = bpffs_mount(e);

	return err ?: bpffs_lock(1, e);
}

/* One pod while attach works on it. */
struct attaching {
	struct datapath dp;
	struct netns ns;
	int cgroup;
	struct ruleset rules;
	char name[ST_NAME_MAX];
	char dir[PATH_MAX]; /* of its links */
};

static int name_of(const struct pod_spec *spec, char name[ST_NAME_MAX], struct st_err *e)
{
	char path[PATH_MAX];
	const char *n = spec->name;

	if (!n) {
		if (!realpath(spec->cgroup, path))
			return err_sys(e, errno, "cgroup", spec->cgroup);
		n = basename(path);
	}
	if (pod_check_name(n, e))
		return -EINVAL;
	snprintf(name, ST_NAME_MAX, "%s", n);
	return 0;
}

/* The nameservers that DNS is captured to, if the policy wants to know them. */
static int add_resolvers(const struct config *c, const char *resolv_conf, struct pod_facts *pod,
			 struct st_err *e)
{
	const char *path = c->resolv_conf ? c->resolv_conf : resolv_conf;
	FILE *f;
	int err;

	if (!c->redirect_dns || c->capture_all_dns || config_given(c, "dns-servers"))
		return 0;
	if (!path) {
		err_hint(e, "give --dns-servers, --resolv-conf or --capture-all-dns");
		return err_set(e, EINVAL, "nameservers", NULL,
			       "the pod's resolv.conf is not known");
	}
	f = fopen(path, "re");
	if (!f)
		return err_sys(e, errno, "resolv.conf", path);
	err = config_resolv_conf(f, &pod->resolvers, &pod->nr_resolvers, e);
	fclose(f);
	return err;
}

static int make_rules(const struct pod_spec *spec, const struct netns *ns, struct ruleset *rs,
		      struct st_err *e)
{
	struct pod_facts facts;
	int err = netns_facts(ns, spec->config->dual_stack, &facts, e);

	if (err)
		return err;
	err = add_resolvers(spec->config, spec->resolv_conf, &facts, e);
	err = err ?: ruleset_make(spec->config, &facts, rs, e);
	netns_facts_free(&facts);
	if (err)
		return err;
	do {
		if (getrandom(&rs->policy.id, sizeof(rs->policy.id), 0) < 0)
			rs->policy.id = 0;
	} while (!rs->policy.id);
	return 0;
}

/* The same pod under another name, or another pod under this name, is refused. Returns 1 if this
 * very pod is attached already, 0 if neither name nor pod is known.
 */
static int find_conflict(const struct attaching *a, __u64 cgroup_id, struct st_err *e)
{
	struct policy p;
	__u64 cookie;

	if (!maps_find_policy(&a->dp, a->name, &cookie, &p) && cookie != a->ns.cookie) {
		err_hint(e, "'socktables status %s' shows it", a->name);
		return err_set(e, EEXIST, "name", a->name, "taken by another pod");
	}
	if (bpf_map_lookup_elem(a->dp.map[MAP_st_policy], &a->ns.cookie, &p) ||
	    !(p.flags & POLICY_ACTIVE))
		return 0;
	if (strcmp(p.name, a->name))
		return err_set(e, EEXIST, "netns", NULL, "already attached as pod '%s'", p.name);
	if (p.cgroup_id != cgroup_id) {
		err_hint(e, "'socktables detach %s' first", a->name);
		return err_set(e, EEXIST, "pod", a->name, "already attached at another cgroup");
	}
	return 1;
}

static int pin_link(const char *dir, const char *name, int link, struct st_err *e)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = bpf_obj_pin(link, path) ? err_sys(e, errno, "pin", path) : 0;
	close(link);
	return err;
}

static int link_hooks(const struct attaching *a, struct st_err *e)
{
	int i, link, err = 0;

	for (i = 0; i < NR_HOOKS && !err; i++) {
		link = bpf_link_create(a->dp.prog[i], a->cgroup, hooks[i].type, NULL);
		if (link < 0)
			return err_sys(e, errno, "hook", hooks[i].section);
		err = pin_link(a->dir, hooks[i].name, link, e);
	}
	return err;
}

static int link_inbound(const struct attaching *a, struct st_err *e)
{
	int link, err, prog = datapath_load_inbound(&a->dp, a->ns.cookie, e);

	if (prog < 0)
		return prog;
	link = bpf_link_create(prog, a->ns.fd, BPF_SK_LOOKUP, NULL);
	err = link < 0 ? err_sys(e, errno, "hook", "sk_lookup")
		       : pin_link(a->dir, INBOUND_NAME, link, e);
	close(prog);
	return err;
}

/* Registers the proxy's listeners that are older than the links. */
static int scan_listeners(void *ctx, struct st_err *e)
{
	struct attaching *a = ctx;
	int link = bpf_link_create(a->dp.scan, 0, BPF_TRACE_ITER, NULL);
	int iter = link < 0 ? -1 : bpf_iter_create(link);
	int err = 0;
	char c;

	while (iter >= 0 && (err = read(iter, &c, 1)) > 0)
		;
	if (iter < 0 || err < 0)
		err = err_sys(e, errno, "scan for the proxy's listeners", NULL);
	if (iter >= 0)
		close(iter);
	if (link >= 0)
		close(link);
	return err;
}

/* The order in which no moment leaks or loses a connection: what the hooks need is there before
 * they are, and they decide nothing before the policy is active.
 */
static int attach_all(struct attaching *a, struct st_err *e)
{
	struct policy *p = &a->rules.policy;
	int six, err;

	p->flags &= ~POLICY_ACTIVE;
	err = maps_put_policy(&a->dp, a->ns.cookie, p, BPF_NOEXIST, e);
	err = err ?: maps_put_counters(&a->dp, a->ns.cookie, e);
	err = err ?: maps_put_rules(&a->dp, &a->rules, e);
	if (!err && mkdir(a->dir, 0700))
		err = err_sys(e, errno, "directory", a->dir);
	err = err ?: link_hooks(a, e);
	err = err ?: link_inbound(a, e);
	err = err ?: netns_run(&a->ns, scan_listeners, a, e);
	if (!err && p->flags & POLICY_V6) {
		six = netns_add_six(&a->ns, e);
		if (six > 0)
			p->flags |= POLICY_ADDED_SIX;
		err = six < 0 ? six : 0;
	}
	p->flags |= POLICY_ACTIVE;
	err = err ?: maps_put_policy(&a->dp, a->ns.cookie, p, BPF_EXIST, e);
	if (err && p->flags & POLICY_ADDED_SIX)
		netns_remove_six(&a->ns, e);
	return err;
}

/* Waits until no program runs that could still hold what was just taken out of a map: a global
 * membarrier is a synchronize_rcu().
 */
static void wait_for_readers(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/* A new policy for an attached pod: its lists first, then the switch, then away with the old ones. */
static int replace(const struct datapath *dp, const struct netns *ns, const struct policy *old,
		   struct ruleset *rs, struct st_err *e)
{
	struct policy *p = &rs->policy;
	int six, err;

	p->cgroup_id = old->cgroup_id;
	p->netns_dev = old->netns_dev;
	p->netns_ino = old->netns_ino;
	memcpy(p->name, old->name, sizeof(p->name));
	p->flags |= POLICY_ACTIVE | (old->flags & POLICY_ADDED_SIX);
	if (p->flags & POLICY_V6) {
		six = netns_add_six(ns, e);
		if (six < 0)
			return six;
		if (six)
			p->flags |= POLICY_ADDED_SIX;
	}
	err = maps_put_rules(dp, rs, e);
	err = err ?: maps_put_policy(dp, ns->cookie, p, BPF_EXIST, e);
	wait_for_readers();
	maps_drop_rules(dp, err ? p->id : old->id);
	if (!err && !(p->flags & POLICY_V6) && p->flags & POLICY_ADDED_SIX) {
		netns_remove_six(ns, e);
		p->flags &= ~POLICY_ADDED_SIX;
		err = maps_put_policy(dp, ns->cookie, p, BPF_EXIST, e);
	}
	return err;
}

/* Everything of one pod that can still be found, in the order that stops capturing at once. */
static int detach_one(const struct datapath *dp, const char *name, __u64 cookie,
		      const struct policy *p, struct st_err *e)
{
	struct gone gone = {};
	char dir[PATH_MAX];
	struct netns ns;
	int err;

	bpffs_pod_dir(name, dir);
	gone_watch_links(&gone, dir);
	if (p)
		bpf_map_delete_elem(dp->map[MAP_st_policy], &cookie);
	err = bpffs_remove(dir, e);
	gone_wait(&gone);
	if (!p)
		return err;
	wait_for_readers();
	maps_drop_rules(dp, p->id);
	maps_drop_pod(dp, cookie);
	if (p->flags & POLICY_ADDED_SIX && !netns_find(p->netns_dev, p->netns_ino, &ns, e)) {
		err = err ?: netns_remove_six(&ns, e);
		netns_close(&ns);
	}
	return err;
}

/* Unpins the datapath and waits until it is gone. DP is closed. */
static int remove_datapath(struct datapath *dp, struct st_err *e)
{
	struct gone gone = {};
	int i, err;

	for (i = 0; i < NR_MAPS; i++)
		gone_watch(&gone, GONE_MAP, dp->map[i]);
	for (i = 0; i < NR_HOOKS; i++)
		gone_watch(&gone, GONE_PROG, dp->prog[i]);
	gone_watch(&gone, GONE_PROG, dp->scan);
	datapath_close(dp);
	err = datapath_remove(e);
	gone_wait(&gone);
	return err;
}

static int remove_if_unused(struct datapath *dp, struct st_err *e)
{
	__u64 cookie;

	if (!bpf_map_get_next_key(dp->map[MAP_st_policy], NULL, &cookie))
		return 0;
	return remove_datapath(dp, e);
}

/* What an attach or detach that was killed left of this pod, by name or by namespace. */
static int clear_wreck(const struct attaching *a, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err;

	if (!bpf_map_lookup_elem(a->dp.map[MAP_st_policy], &a->ns.cookie, &p)) {
		err = detach_one(&a->dp, p.name, a->ns.cookie, &p, e);
		if (err)
			return err;
	}
	if (!maps_find_policy(&a->dp, a->name, &cookie, &p))
		return detach_one(&a->dp, a->name, cookie, &p, e);
	return detach_one(&a->dp, a->name, 0, NULL, e);
}

static int attach_locked(struct attaching *a, const struct pod_spec *spec, __u64 cgroup_id,
			 struct st_err *e)
{
	struct st_err ignored = {};
	struct policy *p = &a->rules.policy;
	struct policy old;
	int err;

	err = find_conflict(a, cgroup_id, e);
	if (err < 0)
		return err;
	if (err) {
		bpf_map_lookup_elem(a->dp.map[MAP_st_policy], &a->ns.cookie, &old);
		return replace(&a->dp, &a->ns, &old, &a->rules, e);
	}
	err = cgroup_check_hooks(spec->cgroup, e);
	err = err ?: clear_wreck(a, e);
	if (err)
		return err;
	p->cgroup_id = cgroup_id;
	p->netns_dev = a->ns.dev;
	p->netns_ino = a->ns.ino;
	memcpy(p->name, a->name, sizeof(p->name));
	err = attach_all(a, e);
	if (err)
		detach_one(&a->dp, a->name, a->ns.cookie, p, &ignored);
	return err;
}

int pod_attach(const struct pod_spec *spec, struct st_err *e)
{
	struct attaching a = { .cgroup = -1, .ns.fd = -1 };
	struct st_err ignored = {};
	__u64 cgroup_id = 0;
	int lock, err;

	err = name_of(spec, a.name, e);
	if (err)
		return err;
	a.cgroup = cgroup_open(spec->cgroup, &cgroup_id, e);
	if (a.cgroup < 0)
		return a.cgroup;
	err = netns_open(spec->netns, &a.ns, e);
	err = err ?: make_rules(spec, &a.ns, &a.rules, e);
	lock = err ? err : take_lock(e);
	if (lock >= 0) {
		bpffs_pod_dir(a.name, a.dir);
		err = datapath_ensure(&a.dp, e);
		err = err ?: attach_locked(&a, spec, cgroup_id, e);
		if (err && a.dp.scan > 0)
			remove_if_unused(&a.dp, &ignored);
		datapath_close(&a.dp);
		close(lock);
	} else {
		err = lock;
	}
	ruleset_free(&a.rules);
	netns_close(&a.ns);
	close(a.cgroup);
	return err;
}

int pod_update(const struct pod_spec *spec, struct st_err *e)
{
	struct ruleset rs = {};
	struct datapath dp;
	struct policy old;
	struct netns ns;
	int lock, err;
	__u64 cookie;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock;
	err = datapath_open(&dp, e);
	if (!err) {
		err = maps_find_policy(&dp, spec->name, &cookie, &old);
		if (!err && !(old.flags & POLICY_ACTIVE))
			err = err_set(e, EIO, "pod", spec->name, "attach did not complete");
		if (!err && netns_find(old.netns_dev, old.netns_ino, &ns, e))
			err = err_set(e, ESTALE, "pod", spec->name,
				      "its network namespace is gone");
		else if (!err) {
			err = make_rules(spec, &ns, &rs, e);
			err = err ?: replace(&dp, &ns, &old, &rs, e);
			ruleset_free(&rs);
			netns_close(&ns);
		}
		datapath_close(&dp);
	}
	close(lock);
	return err;
}

int pod_detach(const char *name, struct st_err *e)
{
	struct st_err ignored = {};
	struct datapath dp;
	char dir[PATH_MAX];
	struct policy p;
	int lock, err;
	__u64 cookie;

	if (pod_check_name(name, e))
		return -EINVAL;
	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock;
	bpffs_pod_dir(name, dir);
	err = datapath_open(&dp, &ignored);
	if (!err && !maps_find_policy(&dp, name, &cookie, &p))
		err = detach_one(&dp, name, cookie, &p, e);
	else if (!access(dir, F_OK))
		err = detach_one(&dp, name, 0, NULL, e); /* links without a policy */
	else
		err = -ENOENT;
	if (!err && dp.scan >= 0)
		err = remove_if_unused(&dp, e);
	datapath_close(&dp);
	close(lock);
	return err;
}

int pod_detach_all(struct st_err *e)
{
	struct st_err ignored = {};
	struct datapath dp;
	struct policy p;
	int lock, err = 0, nr = 0;
	__u64 cookie;

	lock = bpffs_lock(1, e);
	if (lock < 0)
		return lock == -ENOENT ? 0 : lock;
	if (!datapath_open(&dp, &ignored))
		while (!err && !bpf_map_get_next_key(dp.map[MAP_st_policy], NULL, &cookie) &&
		       !bpf_map_lookup_elem(dp.map[MAP_st_policy], &cookie, &p)) {
			err = detach_one(&dp, p.name, cookie, &p, e);
			nr++;
		}
	err = err ?: remove_datapath(&dp, e);
	close(lock);
	return err ? err : nr;
}
