/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted on a node, at one moment. */
#ifndef SOCKTABLES_STATS_H
#define SOCKTABLES_STATS_H

#include <stdio.h>
#include <time.h>

#include "pod.h"
#include "term.h"

struct pod_stats {
	char name[ST_NAME_MAX];
	__u64 cookie, cgroup_id, netns_ino;
	enum pod_state state;
	int nr_links, nr_listeners;
	__u32 nr_numbers;	    /* as in struct pod */
	unsigned int nr_handshakes; /* under way */
	struct counters c;
};

struct stats {
	struct pod_stats *pods;
	size_t nr;
	char build[sizeof(
		((struct version *)0)->build)]; /* of the programs; empty: of several builds,
							   * or nothing is attached
							   */
	struct timespec at;			/* CLOCK_MONOTONIC */
};

/* By the beginning of its name a reason is of outbound traffic, of inbound traffic, or of neither. */
enum direction { DIRECTION_OUT, DIRECTION_IN, DIRECTION_OTHER, NR_DIRECTIONS };
extern const char *const direction_names[NR_DIRECTIONS];
enum direction direction_of(unsigned int why);

/* Of all pods, or of the one of that name: then -ENOENT if there is none. To be freed in any case. */
int stats_read(const char *name, struct stats *ret, struct st_err *e);
void stats_free(struct stats *s);

/* For people; with an earlier reading (or NULL) also how many there were a second since then. */
void stats_show(FILE *f, const struct term *t, const struct stats *s, const struct stats *before);

/* In Prometheus' text format, version 0.0.4. */
void stats_prometheus(FILE *f, const struct stats *s);

/* A label's value, as that format has it: with \\, \" and \n. */
void prometheus_label(FILE *f, const char *value);

#endif
