/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is seen from outside the pod, and the process that goes in. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "netns.h"

#define PATIENCE 60 /* seconds, for all attempts; each has its own, shorter one */

/* Below a cgroup that has controllers for its children no process may live: then below this one. */
#define LEAF "socktables-check"

/* --- what is seen ------------------------------------------------------------------------------- */

void checked_free(struct checked *s)
{
	datapath_close(&s->dp);
	pod_health_free(&s->health);
}

static int keep_counters(const struct datapath *dp, struct datapath *ret, struct st_err *e)
{
	int *fd = &ret->map[MAP_st_count];

	datapath_init(ret);
	*fd = fcntl(dp->map[MAP_st_count], F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? err_sys(e, errno, "map", map_names[MAP_st_count]) : 0;
}

int check_look(const struct datapath *dp, const struct pod *pod, struct checked *ret,
	       struct check *c, struct st_err *e)
{
	static const struct policy_sum none;
	struct health *h = &ret->health;
	struct policy_sums sums = {};
	const struct finding *f;
	struct attempt *a;
	enum outcome o;
	int err = keep_counters(dp, &ret->dp, e);

	memset(h, 0, sizeof(*h));
	ret->pod = *pod;
	err = err ?: pod_sums_read(dp, &sums, e);
	err = err ?: pod_health(dp, pod, pod_sums_of(&sums, pod->policy.id) ?: &none, h, e);
	pod_sums_free(&sums);
	for (f = h->findings; !err && f < h->findings + h->nr; f++) {
		o = f->severity < SEVERITY_DEGRADED ? OUTCOME_NOTE : OUTCOME_FAILED;
		a = check_add(c, o, f->code);
		if (a)
			check_told(a, o, "%s", f->text);
	}
	a = !err && h->nr_effective == NR_LINKS ? check_add(c, OUTCOME_OK, "hooks") : NULL;
	if (a)
		check_told(a, OUTCOME_OK, "all %d in effect", NR_LINKS);
	return err;
}

/* --- inside -------------------------------------------------------------------------------------- */

/* 0 is the caller; it must have no other thread. */
static int move_into(const char *dir)
{
	char path[PATH_MAX];
	int fd, err = 0;

	if (snprintf(path, sizeof(path), "%s/cgroup.procs", dir) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, "0", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}

static int enter_cgroup(const char *dir, struct st_err *e)
{
	char leaf[PATH_MAX];
	int err = move_into(dir);

	if (err == -EBUSY && snprintf(leaf, sizeof(leaf), "%s/" LEAF, dir) < PATH_MAX) {
		err = mkdir(leaf, 0755) && errno != EEXIST ? -errno : 0;
		err = err ?: move_into(leaf);
	}
	return err ? err_sys(e, -err, "entering cgroup", dir) : 0;
}

struct visit {
	const struct checked *seen;
	struct check *check;
	struct netns ns;
};

static int try_all(void *ctx, struct st_err *e)
{
	const struct visit *v = ctx;
	const struct checked *s = v->seen;
	struct check *c = v->check;
	int i, nr = c->nr;

	(void)e;
	for (i = 0; i < nr; i++)
		if (c->v[i].flow.proto)
			check_try(&s->dp, s->pod.cookie, &s->health, &c->v[i]);
	return 0;
}

/* Never returns. Whatever holds it up, it ends. */
static void visit(struct visit *v)
{
	int err;

	signal(SIGINT, SIG_DFL);
	alarm(PATIENCE);
	err = prctl(PR_SET_PDEATHSIG, SIGKILL) || setgroups(0, NULL)
		      ? err_sys(&v->check->e, errno, "check", NULL)
		      : 0;
	err = err ?: enter_cgroup(v->seen->health.cgroup, &v->check->e);
	err = err ?: netns_run(&v->ns, try_all, v, &v->check->e);
	_exit(!!err);
}

/* Whoever enters it stops there, until it is thawed or killed. */
static int is_frozen(const char *cgroup)
{
	char path[PATH_MAX], line[32];
	int frozen = 0;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/cgroup.events", cgroup) >= PATH_MAX)
		return 0;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		frozen |= !strcmp(line, "frozen 1\n");
	if (f)
		fclose(f);
	return frozen;
}

static int tell_frozen(const struct visit *v, struct st_err *e)
{
	err_hint(e, "thawed by 'echo 0 > %s/cgroup.freeze', or by whoever froze it or one above",
		 v->seen->health.cgroup);
	return err_set(e, EBUSY, "pod", v->seen->pod.policy.name, "its cgroup is frozen");
}

/* Until it has ended or its time is over. Returns 1 if it will not go on, as it is frozen. */
static int await_visitor(const struct visit *v, int end)
{
	struct pollfd gone = { end, POLLIN, 0 };
	int left = PATIENCE + 5;

	while (left-- && !poll(&gone, 1, 1000))
		if (is_frozen(v->seen->health.cgroup))
			return 1;
	return 0;
}

static int send_visitor(struct visit *v, struct st_err *e)
{
	int ends[2], status = 0, frozen;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return err_sys(e, errno, "check", NULL);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_sys(e, errno, "check", NULL);
	}
	if (!pid)
		visit(v);
	close(ends[1]); /* now the visitor alone has it: it is closed when that ends */
	frozen = await_visitor(v, ends[0]);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close(ends[0]);
	if (v->check->e.text[0]) {
		*e = v->check->e;
		return -EIO;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (frozen)
		return tell_frozen(v, e);
	return err_set(e, ETIMEDOUT, "check", v->seen->pod.policy.name,
		       "what was sent into the pod did not come to an end");
}

int check_run(const struct checked *s, struct check *c, struct st_err *e)
{
	const struct policy *p = &s->pod.policy;
	struct visit v = { .seen = s, .check = c };
	char leaf[PATH_MAX];
	int err;

	if (is_frozen(s->health.cgroup))
		return tell_frozen(&v, e);
	err = netns_find(p->netns_dev, p->netns_ino, s->pod.cookie, &v.ns, e);
	if (err == -ENOENT)
		return err_set(e, ESTALE, "pod", p->name, "its network namespace is gone");
	if (err)
		return err;
	err = send_visitor(&v, e);
	if (snprintf(leaf, sizeof(leaf), "%s/" LEAF, s->health.cgroup) < PATH_MAX)
		rmdir(leaf); /* there only if it was needed; another check may still need it */
	netns_close(&v.ns);
	return err;
}
