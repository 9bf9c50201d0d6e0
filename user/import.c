/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "import.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "istio_rules.h"

#define CHECKS_MAX 1000000 /* rules that are looked at in chains of others; more, and it is refused */

/* The first rule in the text that is not what it should be. */
struct mismatch {
	const char *chain;	     /* NULL: there is none */
	const struct rule *rule;     /* that is there, or NULL: one is missing */
	const struct rule *expected; /* NULL: none */
	const struct rule *after;    /* the last one that fits, if one is missing; or NULL */
	size_t fitting;		     /* rules, up to the first mismatch of each chain */
};

struct side {
	const struct table *table;
	struct effective rules;
};

static int line_of(const struct mismatch *m)
{
	const struct rule *r = m->rule ?: m->after;

	return r ? r->line : INT_MAX;
}

static void compare_chain(const char *chain, const struct effective *is,
			  const struct effective *should, struct mismatch *m)
{
	struct mismatch here = { .chain = chain };
	size_t i, nr = is->nr < should->nr ? is->nr : should->nr;

	for (i = 0; i < nr; i++)
		if (is->v[i]->odd || strcmp(is->v[i]->spec, should->v[i]->spec))
			break;
	m->fitting += i;
	if (i == is->nr && i == should->nr)
		return;
	here.rule = i < is->nr ? is->v[i] : NULL;
	here.expected = i < should->nr ? should->v[i] : NULL;
	here.after = i ? is->v[i - 1] : NULL;
	here.fitting = m->fitting;
	if (!m->chain || line_of(&here) < line_of(m))
		*m = here;
	else
		m->fitting = here.fitting;
}
