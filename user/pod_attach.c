/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_attach(). */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpffs.h"
#include "cgroup.h"
#include "enter.h"
#include "pod_env.h"
#include "pod_impl.h"
#include "pod_maps.h"

/* One pod while attach works on it. */
struct attaching {
	struct datapath dp;
	struct netns ns;
	int cgroup;
	__u64 cgroup_id;
	struct ruleset rules;
	char name[ST_NAME_MAX];
	int name_is_known;  /* there is a policy of that name */
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

/* The same pod under another name, or another pod under this name, is refused. Returns 1 and the
 * policy in force if this very pod is attached already, 0 if neither name nor pod is known, but for
 * wrecks.
 */
static int find_conflict(struct attaching *a, struct policy *old, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err = maps_find_policy(&a->dp, a->name, &cookie, &p, e);

	if (err && err != -ENOENT)
		return err;
	a->name_is_known = !err;
	if (!err && cookie != a->ns.cookie && p.flags & (POLICY_ACTIVE | POLICY_DRAINING) &&
	    !pod_is_stale(&a->dp, cookie, &p)) {
		err_hint(e, "'socktables status %s' shows it", a->name);
		return err_set(e, EEXIST, "name", a->name, "taken by another pod");
	}
	err = maps_get_policy(&a->dp, a->ns.cookie, old, e);
	if (err || !(old->flags & (POLICY_ACTIVE | POLICY_DRAINING)))
		return err == -ENOENT ? 0 : err;
	if (old->cgroup_id != a->cgroup_id && pod_is_stale(&a->dp, a->ns.cookie, old))
		return 0;
	if (strcmp(old->name, a->name))
		return err_set(e, EEXIST, "netns", NULL, "already attached as pod '%s'", old->name);
	if (old->cgroup_id != a->cgroup_id) {
		err_hint(e, "'socktables detach %s' first", a->name);
		return err_set(e, EEXIST, "pod", a->name, "already attached at another cgroup");
	}
	return 1;
}

/* Whether the pin is there, and its link still where it belongs; what is not is taken away. */
static int is_linked(const struct attaching *a, const char *name)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);
	char path[PATH_MAX + 32];
	int fd, good;

	snprintf(path, sizeof(path), "%s/%s", a->dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	good = !bpf_obj_get_info_by_fd(fd, &info, &size) &&
	       (info.type == BPF_LINK_TYPE_NETNS ? info.netns.netns_ino == a->ns.ino
						 : info.cgroup.cgroup_id == a->cgroup_id);
	close(fd);
	if (!good)
		unlink(path);
	return good;
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
		if (is_linked(a, hooks[i].name))
			continue;
		link = bpf_link_create(a->dp.prog[i], a->cgroup, hooks[i].type, NULL);
		if (link < 0)
			return err_sys(e, errno, "hook", hooks[i].section);
		err = pin_link(a->dir, hooks[i].name, link, e);
	}
	return err;
}

static int link_inbound(struct attaching *a, struct st_err *e)
{
	int link, err, prog;

	if (is_linked(a, INBOUND_NAME))
		return 0;
	prog = enter_load(&a->dp, a->ns.cookie, !(a->rules.policy.flags & POLICY_TPROXY), e);
	if (prog < 0)
		return prog;
	link = bpf_link_create(prog, a->ns.fd, BPF_SK_LOOKUP, NULL);
	err = link < 0 ? err_sys(e, errno, "hook", "sk_lookup")
		       : pin_link(a->dir, INBOUND_NAME, link, e);
	close(prog);
	return err;
}

static int make_dir(const char *path, struct st_err *e)
{
	return mkdir(path, 0700) && errno != EEXIST ? err_sys(e, errno, "directory", path) : 0;
}

/* Whether the calling thread's namespace may have TCP sockets of one family, by FILE: where the kernel
 * counts them. A new pod has none, and is spared a walk over all connections of the node.
 */
static int may_have(const char *file, const char *format)
{
	FILE *f = fopen(file, "re");
	char line[256];
	int nr = -1;

	while (f && nr < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &nr) != 1)
			nr = -1;
	if (f)
		fclose(f);
	return nr != 0;
}

