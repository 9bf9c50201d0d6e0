/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One pod's entries in the shared maps. */
#ifndef SOCKTABLES_POD_MAPS_H
#define SOCKTABLES_POD_MAPS_H

#include "datapath.h"
#include "ruleset.h"

/* The policy of that name; -ENOENT if there is none. */
int maps_find_policy(const struct datapath *dp, const char *name, __u64 *ret_cookie,
		     struct policy *ret);

/* flags: BPF_NOEXIST, BPF_EXIST or BPF_ANY. */
int maps_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p, __u64 flags,
		    struct st_err *e);
int maps_put_counters(const struct datapath *dp, __u64 cookie, struct st_err *e);
int maps_put_rules(const struct datapath *dp, const struct ruleset *rs, struct st_err *e);

/* The same back, unsorted. EXCLUSIVE: the exclusive lock is held, which lets other pods' prefixes cost
 * nothing. Returns 0 or -errno (e is the caller's); ret is to be freed in any case.
 */
int maps_read_rules(const struct datapath *dp, const struct policy *p, int exclusive,
		    struct ruleset *ret);

/* Of these only what tells whether the pod is still what it was: the names of interfaces, the hash of
 * facts. Returns as maps_read_rules().
 */
int maps_read_notes(const struct datapath *dp, const struct policy *p, struct ruleset *ret);

/* All entries of one policy in st_class and st_ids. */
void maps_drop_rules(const struct datapath *dp, __u32 policy_id);

/* Everything that belongs to no policy: a policy entry was deleted by somebody else. */
void maps_collect_garbage(const struct datapath *dp);

/* Its counters, and the slots of its listeners. */
void maps_drop_pod(const struct datapath *dp, __u64 cookie);

int maps_count_listeners(const struct datapath *dp, __u64 cookie);

#endif
