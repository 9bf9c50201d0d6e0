/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Does a pod's interception work? Everything that can be seen from outside without sending anything. */
#ifndef SOCKTABLES_POD_HEALTH_H
#define SOCKTABLES_POD_HEALTH_H

#include <limits.h>

#include "listening.h"
#include "pod.h"
#include "pod_sums.h"

/* In one word; the worst that was found. */
enum health_word {
	HEALTH_OK,	 /* nothing speaks against it */
	HEALTH_DRAINING, /* detach --drain is under way: new connections go direct */
	HEALTH_DEGRADED, /* captured, but a part of it does not work as the policy demands */
	HEALTH_BROKEN,	 /* connections fail, or pass the proxy by */
	HEALTH_STALE,	 /* its cgroup or its namespace is gone */
};

extern const char *const health_words[HEALTH_STALE + 1];

enum severity {
	SEVERITY_NOTE,	  /* good to know; does not count */
	SEVERITY_WARNING, /* does not count either: something to be done some time */
	SEVERITY_DEGRADED,
	SEVERITY_BROKEN,
};

#define HEALTH_TEXT_MAX 320

struct finding {
	enum severity severity;
	const char *code; /* stable, for scripts: "proxy-down" */
	char text[HEALTH_TEXT_MAX];
};

struct health {
	enum health_word word;
	struct finding *findings; /* in the order in which they are to be told */
	size_t nr;
	int no_memory;
	char cgroup[PATH_MAX]; /* its path, or why there is none */
	char netns[PATH_MAX];  /* a path that leads to it, or "" */
	struct listening_list listening;
	int has_listening; /* the pod's sockets could be looked at */
	int nr_effective;  /* hooks that run; -1: could not be looked at */
};

/* Looks at the pod, whose policy's lists are SUM. What may not be looked at, for want of a capability, is
 * a note. Returns 0, or -errno with e filled; to be freed in any case.
 */
int pod_health(const struct datapath *dp, const struct pod *pod, const struct policy_sum *sum,
	       struct health *ret, struct st_err *e);
void pod_health_free(struct health *h);

/* One more finding; the text is as of printf, and quoted: there are names in it that others gave. */
void health_add(struct health *h, enum severity severity, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Parts of pod_health(). Hooks: the links, what runs on them, and who else does; of hooks on a cgroup
 * whose path is not known only the first. ns may be NULL.
 */
void pod_health_hooks(const struct pod *pod, const struct netns *ns, struct health *h);
/* The proxy and its DNS agent: are they there, and are they who the policy says? */
void pod_health_proxy(const struct datapath *dp, const struct pod *pod,
		      const struct policy_sum *sum, const struct netns *ns, struct health *h);

#endif
