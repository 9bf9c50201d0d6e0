/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_clear_place(): the programs of all links on a cgroup and above it run, so that two pods of one line
 * would both decide on a connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "pod_impl.h"
#include "pod_maps.h"

static const char *const relations[] = {
	[CGROUP_SAME] = "is the one of",
	[CGROUP_ABOVE] = "lies in that of",
	[CGROUP_BELOW] = "contains that of",
};

struct search {
	const struct cgroup_relative *relatives;
	size_t nr;
	const char *name; /* of the pod that wants the place, */
	__u64 own;	  /* and its cookie */
	const char *relation;
	__u64 cookie;
	struct policy policy;
};

/* Whether that is another pod, and at one of these cgroups. */
static int is_in_line(void *ctx, const void *key, const void *value)
{
	const struct policy *p = value;
	const __u64 *cookie = key;
	struct search *s = ctx;
	size_t i;

	if (*cookie == s->own || !strcmp(p->name, s->name))
		return 0;
	for (i = 0; i < s->nr && s->relatives[i].id != p->cgroup_id; i++)
		;
	if (i == s->nr)
		return 0;
	s->relation = relations[s->relatives[i].is];
	s->cookie = *cookie;
	s->policy = *p;
	return 1;
}

/* Removes what is found there and nobody needs any more, and refuses the rest. */
static int clear_each(const struct datapath *dp, struct search *s, const char *cgroup,
		      struct st_err *e)
{
	const struct maps_hash map = { dp->map[MAP_st_policy], "st_policy", sizeof(s->cookie),
				       sizeof(s->policy) };
	const struct policy *p = &s->policy;
	int err;

	while ((err = maps_walk(&map, is_in_line, s, e)) > 0) {
		if (p->flags & (POLICY_ACTIVE | POLICY_DRAINING) &&
		    !pod_is_stale(dp, s->cookie, p)) {
			err_hint(e,
				 "'socktables status %s' shows it; a pod needs a cgroup of its own",
				 p->name);
			return err_set(e, EBUSY, "cgroup", cgroup, "%s pod '%s'", s->relation,
				       p->name);
		}
		err = pod_remove(dp, p->name, s->cookie, p, e);
		if (err)
			break;
	}
	return err;
}

int pod_clear_place(const struct datapath *dp, const char *cgroup, const char *name, __u64 cookie,
		    struct st_err *e)
{
	struct cgroup_relative *relatives;
	struct search s = { .name = name, .own = cookie };
	int err = cgroup_relatives(cgroup, &relatives, &s.nr, e);

	s.relatives = relatives;
	err = err ?: clear_each(dp, &s, cgroup, e);
	free(relatives);
	return err;
}
