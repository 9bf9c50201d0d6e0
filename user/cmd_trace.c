/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: trace. Verdicts as they are given, one line each. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "pod.h"
#include "prefix.h"
#include "tracer.h"
#include "values.h"
#include "why.h"

struct trace_args {
	int json;
	const char *dst, *port, *uid, *reason, *count;
	__u32 limit; /* 0: none */
	__u64 shown;
};

static const struct option_row trace_rows[] = {
	{ "dst", 0, "CIDR", "only towards these addresses", cmd_set_string,
	  offsetof(struct trace_args, dst) },
	{ "port", 0, "N", "only towards this port", cmd_set_string,
	  offsetof(struct trace_args, port) },
	{ "uid", 0, "N", "only from sockets of this owner, as the node sees it", cmd_set_string,
	  offsetof(struct trace_args, uid) },
	{ "reason", 0, "NAME", "only with this reason, as 'stats' names it", cmd_set_string,
	  offsetof(struct trace_args, reason) },
	{ "count", 0, "N", "end after so many lines", cmd_set_string,
	  offsetof(struct trace_args, count) },
	{ "json", 0, NULL, "one JSON object a line", option_set_bool,
	  offsetof(struct trace_args, json) },
	{},
};

const struct option_table trace_tables[1] = { { .title = "flags", .rows = trace_rows } };

static const char *const action_names[] = {
	[EVENT_PASSED] = "passed",
	[EVENT_REDIRECTED] = "redirected",
	[EVENT_REFUSED] = "refused",
};

/* --- which ---------------------------------------------------------------------------------------- */

/* Counters count more than verdicts. */
static int is_verdict(unsigned int why)
{
	const char *name = why_name(why);

	return !strncmp(name, "out-", 4) || !strncmp(name, "in-", 3) ||
	       why == WHY_REFUSED_NO_MEMORY;
}

static int parse_reason(const char *text, __u64 *ret, struct st_err *e)
{
	unsigned int why = 0;

	while (why < WHY_COUNT && strcmp(text, why_name(why)))
		why++;
	if (why < WHY_COUNT && is_verdict(why)) {
		*ret = 1ULL << why;
		return 0;
	}
	err_hint(e, "'socktables stats --json' has their names; those of verdicts begin with out- "
		    "or in-");
	return err_set(e, EINVAL, "reason", text,
		       why < WHY_COUNT ? "is counted, but is no verdict's" : "unknown");
}

static int parse_destination(const char *text, struct event_filter *w, struct st_err *e)
{
	const char *why;
	struct addr ones;
	struct prefix p;

	memset(&ones, 0xff, sizeof(ones));
	why = prefix_parse(text, &p, NULL);
	if (why)
		return err_set(e, EINVAL, "--dst", text, "%s", why);
	w->dst = p.addr;
	w->mask = addr_mask(&ones, p.len);
	return 0;
}

static int parse_filter(struct trace_args *a, struct event_filter *w, struct st_err *e)
{
	const char *why;
	int err = 0;

	w->reasons = -1;
	if (a->reason)
		err = parse_reason(a->reason, &w->reasons, e);
	if (!err && a->dst)
		err = parse_destination(a->dst, w, e);
	if (!err && a->port && (why = port_parse(a->port, &w->port)))
		err = err_set(e, EINVAL, "--port", a->port, "%s", why);
	if (!err && a->uid && (why = id_parse(a->uid, &w->uid)))
		err = err_set(e, EINVAL, "--uid", a->uid, "%s", why);
	w->by_uid = !!a->uid;
	if (!err && a->count && number_parse(a->count, 1, -1, &a->limit))
		err = err_set(e, EINVAL, "--count", a->count, "not a number from 1 on");
	return err;
}

/* --- what ----------------------------------------------------------------------------------------- */

/* Events have the monotonic clock, which the kernel gives to programs; people have another. */
static void print_time(__u64 time, int json, char *text, size_t size)
{
	struct timespec real, mono;
	struct tm tm;
	__s64 ns;
	time_t s;
	size_t n;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &real);
	ns = (real.tv_sec - mono.tv_sec) * 1000000000LL + real.tv_nsec - mono.tv_nsec + time;
	s = ns / 1000000000;
	if (json)
		n = strftime(text, size, "%FT%T", gmtime_r(&s, &tm));
	else
		n = strftime(text, size, "%T", localtime_r(&s, &tm));
	snprintf(text + n, size - n, ".%06lld%s", (long long)(ns % 1000000000 / 1000),
		 json ? "Z" : "");
}

#define COMM_TEXT_MAX ERR_QUOTED_MAX(sizeof(((struct event *)0)->comm))

/* A process may call itself anything: columns stay columns. */
static void print_process(const struct event *ev, int json, char text[COMM_TEXT_MAX])
{
	char comm[sizeof(ev->comm) + 1];

	snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(ev->comm), ev->comm);
	err_quote(comm, text, COMM_TEXT_MAX);
	for (; !json && *text; text++)
		if (*text == ' ')
			*text = '_';
}

