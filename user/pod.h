/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pods: attach, update, detach; and reading what is attached. The library's face: everything else
 * in it serves this. Functions print nothing, return 0 or -errno, and fill e on failure. Verbs
 * take the exclusive lock themselves, nouns the shared one.
 *
 * A pod is captured from the moment its active policy stands in st_policy until it is gone from
 * there, whatever links there are: so attach links first and publishes last, detach does the
 * reverse, and anything killed between leaves a pod that is not captured and that the next
 * command clears away.
 */
#ifndef SOCKTABLES_POD_H
#define SOCKTABLES_POD_H

#include "../include/verdict.h"
#include "config.h"
#include "datapath.h"
#include "err.h"

struct netns;

struct pod_spec {
	const char *name;   /* NULL: the cgroup's last component */
	const char *cgroup; /* a cgroup v2 directory */
	const char *netns;  /* a network namespace's file */
	const char *root;   /* where the pod's own files are: see pod_file.h; NULL: not known */
	int force;	    /* also in the host's own namespace */
	const struct config *config;
};

enum pod_state {
	POD_ATTACHED,
	POD_INCOMPLETE, /* attach or detach was killed */
	POD_DRAINING,	/* detach --drain is under way, or was killed */
	POD_STALE,	/* its cgroup or its namespace is gone */
};

struct pod {
	__u64 cookie; /* netns cookie */
	struct policy policy;
	enum pod_state state;
	int nr_links; /* of pins, and how many there should be */
	int nr_listeners;
	__u32 nr_numbers; /* destinations that have one, of ST_NUMBERS_POD */
	char why[128];	  /* what is wrong, if state is not POD_ATTACHED */
};

#define NR_LINKS (NR_HOOKS + 1)

/* 0, or -EINVAL with e filled: letters, digits, '.', '_', '-', at most ST_NAME_MAX - 1. */
int pod_check_name(const char *name, struct st_err *e);

/* -EEXIST: the name is another pod's, or the pod has another name. The same pod again under its
 * name gets the policy of spec, as by pod_update().
 */
int pod_attach(const struct pod_spec *spec, struct st_err *e);

/* -ENOENT: not attached. Only name, config and root of spec are used. */
int pod_update(const struct pod_spec *spec, struct st_err *e);

/* Looks at the pod's addresses, routes and interfaces again; if they are not what the policy was made
 * for, it gets one that is, as pod_update() with the same flags would make it. The pod is named by its
 * netns cookie. Returns 1, 0 if there was nothing to do, -ENOENT (e untouched): not attached, or its
 * namespace is gone.
 */
int pod_refresh(__u64 cookie, struct st_err *e);

/* The first that was found. */
struct pod_change {
	enum { CHANGE_NO_ADDRESS, CHANGE_CAME, CHANGE_WENT } what;
	struct addr address; /* not known to the policy yet, or the pod's no more */
};

/* Whether pod_refresh() would find something to do in the pod's namespace, and what. Returns as that, and
 * changes nothing.
 */
int pod_has_changed(const struct datapath *dp, const struct netns *ns, const struct policy *p,
		    struct pod_change *ret, struct st_err *e);

/* What is done to many pods goes on after one failed. There is to be told of it without the lock. */
struct pod_failures {
	struct pod_failure {
		__u64 cookie;
		struct st_err why; /* has the pod's name */
	} * v;
	unsigned int nr, nr_kept; /* that fewer are kept than there were is for want of memory */
};

/* Calls told() for each, and frees them. */
void pod_failures_tell(struct pod_failures *f,
		       void (*told)(void *ctx, const struct pod_failure *failure), void *ctx);

enum detach_what {
	DETACH_ANY,
	DETACH_DRAINED, /* a pod that was attached again since pod_drain() is left: -ECANCELED */
	DETACH_WRECK,	/* links that no policy belongs to; a pod is left: -ENOENT */
};

/* -ENOENT: not attached. Works on whatever part of the pod is there. */
int pod_detach(const char *name, enum detach_what what, struct st_err *e);

/* Stops redirecting new connections of the pod, and returns when no redirected connection of it is left,
 * or after so many seconds; *ret_left is how many there are still. DNS over UDP is waited for no longer
 * than a resolver waits. Nothing is detached yet. Killed meanwhile, the pod stays as it is then: draining.
 * -ENOENT: not attached. -ECANCELED: attached again.
 */
int pod_drain(const char *name, unsigned int seconds, unsigned int *ret_left, struct st_err *e);

/* The same with all pods that are attached now, which are detached then, as are wrecks. One that was
 * attached again is among the failed; who is attached meanwhile is left. -EIO: all but those that failed.
 */
int pod_drain_all(unsigned int seconds, unsigned int *ret_left, struct pod_failures *failed,
		  struct st_err *e);

/* All pods, all wrecks and the datapath itself; or all pods whose cgroup or namespace is gone. -EIO: all
 * but those that failed.
 */
int pod_detach_all(int only_stale, struct pod_failures *failed, struct st_err *e);

/* This build's programs in the place of the pinned and linked ones, on the same maps. told() hears of
 * every pod, when the lock is free again; why is NULL, or says why not all of its links could be updated. Returns 1 if they are
 * this build's already. -ENOENT: nothing is attached.
 */
typedef void (*upgrade_told)(void *ctx, const char *pod, const char *why);
int pod_upgrade(upgrade_told told, void *ctx, struct st_err *e);

/* Calls each() for every pod, or for the named one: then -ENOENT if there is none. */
int pod_read(const char *name,
	     int (*each)(void *ctx, const struct datapath *dp, const struct pod *pod,
			 struct st_err *e),
	     void *ctx, struct st_err *e);

/* The sum over all CPUs. -ENOENT (e untouched): never counted. */
int pod_counters(const struct datapath *dp, __u64 cookie, struct counters *ret);

/* Tells each() the netns cookie of every handshake that is under way on the node. Returns 0 or -errno with
 * e filled.
 */
int pod_handshakes(const struct datapath *dp, void (*each)(void *ctx, __u64 cookie), void *ctx,
		   struct st_err *e);

/* What the pod's lists say about a flow: fills its *_class fields, from the kernel's own maps; and of an
 * outbound one struct class_value's src.
 */
void pod_classify(const struct datapath *dp, const struct policy *p, struct flow *f, int inbound,
		  struct addr *ret_source);

#endif
