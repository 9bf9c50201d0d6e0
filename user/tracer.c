/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tracer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpffs.h"
#include "pod_maps.h"

#define SECOND 1000000000ULL
#define LAST_LINES 200 /* ms: at the end a reader that does not read is not waited for any longer */

enum stop {
	RUNNING,
	STOPPED, /* by a signal, or as nothing is attached: what is in the buffer is still shown, */
	UNREAD,	 /* unless nobody reads; then it is counted as lost */
	ENOUGH,	 /* the rest is not wanted */
};

struct follower {
	struct tracing_session *s;
	struct tracing *shared;
	struct ring_buffer *ring;
	int ring_map, signals;
	int place;	 /* -1: it was cleared away */
	__u64 until;	 /* what we wrote there */
	__u64 lost_here; /* of lost, in the place that we have */
	__u64 ticked;
	ino_t datapath, pod; /* of the pins: others come with another datapath, or pod */
	enum stop stop;
};

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t); /* what bpf_ktime_get_ns() has */
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* --- places --------------------------------------------------------------------------------------- */

static struct tracing *map_shared(const struct datapath *dp)
{
	int fd = dp->map[MAP_st_tracing];
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, sizeof(struct tracing), PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int set_until(struct tracing *t, int place, __u64 was, __u64 until)
{
	return __atomic_compare_exchange_n(&t->v[place].until, &was, until, 0, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static void listen_to(struct tracing *t, int place, int on)
{
	if (on)
		__atomic_fetch_or(&t->listening, 1u << place, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&t->listening, ~(1u << place), __ATOMIC_SEQ_CST);
}

/* The kernel frees the buffer when no program can be writing to it any more. */
static void empty(const struct datapath *dp, struct tracing *t, __u32 place)
{
	listen_to(t, place, 0);
	bpf_map_delete_elem(dp->map[MAP_st_tracers], &place);
}

void tracers_clear(const struct datapath *dp)
{
	struct tracing *t = map_shared(dp);
	__u64 until;
	int i;

	for (i = 0; t && i < ST_TRACERS; i++) {
		until = __atomic_load_n(&t->v[i].until, __ATOMIC_SEQ_CST);
		if (until && until < now() && set_until(t, i, until, 0))
			empty(dp, t, i);
	}
	if (t)
		munmap(t, sizeof(*t));
}

/* datapath_open() has cleared away those that expired. */
static int take_place(struct follower *f, const struct datapath *dp, struct st_err *e)
{
	struct tracing *t = f->shared;
	__u32 i;

	for (i = 0; i < ST_TRACERS && t->v[i].until; i++)
		;
	if (i == ST_TRACERS)
		return err_set(e, EBUSY, "tracers", NULL, "all %d places are taken", ST_TRACERS);
	t->v[i].filter = f->s->filter;
	t->v[i].lost = 0;
	if (bpf_map_update_elem(dp->map[MAP_st_tracers], &i, &f->ring_map, BPF_ANY))
		return err_sys(e, errno, "map", "st_tracers");
	f->ticked = now();
	f->until = f->ticked + TRACER_PATIENCE * SECOND;
	set_until(t, i, 0, f->until);
	listen_to(t, i, 1);
	f->place = i;
	f->lost_here = 0;
	return 0;
}

/* --- beginning and end ---------------------------------------------------------------------------- */

static ino_t inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

static ino_t pod_inode(const char *name)
{
	char dir[PATH_MAX];

	if (!name)
		return 0;
	bpffs_pod_dir(name, dir);
	return inode(dir);
}

static int gone(const struct follower *f, struct st_err *e)
{
	if (pod_inode(f->s->name) != f->pod)
		return err_set(e, ENOENT, "pod", f->s->name, "was detached");
	if (inode(ST_DIR "/st_tracing") != f->datapath)
		return err_set(e, ENOENT, "pods", NULL, "the last one was detached");
	return 0;
}

static int begin_again_locked(struct follower *f, const struct datapath *dp, struct st_err *e)
{
	return gone(f, e) ?: take_place(f, dp, e);
}

static int begin_locked(struct follower *f, const struct datapath *dp, struct st_err *e)
{
	const char *name = f->s->name;
	struct policy p;
	int err = 0;

	if (name)
		err = maps_find_policy(dp, name, &f->s->filter.netns, &p, e);
	if (err)
		return err;
	f->datapath = inode(ST_DIR "/st_tracing");
	f->pod = pod_inode(name);
	f->shared = map_shared(dp);
	if (!f->shared)
		return err_sys(e, errno, "map", "st_tracing");
	return take_place(f, dp, e);
}

static int with_datapath(struct follower *f,
			 int (*what)(struct follower *f, const struct datapath *dp,
				     struct st_err *e),
			 struct st_err *e)
{
	struct datapath dp;
	int err, lock = bpffs_lock(1, e);

	if (lock < 0)
		return lock;
	err = datapath_open(&dp, e);
	if (!err) {
		err = what(f, &dp, e);
		datapath_close(&dp);
	}
	bpffs_unlock(lock);
	return err;
}

static void tell_lost(struct follower *f)
{
	__u64 here, more;

	if (f->place < 0)
		return;
	here = __atomic_load_n(&f->shared->v[f->place].lost, __ATOMIC_SEQ_CST);
	more = here - f->lost_here;
	if (!more)
		return;
	f->lost_here = here;
	f->s->lost += more;
	if (f->s->missed)
		f->s->missed(f->s->ctx, more, 0);
}

/* Of another datapath the places are others'. */
static int leave_locked(struct follower *f, const struct datapath *dp, struct st_err *e)
{
	(void)e;
	if (f->place < 0 || inode(ST_DIR "/st_tracing") != f->datapath)
		return 0;
	if (!set_until(f->shared, f->place, f->until, now() + SECOND)) {
		f->place = -1;
		return 0;
	}
	empty(dp, f->shared, f->place); /* after this no program counts there any more */
	tell_lost(f);
	f->shared->v[f->place].until = 0;
	f->place = -1;
	return 0;
}

static int on_event(void *ctx, void *data, size_t size);

static int make_ring(struct follower *f, struct st_err *e)
{
	f->ring_map =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "st_trace_ring", 0, 0, TRACER_BUFFER, NULL);
	if (f->ring_map < 0)
		return err_sys(e, errno, "ring buffer", NULL);
	f->ring = ring_buffer__new(f->ring_map, on_event, f, NULL);
	return f->ring ? 0 : err_sys(e, errno, "ring buffer", NULL);
}

static int catch_signals(struct follower *f, struct st_err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return f->signals < 0 ? err_sys(e, errno, "signals", NULL) : 0;
}

/* --- following ------------------------------------------------------------------------------------ */

/* Once a second. Another has our place if we were stopped for long and somebody cleared it away. */
static int tick(struct follower *f, struct st_err *e)
{
	__u64 time = now(), until = time + TRACER_PATIENCE * SECOND;

	if (time < f->ticked + SECOND)
		return 0;
	f->ticked = time;
	if (gone(f, e))
		return -ENOENT;
	if (time > f->until && f->s->missed)
		f->s->missed(f->s->ctx, 0, (time - f->until) / SECOND + 1);
	if (f->place < 0 || !set_until(f->shared, f->place, f->until, until)) {
		f->place = -1;
		return with_datapath(f, begin_again_locked, e);
	}
	f->until = until;
	listen_to(f->shared, f->place, 1);
	tell_lost(f);
	return 0;
}

/* Waits for a signal, for the reader to end, and for OUT to take a line (WRITING) or for an event.
 * Returns 1 if the last of these is there.
 */
static int wait_for(struct follower *f, int writing, int ms)
{
	struct pollfd p[] = {
		{ .fd = f->stop ? -1 : f->signals, .events = POLLIN },
		{ .fd = f->s->out, .events = writing ? POLLOUT : 0 },
		{ .fd = writing ? -1 : ring_buffer__epoll_fd(f->ring), .events = POLLIN },
	};

	if (poll(p, 3, ms) <= 0)
		return 0;
	if (p[0].revents)
		f->stop = STOPPED;
	if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		f->stop = UNREAD;
	return f->stop != UNREAD && p[writing ? 1 : 2].revents;
}

/* The reader may take its time, and we stay alive meanwhile. At the end it may not. */
static int reader_is_ready(struct follower *f)
{
	struct st_err ignored = {};
	int stopped;

	while (f->stop < UNREAD) {
		stopped = f->stop;
		if (wait_for(f, 1, stopped ? LAST_LINES : 1000))
			return 1;
		if (stopped)
			f->stop = UNREAD;
		else
			tick(f, &ignored); /* follow() hears of it the next time */
	}
	return 0;
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct follower *f = ctx;

	if (size < sizeof(struct event) || f->stop == ENOUGH)
		return 0;
	if (!reader_is_ready(f))
		f->s->lost++;
	else if (f->s->each(f->s->ctx, data))
		f->stop = ENOUGH;
	return 0;
}

static int follow(struct follower *f, struct st_err *e)
{
	int err = 0;

	while (!f->stop && !err) {
		wait_for(f, 0, 1000);
		ring_buffer__consume(f->ring);
		if (!f->stop)
			err = tick(f, e);
	}
	if (!f->stop)
		f->stop = STOPPED;
	return err;
}

int tracer_follow(struct tracing_session *s, struct st_err *e)
{
	struct follower f = { .s = s, .ring_map = -1, .signals = -1, .place = -1 };
	struct st_err ignored = {};
	int err = catch_signals(&f, e);

	err = err ?: make_ring(&f, e);
	err = err ?: with_datapath(&f, begin_locked, e);
	s->began = !err;
	if (!err) {
		err = follow(&f, e);
		with_datapath(&f, leave_locked, &ignored);
		tell_lost(&f);
		ring_buffer__consume(f.ring);
	}
	if (f.shared)
		munmap(f.shared, sizeof(*f.shared));
	ring_buffer__free(f.ring);
	if (f.ring_map >= 0)
		close(f.ring_map);
	if (f.signals >= 0)
		close(f.signals);
	return err;
}
