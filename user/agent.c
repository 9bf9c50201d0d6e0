/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bpffs.h"
#include "cgroup.h"
#include "netns.h"
#include "nsid.h"
#include "pod.h"

/* In ms. A change of a pod comes as several messages; a pod that changes all the time gets a tenth of
 * the agent's; the kernel lets go of links some time after it said that a namespace is gone.
 */
#define SETTLE 20
#define RETRY 10000
#define LOOK_AGAIN 200
#define LOOKS 25

struct tracked {
	__u64 cookie;
	int nsid; /* -1: its namespace is gone */
	int dirty, seen;
	__u64 rest_until;
};

struct agent {
	int socket, notify, signals, lock;
	int on_root, on_pods; /* watches of inotify */
	struct tracked *pods;
	size_t nr;
	__u64 *told; /* pods that could not be cleared away, by cookie */
	size_t nr_told;
	int look;	/* pods may have come or gone */
	int stale;	/* a pod has, and is to be cleared away */
	int looks_left; /* at pods that end */
	void (*complain)(const struct st_err *e);
	struct st_err why; /* the first pod's that cannot be tracked: to be told without the lock */
};

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static void settle(void)
{
	const struct timespec t = { .tv_nsec = SETTLE * 1000000 };

	nanosleep(&t, NULL);
}

/* --- which pods there are ----------------------------------------------------------------------- */

/* The directory of pods comes with the first and goes with the last. Who has the lock on it is the one
 * agent: unlike a file in /run it leaves nothing, and nobody but root can take it.
 */
static int lock_pods(struct agent *a, struct st_err *e)
{
	int fd = open(ST_PODS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat mine, st;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "directory", ST_PODS);
	if (a->lock >= 0 && !fstat(a->lock, &mine) && !fstat(fd, &st) && mine.st_ino == st.st_ino) {
		close(fd);
		return 0;
	}
	if (a->lock >= 0)
		close(a->lock);
	a->lock = fd;
	return flock(fd, LOCK_EX | LOCK_NB) ? err_set(e, EBUSY, "agent", NULL, "runs already") : 0;
}

static int watch(struct agent *a, struct st_err *e)
{
	a->on_root = inotify_add_watch(a->notify, ST_BPFFS, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
	if (a->on_root < 0)
		return err_sys(e, errno, "watch of", ST_BPFFS);
	a->on_pods =
		inotify_add_watch(a->notify, ST_PODS, IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR);
	if (a->on_pods < 0 && errno != ENOENT)
		return err_sys(e, errno, "watch of", ST_PODS);
	return lock_pods(a, e);
}

static struct tracked *find(struct agent *a, __u64 cookie)
{
	struct tracked *t;

	for (t = a->pods; t < a->pods + a->nr; t++)
		if (t->cookie == cookie)
			return t;
	return NULL;
}

static struct tracked *add(struct agent *a, __u64 cookie, int nsid)
{
	struct tracked *more = realloc(a->pods, (a->nr + 1) * sizeof(*more));

	if (!more)
		return NULL;
	a->pods = more;
	more[a->nr] = (struct tracked){ .cookie = cookie, .nsid = nsid, .dirty = 1, .seen = 1 };
	return &more[a->nr++];
}

/* The end of a cgroup is seen in the directory around it. */
static int watch_cgroup(struct agent *a, __u64 id)
{
	char path[PATH_MAX];

	return cgroup_path(id, path) ||
	       inotify_add_watch(a->notify, dirname(path), IN_DELETE | IN_ONLYDIR) < 0;
}

/* First its number, then a look at it: no change is missed between. Its namespace must not stay open.
 * -ENOENT (e untouched): it is gone.
 */
static int track(struct agent *a, const struct pod *pod, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	struct netns ns;
	int nsid, err = netns_find(p->netns_dev, p->netns_ino, pod->cookie, &ns, e);

	if (err)
		return err;
	err = nsid_assign(ns.fd, &nsid, e);
	netns_close(&ns);
	if (!err && !add(a, pod->cookie, nsid))
		err = err_sys(e, ENOMEM, "pod", p->name);
	return err;
}

static int see_pod(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct tracked *t = find(ctx, pod->cookie);
	struct agent *a = ctx;

	(void)dp, (void)e;
	a->stale |= pod->state == POD_STALE;
	if (t)
		t->seen = 1;
	if (!(pod->policy.flags & POLICY_ACTIVE))
		return 0;
	if (watch_cgroup(a, pod->policy.cgroup_id) || (t && t->nsid < 0))
		a->look |= pod->state != POD_STALE;
	if (!t)
		track(a, pod, &a->why);
	return 0;
}

/* Of each pod once, as long as there are any. */
static void tell_failure(void *ctx, const struct pod_failure *failure)
{
	struct agent *a = ctx;
	__u64 *more;
	size_t i;

	for (i = 0; i < a->nr_told; i++)
		if (a->told[i] == failure->cookie)
			return;
	a->complain(&failure->why);
	more = realloc(a->told, (a->nr_told + 1) * sizeof(*more));
	if (!more)
		return;
	a->told = more;
	more[a->nr_told++] = failure->cookie;
}

/* What failed may fail no more when it is tried again, as often as there is something to look at. */
static void clear_away(struct agent *a)
{
	struct pod_failures failed = {};
	struct st_err e = {};
	int err = a->stale ? pod_detach_all(1, &failed, &e) : 0;

	if (err && !failed.nr)
		a->complain(&e);
	pod_failures_tell(&failed, tell_failure, a);
	a->look |= !!err;
	if (!err)
		a->nr_told = 0;
}

static int look_at_pods(struct agent *a, struct st_err *e)
{
	struct tracked *from, *to;
	int err = watch(a, e);

	a->look = 0;
	for (from = a->pods; from < a->pods + a->nr; from++)
		from->seen = 0;
	a->stale = 0;
	err = err ?: pod_read(NULL, see_pod, a, e);
	if (a->why.text[0])
		a->complain(&a->why);
	a->why = (struct st_err){};
	if (err)
		return err;
	clear_away(a);
	for (from = to = a->pods; from < a->pods + a->nr; from++)
		if (from->seen)
			*to++ = *from;
	a->nr = to - a->pods;
	return 0;
}

/* --- what happens ------------------------------------------------------------------------------- */

static void on_message(void *ctx, int nsid, enum nsid_event what)
{
	struct agent *a = ctx;
	struct tracked *t;

	for (t = a->pods; t < a->pods + a->nr; t++) {
		if (what != NSID_LOST && t->nsid != nsid)
			continue;
		t->dirty = what != NSID_GONE;
		if (what == NSID_GONE)
			t->nsid = -1;
	}
	if (what != NSID_CHANGED) {
		a->look = 1;
		a->looks_left = LOOKS;
	}
}

static int on_notice(struct agent *a, const struct inotify_event *ev, struct st_err *e)
{
	if (ev->mask & IN_UNMOUNT)
		return err_set(e, ENODEV, "bpffs", ST_BPFFS, "unmounted");
	if (ev->wd == a->on_root && (!ev->len || strcmp(ev->name, ST_DIR + sizeof(ST_BPFFS))))
		return 0; /* what others pin */
	a->look = 1;
	a->looks_left = LOOKS;
	return 0;
}

static int read_notices(struct agent *a, struct st_err *e)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *ev;
	ssize_t n, at;
	int err = 0;

	while (!err && (n = read(a->notify, buf, sizeof(buf))) > 0) {
		for (at = 0; !err && at < n; at += sizeof(*ev) + ev->len) {
			ev = (void *)(buf + at);
			err = on_notice(a, ev, e);
		}
	}
	return err;
}

