/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is seen from outside the pod, and the process that goes in. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
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
#include "socktab.h"

#define PATIENCE 60 /* seconds, for all attempts; each has its own, shorter one */

/* Below a cgroup that has controllers for its children no process may live: then below this one. */
#define LEAF "socktables-check"

/* --- links --------------------------------------------------------------------------------------- */

int check_hooks(const struct pod *pod, int cgroup, struct check *c, struct st_err *e)
{
	struct attempt *a;
	char what[64];
	int i, nr = pod_inbound_runs(pod);

	if (!nr && (a = check_add(c, OUTCOME_FAILED, "hook sk_lookup")))
		check_told(a, OUTCOME_FAILED,
			   "its link is gone or broken: 'socktables attach' again repairs it");
	for (i = 0; i < NR_HOOKS; i++) {
		if (pod_hook_runs(pod, i, cgroup)) {
			nr++;
			continue;
		}
		snprintf(what, sizeof(what), "hook %s", hooks[i].section);
		a = check_add(c, OUTCOME_FAILED, what);
		if (!a)
			return err_sys(e, E2BIG, "check", NULL);
		check_told(
			a, OUTCOME_FAILED,
			"not in effect on the pod's cgroup: 'socktables attach' again repairs it");
	}
	a = nr == NR_LINKS ? check_add(c, OUTCOME_OK, "hooks") : NULL;
	if (a)
		check_told(a, OUTCOME_OK, "all %d in effect", nr);
	return 0;
}

/* --- the proxy's owner --------------------------------------------------------------------------- */

/* Whether one of the process's files is that socket. */
static int has_socket(const char *pid, const char *link)
{
	char path[300], text[64];
	struct dirent *d;
	int found = 0;
	ssize_t n;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (d = readdir(fds))) {
		n = readlinkat(dirfd(fds), d->d_name, text, sizeof(text) - 1);
		if (n > 0)
			text[n] = '\0';
		found = n > 0 && !strcmp(text, link);
	}
	if (fds)
		closedir(fds);
	return found;
}

/* The effective gid of who has that socket. -ENOENT: nobody whom we may look at. */
static int gid_of(__u64 inode, __u32 *ret)
{
	char link[64], path[300], line[256];
	DIR *proc = opendir("/proc");
	int err = -ENOENT;
	struct dirent *d;
	FILE *f;

	snprintf(link, sizeof(link), "socket:[%llu]", inode);
	while (proc && err && (d = readdir(proc))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9' || !has_socket(d->d_name, link))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/status", d->d_name);
		f = fopen(path, "re");
		while (f && err && fgets(line, sizeof(line), f))
			err = sscanf(line, "Gid: %*u %u", ret) == 1 ? 0 : -ENOENT;
		if (f)
			fclose(f);
	}
	if (proc)
		closedir(proc);
	return err;
}

/* A proxy that is not whom the policy takes for it is sent its own traffic, for ever. In the namespace. */
static void check_owner(const struct datapath *dp, const struct policy *p, struct check *c)
{
	struct socktab_row row;
	struct flow f = {};
	struct attempt *a;
	__u32 gid = -1;
	int known;

	if (socktab_listener(ST_TCP, 1, p->outbound_port, &row) <= 0)
		return;
	a = check_add(c, OUTCOME_NOT_TRIED, "the proxy's owner");
	if (!a)
		return;
	known = !gid_of(row.inode, &gid);
	f = (struct flow){ .uid = row.uid, .gid = gid };
	pod_classify(dp, p, &f, 0, NULL);
	if (row.uid == p->uid || f.uid_class & OWNER_PROXY)
		check_told(a, OUTCOME_OK, "uid %u listens on port %u", row.uid, p->outbound_port);
	else if (!known)
		check_told(a, OUTCOME_NOT_TRIED,
			   "uid %u listens on port %u, its group cannot be found: to look for it "
			   "takes CAP_SYS_PTRACE",
			   row.uid, p->outbound_port);
	else if (gid == p->gid || f.gid_class & OWNER_PROXY)
		check_told(a, OUTCOME_OK, "gid %u listens on port %u", gid, p->outbound_port);
	else
		check_told(a, OUTCOME_FAILED,
			   "uid %u, gid %u listens on port %u, but the policy's proxy is uid %u, "
			   "gid %u: "
			   "what it sends comes back to it",
			   row.uid, gid, p->outbound_port, p->uid, p->gid);
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
	const struct datapath *dp;
	const struct pod *pod;
	struct check *check;
	struct netns ns;
	char cgroup[PATH_MAX];
};

static int try_all(void *ctx, struct st_err *e)
{
	const struct visit *v = ctx;
	struct check *c = v->check;
	int i, nr = c->nr;

	(void)e;
	check_owner(v->dp, &v->pod->policy, c);
	for (i = 0; i < nr; i++)
		if (c->v[i].flow.proto)
			check_try(v->dp, v->pod->cookie, &c->v[i]);
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
	err = err ?: enter_cgroup(v->cgroup, &v->check->e);
	err = err ?: netns_run(&v->ns, try_all, v, &v->check->e);
	_exit(!!err);
}

static int send_visitor(struct visit *v, struct st_err *e)
{
	struct pollfd gone = { .events = POLLIN };
	int ends[2], status = 0;
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
	gone.fd = ends[0];
	poll(&gone, 1, (PATIENCE + 5) * 1000);
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
	err_hint(e, "is the pod's cgroup frozen?");
	return err_set(e, ETIMEDOUT, "check", v->pod->policy.name,
		       "what was sent into the pod did not come to an end");
}

int check_run(const struct datapath *dp, const struct pod *pod, struct check *c, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	struct visit v = { .dp = dp, .pod = pod, .check = c };
	char leaf[PATH_MAX];
	int err = cgroup_path(p->cgroup_id, v.cgroup);

	if (err)
		return err_sys(e, -err, "cgroup of pod", p->name);
	err = netns_find(p->netns_dev, p->netns_ino, pod->cookie, &v.ns, e);
	if (err == -ENOENT)
		return err_set(e, ESTALE, "pod", p->name, "its network namespace is gone");
	if (err)
		return err;
	err = send_visitor(&v, e);
	if (snprintf(leaf, sizeof(leaf), "%s/" LEAF, v.cgroup) < PATH_MAX)
		rmdir(leaf); /* there only if it was needed; another check may still need it */
	netns_close(&v.ns);
	return err;
}
