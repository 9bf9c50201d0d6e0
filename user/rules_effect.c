/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rules do something to traffic. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

/* Of chains in chains: rules that are looked at, and levels. What is beyond counts as effective. */
#define CHECKS_MAX 100000
#define DEPTH_MAX 32

static int is_target(const struct rule *r, const char *name)
{
	return r->target && !strcmp(r->target, name);
}

/* Lets every packet go on to the next rule, whatever it matches. */
static int only_watches(const struct rule *r)
{
	return !r->odd && (!r->target || is_target(r, "LOG") || is_target(r, "NFLOG") ||
			   is_target(r, "TRACE"));
}

/* 1 if the rule makes no difference. depth: above 0 it is in a chain of which that is asked, too,
 * so that leaving it early makes none either. *budget: rules there that may still be looked at.
 */
static int idle(const struct table *t, const struct rule *r, int depth, int *budget)
{
	const struct chain *c;
	size_t i;

	if (depth && ((*budget)-- <= 0 || depth > DEPTH_MAX))
		return 0;
	if (only_watches(r))
		return 1;
	if (!r->target)
		return 0;
	if (is_target(r, "RETURN"))
		return depth || t->name == TABLE_FILTER;
	if (t->name == TABLE_FILTER && is_target(r, "ACCEPT"))
		return 1;
	if (r->is_goto && t->name != TABLE_FILTER)
		return 0;
	c = chain_is_hook(r->target) ? NULL : table_chain(t, r->target);
	for (i = 0; c && i < c->nr; i++)
		if (!idle(t, &c->rules[i], depth + 1, budget))
			return 0;
	return c != NULL;
}

int chain_effective(const struct table *t, const struct chain *c, struct effective *ret)
{
	int budget = CHECKS_MAX;
	size_t i;

	*ret = (struct effective){ 0 };
	if (!c)
		return 0;
	ret->v = calloc(c->nr + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (i = 0; i < c->nr; i++)
		if (!idle(t, &c->rules[i], 0, &budget))
			ret->v[ret->nr++] = &c->rules[i];
	while (ret->nr && !chain_is_hook(c->name) && !ret->v[ret->nr - 1]->odd &&
	       !strcmp(ret->v[ret->nr - 1]->spec, "-j RETURN"))
		ret->nr--;
	return 0;
}