/* 10.0.0.5:80 or [fd00::5]:80; * where the kernel has not chosen yet. */
static void print_end(const struct addr *a, __u16 port, char *text, size_t size)
{
	char host[PREFIX_TEXT_MAX] = "*";
	int v6 = !addr_is_v4(a) && !addr_is_zero(a);

	if (!addr_is_zero(a))
		addr_print(a, host);
	if (port)
		snprintf(text, size, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
	else
		snprintf(text, size, "%s", host);
}

static void print_number(__u32 n, __u32 none, char *text, size_t size)
{
	if (n == none)
		snprintf(text, size, "-");
	else
		snprintf(text, size, "%u", n);
}

static void print_plain(const struct event *ev)
{
	char time[32], comm[COMM_TEXT_MAX], src[PREFIX_TEXT_MAX + 8], dst[PREFIX_TEXT_MAX + 8];
	char pid[12], uid[12], gid[12], verdict[32];

	print_time(ev->time, 0, time, sizeof(time));
	print_process(ev, 0, comm);
	print_end(&ev->src, ev->sport, src, sizeof(src));
	print_end(&ev->dst, ev->dport, dst, sizeof(dst));
	print_number(ev->pid, 0, pid, sizeof(pid));
	print_number(ev->uid, -1, uid, sizeof(uid));
	print_number(ev->gid, -1, gid, sizeof(gid));
	snprintf(verdict, sizeof(verdict), "%s", action_names[ev->action]);
	if (ev->action == EVENT_REDIRECTED)
		snprintf(verdict, sizeof(verdict), "redirected:%u", ev->port);
	printf("%s %-12s %-15s %7s %5s/%-5s %-3s %s %15s -> %-21s %-16s %s\n", time, ev->name,
	       *comm ? comm : "-", pid, uid, gid, ev->inbound ? "in" : "out",
	       ev->proto == ST_TCP ? "tcp" : "udp", src, dst, verdict, why_name(ev->why));
}

static json_t *addr_or_null(const struct addr *a)
{
	char text[PREFIX_TEXT_MAX];

	addr_print(a, text);
	return addr_is_zero(a) ? json_null() : json_string(text);
}

static json_t *number_or_null(__u32 n, __u32 none)
{
	return n == none ? json_null() : json_integer(n);
}

static int print_json(const struct event *ev)
{
	char time[32], comm[COMM_TEXT_MAX];
	json_t *o;
	int err;

	print_time(ev->time, 1, time, sizeof(time));
	print_process(ev, 1, comm);
	o = json_pack("{ss ss so so so so ss ss so so so si ss so ss}", "time", time, "pod",
		      ev->name, "process", ev->pid ? json_string(comm) : json_null(), "pid",
		      number_or_null(ev->pid, 0), "uid", number_or_null(ev->uid, -1), "gid",
		      number_or_null(ev->gid, -1), "direction", ev->inbound ? "in" : "out",
		      "protocol", ev->proto == ST_TCP ? "tcp" : "udp", "source",
		      addr_or_null(&ev->src), "source_port", number_or_null(ev->sport, 0),
		      "destination", addr_or_null(&ev->dst), "destination_port", ev->dport,
		      "verdict", action_names[ev->action], "port",
		      number_or_null(ev->action == EVENT_REDIRECTED ? ev->port : 0, 0), "reason",
		      why_name(ev->why));
	err = !o || json_dumpf(o, stdout, JSON_COMPACT) || putchar('\n') == EOF;
	json_decref(o);
	return err;
}

/* That nobody reads any more is a way to end a trace: main() shall not call it a failure. */
static void forget_reader(void)
{
	if (errno != EPIPE)
		return;
	__fpurge(stdout);
	clearerr(stdout);
}

static int show(void *ctx, const struct event *ev)
{
	struct trace_args *a = ctx;

	if (ev->action > EVENT_REFUSED)
		return 0; /* no program of this layout says so */
	if (a->json ? print_json(ev) : (print_plain(ev), 0))
		return 1;
	if (fflush(stdout)) {
		forget_reader();
		return 1;
	}
	a->shown++;
	return a->limit && a->shown >= a->limit;
}

static void missed(void *ctx, __u64 lost, __u64 seconds)
{
	(void)ctx;
	if (lost)
		fprintf(stderr,
			"socktables: trace: %llu events dropped: they came faster than they were "
			"read\n",
			(unsigned long long)lost);
	if (seconds)
		fprintf(stderr,
			"socktables: trace: was stopped: events of %llu seconds are missing\n",
			(unsigned long long)seconds);
}

static int keep_state(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct pod *ret = ctx;

	(void)dp;
	(void)e;
	*ret = *pod;
	return 0;
}

/* Of a pod that is gone nothing will come, and of one that is half there not all: so it is told. */
static int tell_state(const char *name, struct st_err *e)
{
	struct pod pod = {};
	int err = pod_read(name, keep_state, &pod, e);

	if (!err && pod.state != POD_ATTACHED)
		fprintf(stderr, "socktables: trace: pod '%s': %s\n", name, pod.why);
	return err;
}

int cmd_trace(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct trace_args a = {};
	struct tracing_session s = {
		.out = STDOUT_FILENO, .each = show, .missed = missed, .ctx = &a
	};
	void *ctx[] = { &a };
	char **args;
	int err, status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	s.name = n ? args[0] : NULL;
	if (n > 1) {
		err_set(e, EINVAL, "argument", args[1], "not expected");
		return EXIT_USAGE;
	}
	if ((s.name && pod_check_name(s.name, e)) || parse_filter(&a, &s.filter, e))
		return EXIT_USAGE;
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* a line at a time, by fflush() */
	err = s.name ? tell_state(s.name, e) : 0;
	err = err ?: tracer_follow(&s, e);
	if (err == -ENOENT && !s.began)
		err_set(e, ENOENT, s.name ? "pod" : "pods", s.name,
			s.name ? "not attached" : "none is attached");
	if (s.began)
		fprintf(stderr, "socktables: trace: %llu events shown, %llu dropped\n",
			(unsigned long long)a.shown, (unsigned long long)s.lost);
	return err == -ENOENT ? EXIT_NOT_ATTACHED : err ? EXIT_FAILED : EXIT_DONE;
}
