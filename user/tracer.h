/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hearing of verdicts as they are given. A tracer takes one of ST_TRACERS places, puts a ring buffer of
 * its own there and says every second that it is alive: the programs skip one that has not for
 * TRACER_PATIENCE, so that one that was killed costs nothing, and the next command clears its place.
 * Traffic never waits for a tracer: what finds no room in its buffer is counted, and lost.
 */
#ifndef SOCKTABLES_TRACER_H
#define SOCKTABLES_TRACER_H

#include "../include/event.h"
#include "datapath.h"
#include "err.h"

#define TRACER_BUFFER (1 << 20) /* bytes of a ring buffer: room for 4,600 events */
#define TRACER_PATIENCE 5	/* seconds */

struct tracing_session {
	const char *name;	    /* of the pod; NULL: all */
	struct event_filter filter; /* netns is filled from name */
	int out; /* descriptor that EACH writes to, at most PIPE_BUF bytes an event */
	/* What is called with an event that is wanted, when out takes it: 0 to go on, 1 to end. */
	int (*each)(void *ctx, const struct event *ev);
	/* Events are missing: so many were lost, or for so many seconds nobody counted them. */
	void (*missed)(void *ctx, __u64 lost, __u64 seconds);
	void *ctx;
	int began;  /* filled: 1 if it came to listening at all */
	__u64 lost; /* filled: all that were */
};

/* Until EACH says so, SIGINT, SIGTERM or SIGHUP comes, or nobody reads OUT any more: 0. -ENOENT: the
 * pod is not attached, or nothing is (e untouched); or no longer (e filled). -EBUSY: all places are
 * taken. Other -errno, with e filled.
 */
int tracer_follow(struct tracing_session *s, struct st_err *e);

/* Places of tracers that were killed. Under the lock, of either kind. */
void tracers_clear(const struct datapath *dp);

#endif
