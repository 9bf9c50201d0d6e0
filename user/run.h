/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of the command run: who is started, and how it is waited for. */
#ifndef SOCKTABLES_RUN_H
#define SOCKTABLES_RUN_H

#include <limits.h>
#include <linux/types.h>
#include <sys/types.h>

#include "err.h"

/* A cgroup below PARENT, with one for the command and one for the proxy. It is a pod of that name. */
struct run_place {
	const char *parent;
	char name[32], dir[PATH_MAX];
	int lock; /* held as long as we live */
};

/* Clears away what is nobody's any more, and makes it. Returns 0 or -errno with e filled; in any case
 * place_remove() may follow, which ends whoever is still there.
 */
int place_make(struct run_place *place, struct st_err *e);
void place_remove(struct run_place *place);

/* part: "command" or "proxy". Returns 0 or -errno with e filled. */
int place_move(const struct run_place *place, const char *part, pid_t pid, struct st_err *e);

/* Ends all that the command left running. */
void place_kill(const struct run_place *place);

/* A process that was forked with all privileges, and waits to be let go or for our end. */
struct started {
	pid_t pid;   /* 0: none */
	int go;	     /* a byte lets it go, the end of file ends it */
	int running; /* 1 until it was reaped */
	int apart;   /* as in struct identity */
	int status;  /* then of waitpid() */
};

/* Who it is to be. */
struct identity {
	__u32 uid, gid;
	const char *user; /* whose supplementary groups it gets; NULL: none */
	int keep;	  /* 1: as who we are */
	int apart; /* 1: in a session of its own, so that the terminal's signals are not for it */
};

/* A user by name or number. Returns 0, or -EINVAL with e filled. */
int identity_of(const char *user, struct identity *ret, struct st_err *e);

/* Forks a process that will execute argv as that user, and ends when we do. Returns 0 or -errno with e
 * filled. Signals have to be blocked: it unblocks them.
 */
int run_start(char *const *argv, const struct identity *who, struct started *ret, struct st_err *e);
void run_go(struct started *s);

/* Reaps what has ended. */
void run_reap(struct started *s);

/* As a shell has it: the exit status, or 128 and the signal. */
int run_exit_status(const struct started *s);

/* Ends it, by SIGTERM and after some seconds by SIGKILL, and reaps it. */
void run_end(struct started *s);

#endif
