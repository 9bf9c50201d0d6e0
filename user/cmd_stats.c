/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The noun stats. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cmd.h"
#include "stats.h"
#include "watch.h"
#include "why.h"

struct stats_args {
	int json, prometheus;
	__u32 watch;
};

static const struct option_row stats_rows[] = {
	{ "watch", 0, "[=SECONDS]", WATCH_HELP ", with what there was a second", watch_set,
	  offsetof(struct stats_args, watch) },
	{ "json", 0, NULL, "machine-readable output; with --watch one line each", option_set_bool,
	  offsetof(struct stats_args, json) },
	{ "prometheus", 0, NULL, "metrics in Prometheus' text format", option_set_bool,
	  offsetof(struct stats_args, prometheus) },
	{},
};

const struct option_table stats_tables[1] = { { .title = "flags", .rows = stats_rows } };

const char stats_notes[] =
	"  socktables stats web\n"
	"  socktables stats --watch=1\n"
	"  socktables stats --prometheus > /var/lib/node_exporter/socktables.prom\n"
	"\n"
	"Counters begin at 0 when a pod is attached, and go on through update and upgrade. Reasons "
	"that\n"
	"never came are left out, but of --json and --prometheus.\n";

static json_t *family_json(const struct counters *c, int v6)
{
	json_t *o = json_object();
	int i;

	for (i = 0; i < WHY_COUNT; i++)
		json_object_set_new(o, why_name(i), json_integer((json_int_t)c->n[i][v6]));
	return o;
}

static json_t *totals_json(const struct counters *c)
{
	json_int_t n[NR_DIRECTIONS][2] = {};
	json_t *o = json_object();
	int i;

	for (i = 0; i < WHY_COUNT; i++) {
		n[direction_of(i)][0] += (json_int_t)c->n[i][0];
		n[direction_of(i)][1] += (json_int_t)c->n[i][1];
	}
	for (i = 0; i < NR_DIRECTIONS; i++)
		json_object_set_new(o, direction_names[i],
				    json_pack("{sI sI}", "ipv4", n[i][0], "ipv6", n[i][1]));
	return o;
}

/* Returns -ENOMEM, or 0. */
static int print_json(FILE *f, const struct stats *s, size_t flags)
{
	json_t *pods = json_array();
	const struct pod_stats *p;
	int err = pods ? 0 : -ENOMEM;

	for (p = s->pods; !err && p < s->pods + s->nr; p++)
		if (json_array_append_new(pods, json_pack("{ss so so so}", "name", p->name, "ipv4",
							  family_json(&p->c, 0), "ipv6",
							  family_json(&p->c, 1), "totals",
							  totals_json(&p->c))))
			err = -ENOMEM;
	if (!err && json_dumpf(pods, f, flags))
		err = -ENOMEM;
	putc('\n', f);
	json_decref(pods);
	return err;
}

struct drawing {
	const struct stats_args *args;
	const char *name;
	struct stats before; /* the reading before */
	int has_before;
};

static int draw(void *ctx, FILE *f, const struct term *t, struct st_err *e)
{
	struct drawing *d = ctx;
	struct stats now;
	int status = cmd_result(stats_read(d->name, &now, e), d->name, e);

	if (status != EXIT_DONE) {
		stats_free(&now);
		return status;
	}
	if (d->args->prometheus) {
		stats_prometheus(f, &now);
	} else if (d->args->json) {
		if (print_json(f, &now, d->args->watch ? JSON_COMPACT : JSON_INDENT(2))) {
			err_sys(e, ENOMEM, "counters", NULL);
			status = EXIT_FAILED;
		}
	} else {
		if (d->args->watch)
			watch_stamp(f);
		stats_show(f, t, &now, d->has_before ? &d->before : NULL);
		if (d->args->watch)
			putc('\n', f);
	}
	stats_free(&d->before);
	d->before = now;
	d->has_before = 1;
	return status;
}

int cmd_stats(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct stats_args a = {};
	struct drawing d = { .args = &a };
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (cmd_one_pod(n, args, &d.name, e))
		return EXIT_USAGE;
	if (a.prometheus && (a.json || a.watch)) {
		err_set(e, EINVAL, "flag", "--prometheus", "goes with neither --json nor --watch");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	status = watch_run(a.watch, draw, &d, e);
	stats_free(&d.before);
	return status;
}
