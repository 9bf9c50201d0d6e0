/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "values.h"

#define END_PATIENCE 50 /* tenths of a second */

int identity_of(const char *user, struct identity *ret, struct st_err *e)
{
	struct passwd *p = getpwnam(user);
	__u32 id;

	if (p) {
		*ret = (struct identity){ .uid = p->pw_uid, .gid = p->pw_gid, .user = user };
		return 0;
	}
	if (id_parse(user, &id))
		return err_set(e, EINVAL, "user", user, "no such user");
	*ret = (struct identity){ .uid = id, .gid = id };
	return 0;
}

static int become(const struct identity *who)
{
	if (who->keep)
		return 0;
	if (who->user ? initgroups(who->user, who->gid) : setgroups(0, NULL))
		return -1;
	return setresgid(who->gid, who->gid, who->gid) || setresuid(who->uid, who->uid, who->uid)
		       ? -1
		       : 0;
}

/* Its standard input is the command's alone. */
static int go_quiet(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd < 0 || dup2(fd, STDIN_FILENO) < 0;
}

/* What to do as a shell would: 127 for what is not there, 126 for what cannot be executed. */
static void run_child(char *const *argv, const struct identity *who, int go, pid_t parent)
{
	struct st_err e = {};
	sigset_t none;
	int err;
	char c;

	if (read(go, &c, 1) != 1)
		_exit(1);
	sigemptyset(&none);
	if (who->apart && (setsid() < 0 || go_quiet()))
		_exit(126);
	if (become(who) || prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    sigprocmask(SIG_SETMASK, &none, NULL)) {
		fprintf(stderr, "socktables: run: becoming uid %u, gid %u: %s\n", who->uid,
			who->gid, strerror(errno));
		_exit(126);
	}
	if (getppid() != parent)
		_exit(1);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	err = errno;
	err_sys(&e, err, "command", argv[0]);
	fprintf(stderr, "socktables: run: %s\n", e.text);
	_exit(err == ENOENT ? 127 : 126);
}

int run_start(char *const *argv, const struct identity *who, struct started *ret, struct st_err *e)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_sys(e, errno, "pipe", NULL);
	*ret = (struct started){ .pid = fork(), .go = ends[1], .running = 1, .apart = who->apart };
	if (ret->pid < 0) {
		close(ends[0]);
		close(ends[1]);
		*ret = (struct started){};
		return err_sys(e, errno, "fork", NULL);
	}
	if (!ret->pid) {
		close(ends[1]);
		run_child(argv, who, ends[0], parent);
	}
	close(ends[0]);
	return 0;
}

void run_go(struct started *s)
{
	while (write(s->go, "", 1) < 0 && errno == EINTR)
		;
	close(s->go);
	s->go = -1;
}

void run_reap(struct started *s)
{
	if (s->running && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
		s->running = 0;
}

int run_exit_status(const struct started *s)
{
	return WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
}

void run_end(struct started *s)
{
	const struct timespec tenth = { .tv_nsec = 100 * 1000 * 1000 };
	int i;

	if (!s->pid || !s->running)
		return;
	if (s->go >= 0)
		close(s->go);
	/* A shell does not pass it on; before it was let go there is no such group. */
	if (!s->apart || kill(-s->pid, SIGTERM))
		kill(s->pid, SIGTERM);
	for (i = 0; i < END_PATIENCE && s->running; i++) {
		run_reap(s);
		if (s->running)
			nanosleep(&tenth, NULL);
	}
	if (s->running && !kill(s->pid, SIGKILL) && waitpid(s->pid, &s->status, 0) == s->pid)
		s->running = 0;
}
