/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "why.h"

const char *const direction_names[] = {
	[DIRECTION_OUT] = "out",
	[DIRECTION_IN] = "in",
	[DIRECTION_OTHER] = "other",
};

enum direction direction_of(unsigned int why)
{
	const char *name = why_name(why);

	return !strncmp(name, "out-", 4)  ? DIRECTION_OUT
	       : !strncmp(name, "in-", 3) ? DIRECTION_IN
					  : DIRECTION_OTHER;
}

static int by_cookie(const void *a, const void *b)
{
	const __u64 x = ((const struct pod_stats *)a)->cookie,
		    y = ((const struct pod_stats *)b)->cookie;

	return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct pod_stats *)a)->name, ((const struct pod_stats *)b)->name);
}

/* With the first pod the handshakes are read, of which some may be of pods to come. */
struct reading {
	struct stats *s;
	__u64 *handshakes; /* netns cookies */
	size_t nr, room;
	int no_memory, have_handshakes;
};

static void add_handshake(void *ctx, __u64 cookie)
{
	struct reading *r = ctx;
	__u64 *more;

	if (r->nr == r->room) {
		more = realloc(r->handshakes, (r->room * 2 + 64) * sizeof(*more));
		if (!more) {
			r->no_memory = 1;
			return;
		}
		r->handshakes = more;
		r->room = r->room * 2 + 64;
	}
	r->handshakes[r->nr++] = cookie;
}

static void assign_handshakes(const struct reading *r)
{
	struct pod_stats key = {}, *p;
	size_t i;

	for (i = 0; i < r->nr; i++) {
		key.cookie = r->handshakes[i];
		p = bsearch(&key, r->s->pods, r->s->nr, sizeof(key), by_cookie);
		if (p)
			p->nr_handshakes++;
	}
}

static int add_pod(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	struct reading *r = ctx;
	struct stats *s = r->s;
	struct pod_stats *more = realloc(s->pods, (s->nr + 1) * sizeof(*more)), *to;
	int err;

	if (!more)
		return err_sys(e, ENOMEM, "counters", p->name);
	s->pods = more;
	to = &more[s->nr++];
	*to = (struct pod_stats){ .cookie = pod->cookie,
				  .cgroup_id = p->cgroup_id,
				  .netns_ino = p->netns_ino,
				  .state = pod->state,
				  .nr_links = pod->nr_links,
				  .nr_listeners = pod->nr_listeners,
				  .nr_numbers = pod->nr_numbers };
	memcpy(to->name, p->name, sizeof(to->name));
	memcpy(s->build, dp->version.build, sizeof(s->build));
	err = pod_counters(dp, pod->cookie, &to->c);
	if (err && err != -ENOENT)
		return err_sys(e, -err, "counters", p->name);
	if (r->have_handshakes++)
		return 0;
	err = pod_handshakes(dp, add_handshake, r, e);
	return r->no_memory ? err_sys(e, ENOMEM, "handshakes", NULL) : err;
}

int stats_read(const char *name, struct stats *ret, struct st_err *e)
{
	struct reading r = { .s = ret };
	int err;

	memset(ret, 0, sizeof(*ret));
	err = pod_read(name, add_pod, &r, e);
	if (ret->nr) {
		qsort(ret->pods, ret->nr, sizeof(*ret->pods), by_cookie);
		assign_handshakes(&r);
		qsort(ret->pods, ret->nr, sizeof(*ret->pods), by_name);
	}
	free(r.handshakes);
	clock_gettime(CLOCK_MONOTONIC, &ret->at);
	return err;
}

void stats_free(struct stats *s)
{
	free(s->pods);
	memset(s, 0, sizeof(*s));
}
