/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_drain() and pod_drain_all(). */
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
	struct pod_failures *failed;	 /* of all pods; NULL: of a single one */
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
static int count_live(struct draining *d, const struct where *w, struct st_err *e)
{
	struct netns ns;
	int err = netns_find(w->dev, w->ino, w->cookie, &ns, e);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = netns_run(&ns, count_here, d, e);
	netns_close(&ns);
	return err;
}

/* From active to draining, if we may look for what it has. What is neither, a wreck, has nothing that is
 * answered for.
 */
static int begin_one(const struct datapath *dp, struct draining *d, __u64 cookie, struct policy *p,
		     struct st_err *e)
{
	struct netns ns;
	int err;

	if (!(p->flags & (POLICY_ACTIVE | POLICY_DRAINING)))
		return 0;
	err = netns_find(p->netns_dev, p->netns_ino, cookie, &ns, e);
	if (!err)
		netns_close(&ns);
	else if (err != -ENOENT)
		return err;
	if (add(d, cookie, p))
		return err_sys(e, ENOMEM, "pod", p->name);
	p->flags = (p->flags & ~POLICY_ACTIVE) | POLICY_DRAINING;
	err = pod_put_policy(dp, cookie, p, e);
	if (err)
		d->nr--;
	return err;
}

static int begin_all(const struct datapath *dp, struct draining *d, struct st_err *e)
{
	struct policy p;
	__u64 cookie;
	int err = maps_next_policy(dp, NULL, &cookie, &p, e);

	while (!err) {
		struct st_err why = {};

		if (begin_one(dp, d, cookie, &p, &why))
			pod_failed(d->failed, cookie, p.name, &why);
		err = maps_next_policy(dp, &cookie, &cookie, &p, e);
	}
	return err == -ENOENT ? 0 : err;
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
	if (d->failed) {
		err = err ?: begin_all(&dp, d, e);
	} else {
		err = err ?: maps_find_policy(&dp, name, &cookie, &p, e);
		err = err ?: begin_one(&dp, d, cookie, &p, e);
	}
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err;
}

/* Who was detached meanwhile is done; who was attached again is not to be detached, nor waited for. */
static int look_at(const struct datapath *dp, struct draining *d, const struct where *w,
		   struct policy *p, struct st_err *e)
{
	int err = maps_get_policy(dp, w->cookie, p, e);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!(p->flags & POLICY_ACTIVE))
		return count_live(d, w, e);
	return d->failed ? 0 : err_set(e, ECANCELED, "pod", p->name, ATTACHED_AGAIN);
}

/* Of several pods one that cannot be looked at is given up: it stays as it is. */
static int look(struct draining *d, struct st_err *e)
{
	int err, lock = bpffs_lock(0, e);
	struct datapath dp;
	size_t i;

	if (lock < 0)
		return lock;
	d->apps = d->proxies = d->udp = 0;
	err = datapath_open(&dp, e);
	for (i = 0; i < d->nr && !err; i++) {
		struct policy p = {};
		struct st_err why = {};

		err = look_at(&dp, d, &d->pods[i], &p, d->failed ? &why : e);
		if (err && d->failed) {
			pod_failed(d->failed, d->pods[i].cookie, p.name, &why);
			d->pods[i--] = d->pods[--d->nr];
			err = 0;
		}
	}
	datapath_close(&dp);
	bpffs_unlock(lock);
	return err;
}

/* NAME or, if there is d->failed, all. Returns when all have ended, or time is up. */
static int drain(const char *name, unsigned int seconds, struct draining *d, unsigned int *ret_left,
		 struct st_err *e)
{
	const struct timespec tick = { .tv_nsec = 100000000 };
	struct timespec start, now;
	unsigned int passed = 0;
	int err;

	d->tcp_prog = d->udp_prog = -1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	err = begin(name, d, e);
	do {
		nanosleep(&tick, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		passed = now.tv_sec - start.tv_sec;
		err = err ?: look(d, e);
		if (passed >= DNS_SECONDS)
			d->udp = 0;
	} while (!err && passed < seconds && d->apps + d->proxies + d->udp);
	*ret_left = d->apps > d->proxies ? d->apps : d->proxies;
	if (d->tcp_prog >= 0)
		close(d->tcp_prog);
	if (d->udp_prog >= 0)
		close(d->udp_prog);
	return err;
}

int pod_drain(const char *name, unsigned int seconds, unsigned int *ret_left, struct st_err *e)
{
	struct draining d = {};
	int err = drain(name, seconds, &d, ret_left, e);

	free(d.pods);
	return err;
}

static int is_drained(void *ctx, const struct datapath *dp, __u64 cookie, const struct policy *p,
		      struct st_err *e)
{
	const struct draining *d = ctx;
	size_t i;

	(void)dp;
	if (!(p->flags & (POLICY_ACTIVE | POLICY_DRAINING)))
		return 1; /* a wreck */
	for (i = 0; i < d->nr; i++) {
		if (d->pods[i].cookie != cookie)
			continue;
		if (!(p->flags & POLICY_ACTIVE))
			return 1;
		*e = (struct st_err){ .text = ATTACHED_AGAIN };
		return -ECANCELED;
	}
	return 0;
}

int pod_drain_all(unsigned int seconds, unsigned int *ret_left, struct pod_failures *failed,
		  struct st_err *e)
{
	struct draining d = { .failed = failed };
	int err = drain(NULL, seconds, &d, ret_left, e);

	if (!err || err == -ENOENT) /* nothing is attached, or is any more: there may be wrecks */
		err = pod_detach_chosen(is_drained, &d, REST_WRECKS, failed, e);
	free(d.pods);
	return err;
}
