/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The nouns of pod.h. */
#include "pod_impl.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpffs.h"
#include "cgroup.h"
#include "pod_maps.h"

int pod_check_name(const char *name, struct st_err *e)
{
	const char *c;

	if (!*name || strlen(name) >= ST_NAME_MAX)
		return err_set(e, EINVAL, "name", name, "must have 1 to %d characters",
			       ST_NAME_MAX - 1);
	for (c = name; *c; c++)
		if (!isascii(*c) || (!isalnum(*c) && !strchr("._-", *c)))
			return err_set(e, EINVAL, "name", name,
				       "only letters, digits, '.', '_' and '-' may be used");
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(e, EINVAL, "name", name, "not a name");
	return 0;
}

static void judge(struct pod *pod, enum pod_state state, const char *why)
{
	if (pod->why[0])
		return;
	pod->state = state;
	snprintf(pod->why, sizeof(pod->why), "%s", why);
}

/* A link that hangs on nothing any more lost that, or was detached by somebody: then it is still there. Gone
 * is only what is known to be, as a pod that is gone is cleared away: not what may not be looked for.
 */
static void judge_loose_link(struct pod *pod, int is_cgroup)
{
	const struct policy *p = &pod->policy;
	struct st_err ignored = {};
	char path[PATH_MAX];
	struct netns ns;
	int is_there, err;

	if (pod->why[0])
		return; /* judged by another link: a cgroup that is gone has lost a dozen */
	if (is_cgroup) {
		is_there = cgroup_path(p->cgroup_id, path) != -ENOENT;
	} else {
		err = netns_find(p->netns_dev, p->netns_ino, pod->cookie, &ns, &ignored);
		is_there = err != -ENOENT;
		if (!err)
			netns_close(&ns);
	}
	if (is_there)
		judge(pod, POD_INCOMPLETE, "links were detached");
	else
		judge(pod, POD_STALE,
		      is_cgroup ? "its cgroup is gone" : "its network namespace is gone");
}

int pod_link(const char *pod, const char *hook, struct bpf_link_info *ret)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	__u32 size = sizeof(*ret);
	int fd, err;

	*ret = (struct bpf_link_info){};
	bpffs_pod_dir(pod, dir);
	snprintf(path, sizeof(path), "%s/%s", dir, hook);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = bpf_obj_get_info_by_fd(fd, ret, &size) ? -errno : 0;
	close(fd);
	return err;
}

/* Counts the pin, and judges by it whether its link still hangs on the pod's cgroup or namespace. */
static void check_link(const char *hook, struct pod *pod)
{
	struct bpf_link_info info;

	if (pod_link(pod->policy.name, hook, &info))
		return;
	pod->nr_links++;
	if (info.type == BPF_LINK_TYPE_CGROUP && !info.cgroup.cgroup_id)
		judge_loose_link(pod, 1);
	if (info.type == BPF_LINK_TYPE_NETNS && !info.netns.netns_ino)
		judge_loose_link(pod, 0);
}

void pod_examine(const struct datapath *dp, struct pod *pod)
{
	int i;

	for (i = 0; i < NR_HOOKS; i++)
		check_link(hooks[i].name, pod);
	check_link(INBOUND_NAME, pod);
	if (pod->policy.flags & POLICY_DRAINING)
		judge(pod, POD_DRAINING, "new connections go direct, live ones are kept");
	else if (!(pod->policy.flags & POLICY_ACTIVE))
		judge(pod, POD_INCOMPLETE, "attach did not complete");
	if (pod->nr_links < NR_LINKS)
		judge(pod, POD_INCOMPLETE, "links are missing");
	pod->nr_listeners = maps_count_listeners(dp, pod->cookie);
	pod->nr_numbers = maps_count_numbers(dp, pod->cookie);
}

int pod_is_stale(const struct datapath *dp, __u64 cookie, const struct policy *p)
{
	struct pod pod = { .cookie = cookie, .policy = *p };

	pod_examine(dp, &pod);
	return pod.state == POD_STALE;
}

