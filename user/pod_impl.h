/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the verbs of pod.h share. All of it under the exclusive lock, but for pod_inputs_read(). */
#ifndef SOCKTABLES_POD_IMPL_H
#define SOCKTABLES_POD_IMPL_H

#include <linux/bpf.h>

#include "netns.h"
#include "pod.h"

/* What the spec asks for, with what its policy needs of the pod's files. */
struct pod_inputs {
	struct config c; /* all groups are numbers; its other lists are the spec's */
	struct addr *resolvers;
	size_t nr_resolvers;
};

/* Reads files, which may take for ever: nobody shall wait for a lock meanwhile. The caller calls
 * pod_inputs_free(), also after a failure.
 */
int pod_inputs_read(const struct pod_spec *spec, struct pod_inputs *ret, struct st_err *e);
void pod_inputs_free(struct pod_inputs *in);

/* The policy for the pod in that namespace, but for its id. Once: it turns ids of the pod's user
 * namespace into the node's.
 */
int pod_make_rules(struct pod_inputs *in, const struct netns *ns, struct ruleset *rs,
		   struct st_err *e);

/* A new policy for an attached pod: its lists first, then the switch, then away with the old ones. */
int pod_replace_rules(const struct datapath *dp, const struct netns *ns, const struct policy *old,
		      struct ruleset *rs, struct st_err *e);

/* Waits until no program runs that could still hold what was just taken out of a map. Returns 0, or -errno
 * with e filled.
 */
int pod_wait_for_readers(struct st_err *e);

/* Replaces a policy. A program may still hold the entry that was there, whose memory the next one that is
 * written takes: before that, all that run have to end (bpf_mem_alloc, Linux 6.1, does not wait).
 */
int pod_put_policy(const struct datapath *dp, __u64 cookie, const struct policy *p,
		   struct st_err *e);

/* What the kernel says of a pod's link, by the name of its pin. Returns 0 or -errno. */
int pod_link(const char *pod, const char *hook, struct bpf_link_info *ret);

/* Fills what follows policy in pod. */
void pod_examine(const struct datapath *dp, struct pod *pod);

/* Whether its cgroup or its namespace is gone: it owns neither its name nor its namespace any more. */
int pod_is_stale(const struct datapath *dp, __u64 cookie, const struct policy *p);

/* Refuses a cgroup that is another pod's, lies in it, or contains it. What stale pods and wrecks have there is
 * taken away.
 */
int pod_clear_place(const struct datapath *dp, const char *cgroup, const char *name, __u64 cookie,
		    struct st_err *e);

/* Everything of one pod that can still be found, in the order that stops capturing at once. p is
 * NULL if it has no policy: then only links are removed.
 */
int pod_remove(const struct datapath *dp, const char *name, __u64 cookie, const struct policy *p,
	       struct st_err *e);

/* The same with the namespace at hand; ns->fd is negative if there is nothing to take away in it. */
int pod_remove_from(const struct netns *ns, const struct datapath *dp, const char *name,
		    __u64 cookie, const struct policy *p, struct st_err *e);

/* Adds one. WHY gets the pod's name in front. */
void pod_failed(struct pod_failures *f, __u64 cookie, const char *name, const struct st_err *why);

/* Whether a pod is meant: 1, 0, or -errno with e filled if it should be, and must not. */
typedef int (*pod_choice)(void *ctx, const struct datapath *dp, __u64 cookie,
			  const struct policy *p, struct st_err *e);

/* Why a pod that drained is left. */
#define ATTACHED_AGAIN "was attached again meanwhile"

/* What goes along: nothing; links that no policy belongs to; all that there is, unless a pod failed. The
 * datapath goes in any case if nobody uses it any more.
 */
enum pod_rest { REST_STAYS, REST_WRECKS, REST_ALL };

/* Takes the lock, and detaches those pods that are meant. -EIO: all but those that failed. */
int pod_detach_chosen(pod_choice is_meant, void *ctx, enum pod_rest rest,
		      struct pod_failures *failed, struct st_err *e);

/* Unpins the datapath if no pod has a policy any more; closes DP then. */
int pod_remove_datapath_if_unused(struct datapath *dp, struct st_err *e);

#endif
