/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the verbs of pod.h share. All of it under the exclusive lock. */
#ifndef SOCKTABLES_POD_IMPL_H
#define SOCKTABLES_POD_IMPL_H

#include "netns.h"
#include "pod.h"

/* The spec's policy for the pod in that namespace, with ids of its own. */
int pod_make_rules(const struct pod_spec *spec, const struct netns *ns, struct ruleset *rs,
		   struct st_err *e);

/* A new policy for an attached pod: its lists first, then the switch, then away with the old ones. */
int pod_replace_rules(const struct datapath *dp, const struct netns *ns, const struct policy *old,
		      struct ruleset *rs, struct st_err *e);

/* Waits until no program runs that could still hold what was just taken out of a map. */
void pod_wait_for_readers(void);

/* Fills what follows policy in pod. */
void pod_examine(const struct datapath *dp, struct pod *pod);

/* Everything of one pod that can still be found, in the order that stops capturing at once. p is
 * NULL if it has no policy: then only links are removed.
 */
int pod_remove(const struct datapath *dp, const char *name, __u64 cookie, const struct policy *p,
	       struct st_err *e);

/* Unpins the datapath if no pod has a policy any more; closes DP then. */
int pod_remove_datapath_if_unused(struct datapath *dp, struct st_err *e);

#endif