int pod_read(const char *name,
	     int (*each)(void *ctx, const struct datapath *dp, const struct pod *pod,
			 struct st_err *e),
	     void *ctx, struct st_err *e)
{
	struct datapath dp;
	struct pod pod;
	int lock, err, found = 0;

	if (name && pod_check_name(name, e))
		return -EINVAL;
	lock = bpffs_lock(0, e);
	if (lock < 0)
		return lock == -ENOENT && !name ? 0 : lock;
	err = datapath_open(&dp, e);
	if (err) {
		bpffs_unlock(lock);
		return err == -ENOENT && !name ? 0 : err;
	}
	memset(&pod, 0, sizeof(pod));
	err = maps_next_policy(&dp, NULL, &pod.cookie, &pod.policy, e);
	while (!err) {
		__u64 cookie = pod.cookie;

		if (!name || !strcmp(name, pod.policy.name)) {
			found = 1;
			pod_examine(&dp, &pod);
			err = each(ctx, &dp, &pod, e);
		}
		memset(&pod, 0, sizeof(pod));
		err = err ?: maps_next_policy(&dp, &cookie, &pod.cookie, &pod.policy, e);
	}
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err != -ENOENT || (name && !found) ? err : 0;
}

int pod_counters(const struct datapath *dp, __u64 cookie, struct counters *ret)
{
	int cpus = libbpf_num_possible_cpus(), cpu, i;
	struct counters *per_cpu = cpus > 0 ? calloc(cpus, sizeof(*per_cpu)) : NULL;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	if (!per_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(dp->map[MAP_st_count], &cookie, per_cpu))
		err = -errno;
	for (cpu = 0; !err && cpu < cpus; cpu++)
		for (i = 0; i < WHY_COUNT; i++) {
			ret->n[i][0] += per_cpu[cpu].n[i][0];
			ret->n[i][1] += per_cpu[cpu].n[i][1];
		}
	free(per_cpu);
	return err;
}

/* Entries come and go meanwhile: a walk by keys would begin anew whenever the last one has gone. */
int pod_handshakes(const struct datapath *dp, void (*each)(void *ctx, __u64 cookie), void *ctx,
		   struct st_err *e)
{
	enum { BATCH = 1024 };
	struct handshake_key *keys = calloc(BATCH, sizeof(*keys));
	struct origin *values = calloc(BATCH, sizeof(*values));
	int fd = dp->map[MAP_st_handshake];
	__u32 at, n, i;
	void *from = NULL;
	int err = keys && values ? 0 : -ENOMEM;

	while (!err) {
		n = BATCH;
		if (bpf_map_lookup_batch(fd, from, &at, keys, values, &n, NULL))
			err = -errno;
		from = &at;
		for (i = 0; (!err || err == -ENOENT) && i < n; i++)
			each(ctx, keys[i].netns);
	}
	free(keys);
	free(values);
	return err == -ENOENT ? 0 : err_sys(e, -err, "map", "st_handshake");
}

static __u32 class_of(const struct datapath *dp, const struct policy *p, const struct addr *a,
		      struct addr *ret_source)
{
	const struct class_key k = { 32 + 128, p->id, *a };
	struct class_value v = {};

	if (bpf_map_lookup_elem(dp->map[MAP_st_class], &k, &v))
		v = (struct class_value){};
	if (ret_source)
		*ret_source = v.src;
	return v.class;
}

static __u32 id_class_of(const struct datapath *dp, const struct policy *p, __u32 kind, __u32 value)
{
	const struct id_key k = { p->id, kind, value };
	__u32 class = 0;

	return bpf_map_lookup_elem(dp->map[MAP_st_ids], &k, &class) ? 0 : class;
}

void pod_classify(const struct datapath *dp, const struct policy *p, struct flow *f, int inbound,
		  struct addr *ret_source)
{
	f->port_class = id_class_of(dp, p, ID_PORT, f->dport);
	if (inbound || !addr_is_zero(&f->src))
		f->src_class = class_of(dp, p, &f->src, NULL);
	if (inbound)
		return;
	f->dst_class = class_of(dp, p, &f->dst, ret_source);
	f->uid_class = id_class_of(dp, p, ID_UID, f->uid);
	f->gid_class = id_class_of(dp, p, ID_GID, f->gid);
}