/* Registers the proxy's listeners, and notes the numbers of connections, that are older than the links. */
static int scan_listeners(void *ctx, struct st_err *e)
{
	struct attaching *a = ctx;
	int link, iter, err = 0;
	char c;

	if (!may_have("/proc/thread-self/net/sockstat", "TCP: inuse %d") &&
	    !may_have("/proc/thread-self/net/sockstat6", "TCP6: inuse %d"))
		return 0;
	link = bpf_link_create(a->dp.scan, 0, BPF_TRACE_ITER, NULL);
	iter = link < 0 ? -1 : bpf_iter_create(link);
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

static int link_all(struct attaching *a, struct st_err *e)
{
	int err = make_dir(ST_PODS, e);

	err = err ?: make_dir(a->dir, e);
	err = err ?: link_hooks(a, e);
	err = err ?: link_inbound(a, e);
	return err ?: netns_run(&a->ns, scan_listeners, a, e);
}

/* The order in which no moment leaks or loses a connection: what the hooks need is there before
 * they are, and they decide nothing before the policy is active. Until then the entry is a record
 * of what a later command has to take away if we are killed.
 */
static int attach_all(struct attaching *a, struct st_err *e)
{
	struct policy *p = &a->rules.policy;
	__u32 missing = 0;
	int err;

	err = datapath_knows(&a->dp, p, e);
	if (err)
		return err;
	p->flags &= ~POLICY_ACTIVE;
	err = pod_env_missing(&a->ns, p, &missing, e);
	p->flags |= missing;
	err = err ?: maps_new_id(&a->dp, &p->id, e);
	err = err ?: maps_put_policy(&a->dp, a->ns.cookie, p, BPF_NOEXIST, e);
	err = err ?: maps_put_counters(&a->dp, a->ns.cookie, e);
	err = err ?: maps_put_numbering(&a->dp, a->ns.cookie, e);
	err = err ?: maps_put_rules(&a->dp, &a->rules, e);
	err = err ?: link_all(a, e);
	err = err ?: maps_start_numbers(&a->dp, a->ns.cookie, e);
	err = err ?: pod_env_add(&a->ns, p, missing, e);
	p->flags |= POLICY_ACTIVE;
	return err ?: maps_put_policy(&a->dp, a->ns.cookie, p, BPF_EXIST, e);
}

/* What an attach or detach that was killed left of this pod, by name or by namespace. */
static int clear_wreck(const struct attaching *a, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err = maps_get_policy(&a->dp, a->ns.cookie, &p, e);

	if (!err)
		err = pod_remove_from(&a->ns, &a->dp, p.name, a->ns.cookie, &p, e);
	if (err && err != -ENOENT)
		return err;
	err = a->name_is_known ? maps_find_policy(&a->dp, a->name, &cookie, &p, e) : -ENOENT;
	if (err && err != -ENOENT)
		return err;
	return pod_remove(&a->dp, a->name, err ? 0 : cookie, err ? NULL : &p, e);
}

static int take_lock(struct st_err *e)
{
	int err = bpffs_mount(e);

	return err ?: bpffs_lock(1, e);
}

static int attach_locked(struct attaching *a, const struct pod_spec *spec, struct st_err *e)
{
	struct st_err ignored = {};
	struct policy *p = &a->rules.policy;
	struct policy old;
	int err;

	err = find_conflict(a, &old, e);
	if (err < 0)
		return err;
	if (err) {
		err = link_all(a, e); /* what somebody took away */
		err = err ?: maps_unite_listeners(&a->dp, a->ns.cookie, e);
		return err ?: pod_replace_rules(&a->dp, &a->ns, &old, &a->rules, e);
	}
	err = cgroup_check_hooks(spec->cgroup, e);
	err = err ?: pod_clear_place(&a->dp, spec->cgroup, a->name, a->ns.cookie, e);
	err = err ?: clear_wreck(a, e);
	if (err)
		return err;
	p->cgroup_id = a->cgroup_id;
	p->netns_dev = a->ns.dev;
	p->netns_ino = a->ns.ino;
	memcpy(p->name, a->name, sizeof(p->name));
	err = attach_all(a, e);
	if (err)
		pod_remove_from(&a->ns, &a->dp, a->name, a->ns.cookie, p, &ignored);
	return err;
}

int pod_attach(const struct pod_spec *spec, struct st_err *e)
{
	struct attaching a = { .cgroup = -1, .ns.fd = -1 };
	struct pod_inputs in = {};
	struct st_err ignored = {};
	int lock, err;

	datapath_init(&a.dp);
	err = name_of(spec, a.name, e);
	if (err)
		return err;
	a.cgroup = cgroup_open(spec->cgroup, &a.cgroup_id, e);
	if (a.cgroup < 0)
		return a.cgroup;
	err = netns_open(spec->netns, spec->force, &a.ns, e);
	err = err ?: pod_inputs_read(spec, &in, e);
	lock = err ? err : take_lock(e);
	if (lock >= 0) {
		bpffs_pod_dir(a.name, a.dir);
		err = pod_make_rules(&in, &a.ns, &a.rules,
				     e); /* what changes later, the agent sees */
		err = err ?: datapath_ensure(&a.dp, e);
		err = err ?: attach_locked(&a, spec, e);
		if (err && a.dp.scan > 0)
			pod_remove_datapath_if_unused(&a.dp, &ignored);
		datapath_close(&a.dp);
		bpffs_unlock(lock);
	} else {
		err = lock;
	}
	pod_inputs_free(&in);
	ruleset_free(&a.rules);
	netns_close(&a.ns);
	close(a.cgroup);
	return err;
}
