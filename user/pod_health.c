/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "leftover.h"
#include "pod_env.h"

const char *const health_words[] = {
	[HEALTH_OK] = "ok",	    [HEALTH_DRAINING] = "draining", [HEALTH_DEGRADED] = "degraded",
	[HEALTH_BROKEN] = "broken", [HEALTH_STALE] = "stale",
};

static void worsen(struct health *h, enum health_word word)
{
	if (word > h->word)
		h->word = word;
}

void health_add(struct health *h, enum severity severity, const char *code, const char *format, ...)
{
	struct finding *more = realloc(h->findings, (h->nr + 1) * sizeof(*more)), *f;
	char raw[PATH_MAX + HEALTH_TEXT_MAX];
	va_list ap;

	if (!more) {
		h->no_memory = 1;
		return;
	}
	h->findings = more;
	f = &more[h->nr++];
	f->severity = severity;
	f->code = code;
	va_start(ap, format);
	vsnprintf(raw, sizeof(raw), format, ap);
	va_end(ap);
	err_quote(raw, f->text, sizeof(f->text));
	if (severity == SEVERITY_DEGRADED)
		worsen(h, HEALTH_DEGRADED);
	if (severity == SEVERITY_BROKEN)
		worsen(h, HEALTH_BROKEN);
}

static void look_at_build(const struct datapath *dp, struct health *h)
{
	const char *build = dp->version.build;

	if (strcmp(build, datapath_build()))
		health_add(h, SEVERITY_WARNING, "other-build",
			   "the programs are %s%s: 'socktables upgrade' brings "
			   "those of this build, %s",
			   *build ? "build " : "of several builds", build, datapath_build());
}

static void look_at_cgroup(const struct policy *p, struct health *h)
{
	int err = cgroup_path(p->cgroup_id, h->cgroup);

	if (err)
		strcpy(h->cgroup, err == -EPERM ? "unknown: needs CAP_DAC_READ_SEARCH" : "gone");
}

static void look_at_state(const struct pod *pod, struct health *h)
{
	switch (pod->state) {
	case POD_ATTACHED:
		return;
	case POD_STALE:
		health_add(h, SEVERITY_BROKEN, "stale",
			   "%s: 'socktables detach --all --stale' clears all such pods away",
			   pod->why);
		worsen(h, HEALTH_STALE);
		return;
	case POD_DRAINING:
		health_add(h, SEVERITY_WARNING, "draining", "%s", pod->why);
		worsen(h, HEALTH_DRAINING);
		return;
	case POD_INCOMPLETE:
		health_add(h, SEVERITY_BROKEN, "incomplete", "%s", pod->why);
	}
}

/* 1: in ns, to be closed; 0: none to look into. */
static int open_netns(const struct pod *pod, struct netns *ns, struct health *h)
{
	const struct policy *p = &pod->policy;
	struct st_err why = {};
	int err;

	if (netns_locate(p->netns_dev, p->netns_ino, h->netns) != 1)
		h->netns[0] = 0;
	err = netns_find(p->netns_dev, p->netns_ino, pod->cookie, ns, &why);
	if (!err)
		return 1;
	h->netns[0] = 0;
	if (err == -ENOENT)
		health_add(h, SEVERITY_NOTE, "netns-hidden",
			   "no file in /run/netns and no process leads to its network namespace: "
			   "not looked into");
	else
		health_add(h, SEVERITY_NOTE, "netns-hidden", "not looked into: %s", why.text);
	return 0;
}

static void look_at_facts(const struct datapath *dp, const struct netns *ns, const struct policy *p,
			  struct health *h)
{
	static const char *const how[] = { "", " is new", " is gone" };
	struct pod_change change;
	struct st_err ignored = {};
	char text[PREFIX_TEXT_MAX] = "";

	if (pod_has_changed(dp, ns, p, &change, &ignored) <= 0)
		return;
	if (change.what)
		addr_print(&change.address, text);
	health_add(h, SEVERITY_DEGRADED, "addresses-changed",
		   "its addresses, routes or interfaces have changed%s%s%s: 'socktables update' or "
		   "'agent' looks again",
		   *text ? ", " : "", text, how[change.what]);
}

static void look_at_env(const struct netns *ns, const struct policy *p, struct health *h)
{
	struct st_err ignored = {};
	__u32 missing = 0;

	if (pod_env_missing(ns, p, &missing, &ignored))
		return;
	if (missing & POLICY_ADDED_SIX)
		health_add(h, SEVERITY_DEGRADED, "env-missing",
			   "::6 is missing on lo, from which the proxy calls the app: "
			   "'socktables update' adds it");
	if (missing & ~POLICY_ADDED_SIX)
		health_add(h, SEVERITY_DEGRADED, "env-missing",
			   "a rule, route or sysctl is missing that TPROXY needs: "
			   "'socktables update' adds it");
}

static void look_for_rules(const struct netns *ns, struct health *h)
{
	struct st_err why = {};
	const char *where;

	if (leftover_find(ns, &where, &why))
		health_add(h, SEVERITY_NOTE, "rules-hidden",
			   "whether Istio's rules are there was not looked at: %s", why.text);
	else if (where)
		health_add(h, SEVERITY_DEGRADED, "istio-rules",
			   "Istio's own rules are still there (%s): the proxy is told wrong "
			   "destinations; take them away",
			   where);
}

int pod_health(const struct datapath *dp, const struct pod *pod, const struct policy_sum *sum,
	       struct health *ret, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	struct netns ns;
	int is_open = 0;

	memset(ret, 0, sizeof(*ret));
	ret->nr_effective = -1;
	look_at_build(dp, ret);
	look_at_cgroup(p, ret);
	look_at_state(pod, ret);
	if (pod->state != POD_STALE)
		is_open = open_netns(pod, &ns, ret);
	if (pod->state == POD_ATTACHED || pod->state == POD_INCOMPLETE) {
		pod_health_hooks(pod, is_open ? &ns : NULL, ret);
		pod_health_proxy(dp, pod, sum, is_open ? &ns : NULL, ret);
	}
	if (pod->state == POD_ATTACHED && is_open) {
		look_at_facts(dp, &ns, p, ret);
		look_at_env(&ns, p, ret);
		look_for_rules(&ns, ret);
	}
	if (is_open)
		netns_close(&ns);
	return ret->no_memory ? err_sys(e, ENOMEM, "status", p->name) : 0;
}

void pod_health_free(struct health *h)
{
	listening_free(&h->listening);
	free(h->findings);
	memset(h, 0, sizeof(*h));
}
