/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One pod's entries in the shared maps. */
#ifndef SOCKTABLES_POD_MAPS_H
#define SOCKTABLES_POD_MAPS_H

#include "datapath.h"
#include "ruleset.h"

/* All return 0 or -errno with e filled. A map that is not there (datapath_open_rest()) is an empty one.
 */

/* A pod's policy: under its netns cookie; the one behind the cookie *prev, or any first one (NULL) for
 * a walk; that of a name. -ENOENT (e untouched) if there is none.
 */
int maps_get_policy(const struct datapath *dp, __u64 cookie, struct policy *ret, struct st_err *e);
int maps_next_policy(const struct datapath *dp, const __u64 *prev, __u64 *ret_cookie,
		     struct policy *ret, struct st_err *e);
int maps_find_policy(const struct datapath *dp, const char *name, __u64 *ret_cookie,
		     struct policy *ret, struct st_err *e);

/* Of the two ids of a new pod the first. */
int maps_new_id(const struct datapath *dp, __u32 *ret, struct st_err *e);

/* flags: BPF_NOEXIST, BPF_EXIST or BPF_ANY. */
int maps_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p, __u64 flags,
		    struct st_err *e);
int maps_put_counters(const struct datapath *dp, __u64 cookie, struct st_err *e);

/* The pod has no numbers yet. Then, behind those that the scan saw in use, it may give some. */
int maps_put_numbering(const struct datapath *dp, __u64 cookie, struct st_err *e);
int maps_start_numbers(const struct datapath *dp, __u64 cookie, struct st_err *e);
__u32 maps_count_numbers(const struct datapath *dp, __u64 cookie);

int maps_put_rules(const struct datapath *dp, const struct ruleset *rs, struct st_err *e);

/* The same back, unsorted. EXCLUSIVE: the exclusive lock is held, which lets other pods' prefixes cost
 * nothing. ret is to be freed in any case.
 */
int maps_read_rules(const struct datapath *dp, const struct policy *p, int exclusive,
		    struct ruleset *ret, struct st_err *e);

/* Of these only what tells whether the pod is still what it was: the names of interfaces, the hash of
 * facts. -ENOENT (e untouched): another version did not write them. ret as above.
 */
int maps_read_notes(const struct datapath *dp, const struct policy *p, struct ruleset *ret,
		    struct st_err *e);

/* All entries of one policy in st_class and st_ids. */
int maps_drop_rules(const struct datapath *dp, __u32 policy_id, struct st_err *e);

/* Whether there are any: 1, 0, or -errno. Asks st_ids, where a policy always has some: they come first and
 * go last.
 */
int maps_has_rules(const struct datapath *dp, __u32 policy_id, struct st_err *e);

/* Everything that belongs to no policy: a policy entry was deleted by somebody else. */
int maps_collect_garbage(const struct datapath *dp, struct st_err *e);

/* The slots of its listeners, its counters, its numbers, and last its policy. */
int maps_drop_pod(const struct datapath *dp, __u64 cookie, struct st_err *e);

/* Sockets, whatever the number of their slots. */
/* A socket that was found again by a scan, and has another slot, keeps its first one. */
int maps_unite_listeners(const struct datapath *dp, __u64 cookie, struct st_err *e);

int maps_count_listeners(const struct datapath *dp, __u64 cookie);

/* For maps of any kind, named for messages: the first key, or the one behind PREV: 1, 0 at the end; to
 * delete a key, which may be gone already; the error of an update, as the kernel's words for a map that
 * is full differ by its type, with the number of entries that there is room for.
 */
/* The same of a hash in large pieces: a fiftieth of the system calls. Ends early if each() is not 0, and
 * returns that.
 */
struct maps_hash {
	int fd;
	const char *name;
	size_t key_size, value_size; /* at most 64 and 256 */
};
int maps_walk(const struct maps_hash *map,
	      int (*each)(void *ctx, const void *key, const void *value), void *ctx,
	      struct st_err *e);

int maps_next_key(int fd, const void *prev, void *key, const char *map, struct st_err *e);
int maps_delete(int fd, const void *key, const char *map, struct st_err *e);
int maps_put_failed(struct st_err *e, int code, const char *map, int max);

#endif
