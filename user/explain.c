/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The verdict is compiled here once more, with an ear on its rules. */
static int considered(unsigned int why, int fits);
#define ST_RULE(why, condition) considered(why, !!(condition))
#include "explain.h"

static struct walk *listening;

static int considered(unsigned int why, int fits)
{
	struct walk *w = listening;
	int owner = 0;
	size_t i;

	if (!w || w->nr == WALK_MAX)
		return fits;
	if (why == WHY_OUT_LOCAL_APP || why == WHY_OUT_PROXY || why == WHY_OUT_PROXY_TO_SELF) {
		owner = why == WHY_OUT_LOCAL_APP; /* the first of each owner's rules */
		for (i = 0; i < w->nr; i++)
			owner += w->v[i].why == WHY_OUT_LOCAL_APP;
	}
	w->v[w->nr++] = (struct walk_step){ .why = why, .fits = fits, .owner = owner };
	return fits;
}

void walk_flow(const struct policy *p, const struct flow *f, int inbound, struct walk *ret)
{
	ret->nr = 0;
	listening = ret;
	ret->verdict = inbound ? verdict_inbound(p, f) : verdict_outbound(p, f);
	listening = NULL;
}

const char *walk_fault(const struct walk *w)
{
	const struct walk_step *last = NULL;
	size_t i;

	if (w->nr == WALK_MAX)
		return "more rules than there is room for";
	for (i = 0; i < w->nr; i++) {
		if (last && w->v[i].why != WHY_OUT_SOURCE_LOOPBACK)
			return "a rule was asked after one that fitted";
		if (w->v[i].fits)
			last = &w->v[i];
	}
	if (!last)
		return "no rule fitted";
	return last->why == w->verdict.why ? NULL : "the verdict names another rule";
}

/* As flow_classify() of bpf/flow.bpf.h does. Where that leaves the choice to the kernel, it takes the
 * destination for a local address, but 127.0.0.1 for one of 127.0.0.0/8.
 */
static struct addr source_of(const struct policy *p, const struct flow *f,
			     const struct addr *class_source)
{
	const struct addr loopback4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(127, 0, 0, 1) } };

	if (!addr_is_zero(&f->src))
		return f->src;
	if (addr_is_loopback(&f->dst))
		return addr_is_v4(&f->dst) ? loopback4 : f->dst;
	if (!addr_is_zero(class_source))
		return *class_source;
	if (f->dst_class & CLASS_LOCAL)
		return f->dst;
	return addr_is_v4(&f->dst) ? p->src4 : p->src6;
}

void seen_of(const struct policy *p, const struct flow *f, int inbound, const struct verdict *v,
	     const struct addr *class_source, __u32 mark, struct seen *ret)
{
	const struct addr loopback4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(127, 0, 0, 1) } };
	const struct addr loopback6 = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 1) } };
	int v4 = addr_is_v4(&f->dst), kind;

	*ret = (struct seen){ .source = f->src };
	if (!inbound)
		ret->source = source_of(p, f, class_source);
	if (v->action == ACTION_REDIRECT) {
		ret->proxy = inbound ? f->dst : v4 ? loopback4 : loopback6;
		ret->proxy_port = inbound ? f->dport : v->port;
		ret->spread = !inbound && v4 && f->proto == ST_TCP && p->flags & POLICY_SPREAD &&
			      v->port == p->outbound_port;
	} else if (!inbound && p->flags & POLICY_TPROXY) {
		kind = verdict_tproxy(p, f, mark);
		ret->to_self = kind == ORIGIN_TO_SELF;
		ret->transparent = kind == ORIGIN_TRANSPARENT;
	}
}
