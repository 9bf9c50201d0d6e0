/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which connections a policy speaks of. What has to happen to each is for the verdict to say. */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pod_maps.h"
#include "ruleset_impl.h"

#define NOBODYS_PORT 80 /* any that is in no list would do */
#define QUIET_PORT 9	/* discard: where an address may be somebody's */
#define SELF_PORT 1	/* tcpmux: of the pod itself */

struct plan {
	const struct datapath *dp;
	const struct policy *p;
	const struct ruleset *rs;
	struct check *c;
	int v4;
	struct addr nobody;
};

void check_told(struct attempt *a, enum outcome outcome, const char *text, ...)
{
	va_list ap;

	a->outcome = outcome;
	va_start(ap, text);
	vsnprintf(a->text, sizeof(a->text), text, ap);
	va_end(ap);
}

struct attempt *check_add(struct check *c, enum outcome outcome, const char *what)
{
	struct attempt *a = c->nr < ATTEMPTS_MAX ? &c->v[c->nr++] : NULL;

	if (!a)
		return NULL;
	*a = (struct attempt){ .outcome = outcome };
	snprintf(a->what, sizeof(a->what), "%s", what);
	return a;
}

static struct attempt *add(struct plan *plan, const char *who, int proto, const struct addr *dst,
			   __u16 port, int as_proxy)
{
	char host[PREFIX_TEXT_MAX], what[160];
	struct attempt *a;
	struct flow *f;

	addr_print(dst, host);
	snprintf(what, sizeof(what), addr_is_v4(dst) ? "%s, to %s:%u" : "%s, to [%s]:%u", who, host,
		 port);
	a = check_add(plan->c, OUTCOME_NOT_TRIED, what);
	if (!a)
		return NULL;
	f = &a->flow;
	f->dst = *dst;
	f->dport = port;
	f->proto = proto;
	f->uid = as_proxy ? plan->p->uid : plan->c->uid;
	f->gid = as_proxy ? plan->p->gid : plan->c->gid;
	pod_classify(plan->dp, plan->p, f, 0, NULL);
	a->want = verdict_outbound(plan->p, f);
	return a;
}

static __u16 first_port(const struct ruleset *rs, __u32 class)
{
	size_t i;

	for (i = 0; i < rs->nr_ids; i++)
		if (rs->ids[i].kind == ID_PORT && rs->ids[i].class & class)
			return rs->ids[i].value;
	return 0;
}

/* An address of a list, not the pod's own; 0 if there is none of the family. Of the widest prefix, as what
 * is inside of that, like a route, has its lists' bits, too.
 */
static int first_addr(const struct plan *plan, __u32 class, __u32 not, struct addr *ret)
{
	const struct class_entry *c, *end = plan->rs->classes + plan->rs->nr_classes, *best = NULL;

	for (c = plan->rs->classes; c < end; c++) {
		if (!(c->class & class) || c->class & (CLASS_LOCAL | not ) ||
		    prefix_is_v4(&c->prefix) != plan->v4)
			continue;
		if (!best || ruleset_compare_length(c, best) < 0)
			best = c;
	}
	if (!best)
		return 0;
	*ret = best->prefix.addr;
	if (addr_is_zero(ret) || (plan->v4 && !ret->w[3]))
		*ret = plan->nobody; /* that of a default route stands for loopback */
	return 1;
}

static void add_lists(struct plan *plan)
{
	__u16 port = first_port(plan->rs, PORT_OUT_EXCLUDED);
	struct addr a;

	if (port)
		add(plan, "TCP of the app, excluded port", ST_TCP, &plan->nobody, port, 0);
	port = first_port(plan->rs, PORT_OUT_INCLUDED);
	if (port)
		add(plan, "TCP of the app, included port", ST_TCP, &plan->nobody, port, 0);
	if (first_addr(plan, CLASS_EXCLUDED, 0, &a))
		add(plan, "TCP of the app, excluded CIDR", ST_TCP, &a, QUIET_PORT, 0);
	if (!(plan->p->flags & POLICY_OUT_ALL) &&
	    first_addr(plan, CLASS_INCLUDED, CLASS_EXCLUDED, &a))
		add(plan, "TCP of the app, included CIDR", ST_TCP, &a, QUIET_PORT, 0);
}

static void add_dns(struct plan *plan)
{
	struct addr server = plan->nobody;
	struct attempt *a;

	if (!(plan->p->flags & POLICY_DNS) ||
	    (!(plan->p->flags & POLICY_DNS_ALL) && !first_addr(plan, CLASS_RESOLVER, 0, &server)))
		return;
	add(plan, "DNS over TCP", ST_TCP, &server, 53, 0);
	add(plan, "DNS over UDP, connected socket", ST_UDP, &server, 53, 0);
	a = add(plan, "DNS over UDP, unconnected socket", ST_UDP, &server, 53, 0);
	if (a)
		a->unconnected = 1;
}

static void add_family(struct plan *plan)
{
	const struct addr *own = plan->v4 ? &plan->p->src4 : &plan->p->src6;

	addr_parse(plan->v4 ? CHECK_V4 : CHECK_V6, &plan->nobody);
	add(plan, "TCP of the app", ST_TCP, &plan->nobody, NOBODYS_PORT, 0);
	if (!plan->v4 && !(plan->p->flags & POLICY_V6))
		return;
	add_lists(plan);
	add_dns(plan);
	add(plan, "TCP of the proxy", ST_TCP, &plan->nobody, NOBODYS_PORT, 1);
	/* Where inbound is not captured either, nothing has to listen there for it. */
	if (!addr_is_zero(own) && !(plan->p->flags & POLICY_TPROXY) &&
	    plan->p->flags & (POLICY_IN_ALL | POLICY_IN_SOME))
		add(plan, "TCP of the proxy, to its own pod", ST_TCP, own, SELF_PORT, 1);
}

static void add_inbound(const struct pod *pod, struct check *c)
{
	struct attempt *a;

	if (!(pod->policy.flags & (POLICY_IN_ALL | POLICY_IN_SOME)) || !pod->nr_listeners)
		return;
	a = check_add(c, OUTCOME_NOT_TRIED, "inbound TCP");
	if (a)
		check_told(
			a, OUTCOME_NOT_TRIED,
			"takes a caller from outside the pod; the proxy's listener on port %u is "
			"there",
			pod->policy.inbound_port);
}

/* Somebody whom the policy takes for an app; else whoever it is, the verdict knows better. */
static void choose_app(struct plan *plan)
{
	__u32 id;

	for (id = 65534; !plan->c->owner_given && id > 65000; id--) {
		struct flow f = { .uid = id, .gid = id, .proto = ST_TCP, .dport = NOBODYS_PORT };

		pod_classify(plan->dp, plan->p, &f, 0, NULL);
		if (id == plan->p->uid || id == plan->p->gid ||
		    (f.uid_class | f.gid_class) & OWNER_PROXY)
			continue;
		plan->c->uid = plan->c->gid = id;
		plan->c->owner_given = 1;
	}
}

int check_plan(const struct datapath *dp, const struct pod *pod, struct check *c, struct st_err *e)
{
	struct ruleset rs = {};
	struct plan plan = { .dp = dp, .p = &pod->policy, .rs = &rs, .c = c };
	int err = maps_read_rules(dp, &pod->policy, 0, &rs, e);

	if (!err) {
		choose_app(&plan);
		plan.v4 = 1;
		add_family(&plan);
		plan.v4 = 0;
		add_family(&plan);
		add_inbound(pod, c);
	}
	ruleset_free(&rs);
	return err;
}
