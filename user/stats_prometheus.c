/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prometheus' text format. Names and labels are for others to build on: they stay. */
#include <stddef.h>
#include <string.h>

#include "datapath.h"
#include "stats.h"
#include "why.h"

static const char *const families[] = { "ipv4", "ipv6" };

static const char *const states[] = {
	[POD_ATTACHED] = "attached",
	[POD_INCOMPLETE] = "incomplete",
	[POD_DRAINING] = "draining",
	[POD_STALE] = "stale",
};

#define NR_STATES (sizeof(states) / sizeof(*states))

void prometheus_label(FILE *f, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", f);
			continue;
		}
		if (*value == '\\' || *value == '"')
			putc('\\', f);
		putc(*value, f);
	}
}

static void head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP socktables_%s %s\n# TYPE socktables_%s %s\n", name, help, name, type);
}

/* socktables_NAME{pod="...": more labels, or the brace, follow. */
static void begin(FILE *f, const char *name, const struct pod_stats *p)
{
	fprintf(f, "socktables_%s{pod=\"", name);
	prometheus_label(f, p->name);
	putc('"', f);
}

static void verdicts(FILE *f, const struct stats *s)
{
	const struct pod_stats *p;
	unsigned int why, v6;

	head(f, "verdicts_total", "counter",
	     "Decisions on connections and datagrams, and other events, by reason, since the pod "
	     "was "
	     "attached.");
	for (p = s->pods; p < s->pods + s->nr; p++) {
		for (why = 0; why < WHY_COUNT; why++) {
			for (v6 = 0; v6 < 2; v6++) {
				begin(f, "verdicts_total", p);
				fprintf(f, ",direction=\"%s\",reason=\"%s\",family=\"%s\"} %llu\n",
					direction_names[direction_of(why)], why_name(why),
					families[v6], (unsigned long long)p->c.n[why][v6]);
			}
		}
	}
}

static void pods(FILE *f, const struct stats *s)
{
	unsigned int nr[NR_STATES] = {};
	const struct pod_stats *p;
	size_t i;

	for (p = s->pods; p < s->pods + s->nr; p++)
		nr[p->state]++;
	head(f, "pods", "gauge",
	     "Pods by state; those that are stale have lost their cgroup or namespace.");
	for (i = 0; i < NR_STATES; i++)
		fprintf(f, "socktables_pods{state=\"%s\"} %u\n", states[i], nr[i]);
	head(f, "pod_info", "gauge", "What a pod is known by; the value is always 1.");
	for (p = s->pods; p < s->pods + s->nr; p++) {
		begin(f, "pod_info", p);
		fprintf(f,
			",state=\"%s\",cgroup_id=\"%llu\",netns_inode=\"%llu\",netns_cookie=\"%"
			"llu\"} 1\n",
			states[p->state], (unsigned long long)p->cgroup_id,
			(unsigned long long)p->netns_ino, (unsigned long long)p->cookie);
	}
}

/* Of each pod one number, an int or an unsigned, none of which is ever negative. */
static void gauge(FILE *f, const struct stats *s, const char *name, size_t at, const char *help)
{
	const struct pod_stats *p;

	head(f, name, "gauge", help);
	for (p = s->pods; p < s->pods + s->nr; p++) {
		begin(f, name, p);
		fprintf(f, "} %u\n", *(const unsigned int *)((const char *)p + at));
	}
}

#define AT(field) offsetof(struct pod_stats, field)

static void gauges(FILE *f, const struct stats *s)
{
	gauge(f, s, "inbound_listeners", AT(nr_listeners),
	      "Listeners of the proxy's inbound port that connections can be given to.");
	gauge(f, s, "handshakes", AT(nr_handshakes),
	      "Redirected connections between SYN and accept, whose original destination waits for "
	      "the proxy.");
	gauge(f, s, "numbered_destinations", AT(nr_numbers),
	      "Destinations that have a number, by which redirected IPv4 connections are told.");
	gauge(f, s, "links", AT(nr_links),
	      "Links of the pod that are there, of as many as socktables_links_expected.");
	head(f, "links_expected", "gauge", "Links that a pod should have.");
	fprintf(f, "socktables_links_expected %d\n", NR_LINKS);
}

static void build(FILE *f, const struct stats *s)
{
	head(f, "build_info", "gauge",
	     "The programs' build (empty: of several builds, or nothing is attached), and this "
	     "command's; "
	     "the value is always 1.");
	fputs("socktables_build_info{programs=\"", f);
	prometheus_label(f, s->build);
	fputs("\",command=\"", f);
	prometheus_label(f, datapath_build());
	fprintf(f, "\",layout=\"%d\"} 1\n", ST_LAYOUT);
}

void stats_prometheus(FILE *f, const struct stats *s)
{
	build(f, s);
	pods(f, s);
	gauges(f, s);
	verdicts(f, s);
}
