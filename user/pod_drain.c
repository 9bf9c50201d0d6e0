/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_drain(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpffs.h"
#include "pod_impl.h"
#include "pod_maps.h"
#include "st_live.skel.h"

/* How long glibc's and musl's resolvers wait for an answer (resolv.conf(5), timeout). */
#define DNS_SECONDS 5

/* Whom to wait for, and what they have. */
struct draining {
	struct where {
		__u64 cookie, dev, ino; /* of the namespace */
	} * pods;
	size_t nr;
	unsigned int apps, proxies, udp; /* ends of TCP connections; UDP sockets */
	int tcp_prog, udp_prog;		 /* the programs that find the sockets */
};

static int add(struct draining *d, __u64 cookie, const struct policy *p)
{
	struct where *more = realloc(d->pods, (d->nr + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	d->pods = more;
	d->pods[d->nr++] = (struct where){ cookie, p->netns_dev, p->netns_ino };
	return 0;
}

static int load_counters(const struct datapath *dp, struct draining *d, struct st_err *e)
{
	struct st_live *skel = st_live__open();
	struct bpf_map *map;
	int err = skel ? 0 : -errno;

	if (err)
		return err_sys(e, -err, "program", "st_live");
	bpf_object__for_each_map(map, skel->obj)
		bpf_map__set_autocreate(map,
					map == skel->maps.st_origin || map == skel->maps.st_number);
	err = bpf_map__reuse_fd(skel->maps.st_origin, dp->map[MAP_st_origin]);
	err = err ?: bpf_map__reuse_fd(skel->maps.st_number, dp->map[MAP_st_number]);
	err = err ?: st_live__load(skel);
	if (!err) {
		d->tcp_prog = dup(bpf_program__fd(skel->progs.st_live_tcp));
		d->udp_prog = dup(bpf_program__fd(skel->progs.st_live_udp));
	}
	st_live__destroy(skel);
	return err ? err_sys(e, -err, "program", "st_live") : 0;
}

/* Gives each() the kind (enum origin_kind) of every socket of this namespace that the program names. */
static int count(int prog, void (*each)(struct draining *d, char kind), struct draining *d)
{
	int link = bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL);
	int iter = link < 0 ? -1 : bpf_iter_create(link);
	char kinds[4096];
	ssize_t n = -1, i;
	int err = 0;

	while (iter >= 0 && (n = read(iter, kinds, sizeof(kinds))) > 0)
		for (i = 0; i < n; i++)
			each(d, kinds[i]);
	if (n < 0)
		err = -errno;
	if (iter >= 0)
		close(iter);
	if (link >= 0)
		close(link);
	return err;
}

static void count_tcp(struct draining *d, char kind)
{
	if (kind == ORIGIN_PROXY)
		d->proxies++;
	else
		d->apps++;
}

static void count_udp(struct draining *d, char kind)
{
	(void)kind;
	d->udp++;
}

static int count_here(void *ctx, struct st_err *e)
{
	struct draining *d = ctx;
	int err = count(d->tcp_prog, count_tcp, d);

	err = err ?: count(d->udp_prog, count_udp, d);
	return err ? err_sys(e, -err, "search for live connections", NULL) : 0;
}

/* Who is nowhere to be found has no process any more that could hold a connection. */
static int count_live(struct draining *d, struct st_err *e)
{
	struct netns ns;
	int err = 0;
	size_t i;

	d->apps = d->proxies = d->udp = 0;
	for (i = 0; i < d->nr && !err; i++) {
		err = netns_find(d->pods[i].dev, d->pods[i].ino, d->pods[i].cookie, &ns, e);
		if (!err) {
			err = netns_run(&ns, count_here, d, e);
			netns_close(&ns);
		} else if (err == -ENOENT) {
			err = 0;
		}
	}
	return err;
}

/* From active to draining. What is neither, a wreck, has nothing that is answered for. */
static int begin_one(const struct datapath *dp, struct draining *d, __u64 cookie, struct policy *p,
		     struct st_err *e)
{
	if (!(p->flags & (POLICY_ACTIVE | POLICY_DRAINING)))
		return 0;
	if (add(d, cookie, p))
		return err_sys(e, ENOMEM, "pod", p->name);
	p->flags = (p->flags & ~POLICY_ACTIVE) | POLICY_DRAINING;
	return maps_put_policy(dp, cookie, p, BPF_EXIST, e);
}

static int begin(const char *name, struct draining *d, struct st_err *e)
{
	struct datapath dp;
	struct policy p;
	__u64 cookie;
	int err, lock = bpffs_lock(1, e);

	if (lock < 0)
		return lock;
	err = datapath_open(&dp, e);
	err = err ?: load_counters(&dp, d, e); /* before anything is changed */
	if (!err && name) {
		err = maps_find_policy(&dp, name, &cookie, &p, e);
		err = err ?: begin_one(&dp, d, cookie, &p, e);
	} else if (!err) {
		err = maps_next_policy(&dp, NULL, &cookie, &p, e);
		while (!err) {
			err = begin_one(&dp, d, cookie, &p, e);
			err = err ?: maps_next_policy(&dp, &cookie, &cookie, &p, e);
		}
		err = err == -ENOENT ? 0 : err;
	}
	err = err ?: pod_wait_for_readers(e);
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err;
}

/* Who was detached meanwhile is done; who was attached again is not to be detached. */
static int check_state(const struct datapath *dp, const struct draining *d, struct st_err *e)
{
	struct policy p;
	size_t i;
	int err;

	for (i = 0; i < d->nr; i++) {
		err = maps_get_policy(dp, d->pods[i].cookie, &p, e);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		if (p.flags & POLICY_ACTIVE)
			return err_set(e, ECANCELED, "pod", p.name, "was attached again meanwhile");
	}
	return 0;
}

static int look(struct draining *d, struct st_err *e)
{
	int err, lock = bpffs_lock(0, e);
	struct datapath dp;

	if (lock < 0)
		return lock;
	err = datapath_open(&dp, e);
	if (!err) {
		err = check_state(&dp, d, e);
		err = err ?: count_live(d, e);
		datapath_close(&dp);
	}
	bpffs_unlock(lock);
	return err;
}

int pod_drain(const char *name, unsigned int seconds, unsigned int *ret_left, struct st_err *e)
{
	const struct timespec tick = { .tv_nsec = 100000000 };
	struct draining d = { .tcp_prog = -1, .udp_prog = -1 };
	struct timespec start, now;
	unsigned int passed = 0;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &start);
	err = begin(name, &d, e);
	do {
		nanosleep(&tick, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		passed = now.tv_sec - start.tv_sec;
		err = err ?: look(&d, e);
		if (passed >= DNS_SECONDS)
			d.udp = 0;
	} while (!err && passed < seconds && d.apps + d.proxies + d.udp);
	*ret_left = d.apps > d.proxies ? d.apps : d.proxies;
	if (d.tcp_prog >= 0)
		close(d.tcp_prog);
	if (d.udp_prog >= 0)
		close(d.udp_prog);
	free(d.pods);
	return err;
}