/* Returns how long to rest until something is to be done without a message, -1: for ever. */
static int refresh_dirty(struct agent *a)
{
	__u64 begin = now(), end, wake = -1;
	struct tracked *t;
	struct st_err e;
	int err;

	for (t = a->pods; t < a->pods + a->nr; t++) {
		if (!t->dirty)
			continue;
		if (t->rest_until <= begin) {
			e = (struct st_err){};
			err = pod_refresh(t->cookie, &e);
			end = now();
			t->dirty = err < 0 && e.text[0];
			t->rest_until = t->dirty ? end + RETRY : end + 10 * (end - begin);
			if (t->dirty)
				a->complain(&e);
			begin = end;
		}
		if (t->dirty && t->rest_until < wake)
			wake = t->rest_until;
	}
	if (a->look && a->looks_left > 0 && begin + LOOK_AGAIN < wake)
		wake = begin + LOOK_AGAIN;
	return wake == (__u64)-1 ? -1 : wake > begin ? (int)(wake - begin) : 1;
}

static int loop(struct agent *a, struct st_err *e)
{
	struct pollfd fds[] = { { a->signals, POLLIN, 0 },
				{ a->socket, POLLIN, 0 },
				{ a->notify, POLLIN, 0 } };
	int err, rest;

	for (;;) {
		err = read_notices(a, e);
		err = err ?: nsid_receive(a->socket, on_message, a, e);
		if (!err && a->look && a->looks_left-- > 0)
			err = look_at_pods(a, e);
		if (err)
			return err;
		rest = refresh_dirty(a);
		if (poll(fds, 3, rest) < 0 && errno != EINTR)
			return err_sys(e, errno, "poll", NULL);
		if (fds[0].revents)
			return 0;
		if (fds[1].revents | fds[2].revents)
			settle();
	}
}

static int open_signals(struct st_err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "signals", NULL) : fd;
}

static int open_notify(struct st_err *e)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	return fd < 0 ? err_sys(e, errno, "inotify", NULL) : fd;
}

int agent_run(void (*complain)(const struct st_err *e), struct st_err *e)
{
	struct agent a = { .signals = -1,
			   .notify = -1,
			   .lock = -1,
			   .look = 1,
			   .looks_left = LOOKS,
			   .complain = complain };
	int err = bpffs_mount(e);

	a.socket = err ? err : nsid_listen(e);
	a.signals = a.socket < 0 ? a.socket : open_signals(e);
	a.notify = a.signals < 0 ? a.signals : open_notify(e);
	err = a.notify < 0 ? a.notify : loop(&a, e);
	if (a.socket >= 0)
		close(a.socket);
	if (a.signals >= 0)
		close(a.signals);
	if (a.notify >= 0)
		close(a.notify);
	if (a.lock >= 0)
		close(a.lock);
	free(a.pods);
	free(a.told);
	return err;
}

/* --- once --------------------------------------------------------------------------------------- */

static int take_note(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct agent *a = ctx;

	(void)dp;
	return add(a, pod->cookie, -1) ? 0 : err_sys(e, ENOMEM, "pod", pod->policy.name);
}

int agent_once(struct st_err *e)
{
	struct agent a = {};
	struct tracked *t;
	int err = pod_read(NULL, take_note, &a, e), one;

	for (t = a.pods; t < a.pods + a.nr; t++) {
		one = pod_refresh(t->cookie, e);
		if (one < 0 && !err && e->text[0])
			err = one;
	}
	free(a.pods);
	return err;
}
