/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What stats says to people. */
#include <string.h>

#include "stats.h"
#include "why.h"

#define NUMBER 10 /* columns of one */

static const char *const titles[] = {
	[DIRECTION_OUT] = "outbound",
	[DIRECTION_IN] = "inbound",
	[DIRECTION_OTHER] = "other",
};

static const struct pod_stats *find(const struct stats *s, __u64 cookie)
{
	const struct pod_stats *p;

	for (p = s ? s->pods : NULL; p && p < s->pods + s->nr; p++)
		if (p->cookie == cookie)
			return p;
	return NULL;
}

struct showing {
	FILE *f;
	const struct term *t;
	double seconds; /* since the reading before; 0: there is none */
};

static __u64 both(const struct counters *c, unsigned int why)
{
	return c->n[why][0] + c->n[why][1];
}

static void show_reason(const struct showing *s, const struct counters *c,
			const struct counters *before, unsigned int why)
{
	int n = fprintf(s->f, "  %-20s %*llu %*llu", why_name(why), NUMBER,
			(unsigned long long)c->n[why][0], NUMBER, (unsigned long long)c->n[why][1]);

	/* Attached anew, a pod begins at 0. */
	if (s->seconds > 0 && before && both(c, why) >= both(before, why))
		n += fprintf(s->f, " %*.1f", NUMBER,
			     (double)(both(c, why) - both(before, why)) / s->seconds);
	else if (s->seconds > 0)
		n += fprintf(s->f, " %*s", NUMBER, "-");
	n += fprintf(s->f, "  ");
	term_wrap(s->f, s->t, n, why_text(why));
}

static void show_direction(const struct showing *s, const struct counters *c,
			   const struct counters *before, enum direction d)
{
	unsigned int why, shown = 0;

	for (why = 0; why < WHY_COUNT; why++) {
		if (direction_of(why) != d || !both(c, why))
			continue;
		if (!shown++)
			fprintf(s->f, " %s\n", titles[d]);
		show_reason(s, c, before, why);
	}
}

static void show_counters(const struct showing *s, const char *name, const struct counters *c,
			  const struct counters *before)
{
	int d;

	term_put(s->f, s->t, TERM_STRONG, name);
	fprintf(s->f, ":\n  %-20s %*s %*s", "reason", NUMBER, "IPv4", NUMBER, "IPv6");
	if (s->seconds > 0)
		fprintf(s->f, " %*s", NUMBER, "a second");
	fprintf(s->f, "  meaning\n");
	for (d = 0; d < NR_DIRECTIONS; d++)
		show_direction(s, c, before, d);
}

static void add(struct counters *sum, const struct counters *c)
{
	unsigned int why;

	for (why = 0; why < WHY_COUNT; why++) {
		sum->n[why][0] += c->n[why][0];
		sum->n[why][1] += c->n[why][1];
	}
}

void stats_show(FILE *f, const struct term *t, const struct stats *s, const struct stats *before)
{
	struct showing w = { .f = f, .t = t };
	struct counters sum = {}, sum_before = {};
	const struct pod_stats *p, *old;

	if (before)
		w.seconds = (double)(s->at.tv_sec - before->at.tv_sec) +
			    (double)(s->at.tv_nsec - before->at.tv_nsec) / 1e9;
	for (p = s->pods; p < s->pods + s->nr; p++) {
		if (p > s->pods)
			putc('\n', f);
		old = find(before, p->cookie);
		show_counters(&w, p->name, &p->c, old ? &old->c : NULL);
		add(&sum, &p->c);
		if (old)
			add(&sum_before, &old->c);
	}
	if (!s->nr)
		fputs("no pod is attached\n", f);
	if (s->nr > 1) {
		putc('\n', f);
		show_counters(&w, "all pods", &sum, &sum_before);
	}
}
