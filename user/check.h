/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A live pod is tried: a connection of each kind that its policy speaks of, made from inside, as whom it
 * speaks of; does what happens to it what the verdict says?
 */
#ifndef SOCKTABLES_CHECK_H
#define SOCKTABLES_CHECK_H

#include "../include/verdict.h"
#include "pod.h"
#include "pod_health.h"

enum outcome { OUTCOME_NOT_TRIED, OUTCOME_OK, OUTCOME_FAILED, OUTCOME_NOTE };

#define ATTEMPTS_MAX 1024 /* each hook can run 64 programs of others, each of which is a note */

/* Where the connections go that nobody is to get: for documentation (RFC 5737, RFC 3849). */
#define CHECK_V4 "192.0.2.1"
#define CHECK_V6 "2001:db8::1"

struct attempt {
	char what[160];	     /* who to where */
	struct flow flow;    /* classified; proto 0: nothing to be tried, the outcome stands */
	struct verdict want; /* of the flow */
	int unconnected;     /* UDP: sent without a connect() */
	enum outcome outcome;
	char text[HEALTH_TEXT_MAX]; /* what happened, or what was found */
};

/* Shared between the command and the process that it sends into the pod. */
struct check {
	struct attempt v[ATTEMPTS_MAX];
	int nr;
	__u32 uid, gid;	 /* as whom the app is played, as the node sees it, */
	int owner_given; /* 0: check_plan() chooses */
	struct st_err e; /* what the process has to tell that was sent into the pod */
};

/* What was seen of a pod, and is enough to try it without the lock: nobody is to wait for what a pod does. */
struct checked {
	struct pod pod;
	struct health health;
	struct datapath dp; /* of its maps only the counters */
};

/* All fill c with attempts, or try those that are there, and return 0 or -errno with e filled. */

/* Which attempts the policy asks for. */
int check_plan(const struct datapath *dp, const struct pod *pod, struct check *c, struct st_err *e);

/* What is seen without trying: what status would say. ret is to be freed in any case. */
int check_look(const struct datapath *dp, const struct pod *pod, struct checked *ret,
	       struct check *c, struct st_err *e);
void checked_free(struct checked *s);

/* All that is planned, in the pod's namespace and cgroup, by a process that ends in any case: c lies in
 * memory that is shared with it. Not under the lock.
 */
int check_run(const struct checked *s, struct check *c, struct st_err *e);

/* One attempt, by a process that is in the pod and has root's saved uid. */
void check_try(const struct datapath *dp, __u64 cookie, const struct health *h, struct attempt *a);

/* One that is not to be tried; NULL if there is no more room. */
struct attempt *check_add(struct check *c, enum outcome outcome, const char *what);
void check_told(struct attempt *a, enum outcome outcome, const char *text, ...)
	__attribute__((format(printf, 3, 4)));

#endif
