/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: explain. Asks verdict.h what would happen to a described connection, with the lists of the
 * live pod.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "pod.h"
#include "values.h"
#include "why.h"

struct explain_args {
	int json;
	const char *uid, *gid, *from;
	int inbound;
	struct flow flow;
	struct verdict verdict;
};

static const struct option_row explain_rows[] = {
	{ "uid", 0, "N", "owner of the socket, as the node sees it; default: not the proxy",
	  cmd_set_string, offsetof(struct explain_args, uid) },
	{ "gid", 0, "N", "its group; default: the same number as the uid", cmd_set_string,
	  offsetof(struct explain_args, gid) },
	{ "from", 0, "ADDR", "out: the address it is bound to; in: the remote address",
	  cmd_set_string, offsetof(struct explain_args, from) },
	{ "json", 0, NULL, "machine-readable output", option_set_bool,
	  offsetof(struct explain_args, json) },
	{},
};

const struct option_table explain_tables[1] = { { .title = "flags", .rows = explain_rows } };

/* One of the parsers that return why a text is refused. */
#define PARSE(what, text, parser, ret) \
	((parser)(text, ret) ? err_set(e, EINVAL, what, text, "%s", (parser)(text, ret)) : 0)

/* ADDR:PORT or [ADDR]:PORT */
static int parse_target(const char *text, struct flow *f, struct st_err *e)
{
	char host[PREFIX_TEXT_MAX];
	const char *colon = strrchr(text, ':'), *start = text;
	size_t n;

	if (!colon)
		return err_set(e, EINVAL, "destination", text, "not ADDRESS:PORT");
	n = colon - text;
	if (*text == '[') {
		if (n < 2 || text[n - 1] != ']')
			return err_set(e, EINVAL, "destination", text, "not [ADDRESS]:PORT");
		start++;
		n -= 2;
	} else if (memchr(text, ':', n)) {
		return err_set(e, EINVAL, "destination", text, "write IPv6 as [ADDRESS]:PORT");
	}
	if (n >= sizeof(host))
		return err_set(e, EINVAL, "destination", text, "neither IPv4 nor IPv6");
	snprintf(host, sizeof(host), "%.*s", (int)n, start);
	return PARSE("port", colon + 1, port_parse, &f->dport)
		       ?: PARSE("address", host, addr_parse, &f->dst);
}

static int parse_flow(struct explain_args *a, int n, char **words, struct st_err *e)
{
	struct flow *f = &a->flow;
	int err = 0;

	if (n != 3)
		return err_set(e, EINVAL, "flow", NULL, "must be: out|in tcp|udp ADDRESS:PORT");
	if (strcmp(words[0], "in") && strcmp(words[0], "out"))
		return err_set(e, EINVAL, "direction", words[0], "neither 'in' nor 'out'");
	a->inbound = !strcmp(words[0], "in");
	if (strcmp(words[1], "tcp") && strcmp(words[1], "udp"))
		return err_set(e, EINVAL, "protocol", words[1], "neither 'tcp' nor 'udp'");
	f->proto = strcmp(words[1], "tcp") ? ST_UDP : ST_TCP;
	err = parse_target(words[2], f, e);
	f->uid = f->gid = -1;
	if (!err && a->uid)
		err = PARSE("uid", a->uid, id_parse, &f->uid);
	f->gid = f->uid;
	if (!err && a->gid)
		err = PARSE("gid", a->gid, id_parse, &f->gid);
	if (!err && a->from)
		err = PARSE("address", a->from, addr_parse, &f->src);
	if (!err && a->from && addr_is_v4(&f->src) != addr_is_v4(&f->dst))
		err = err_set(e, EINVAL, "--from", a->from, "not of the destination's family");
	return err;
}

static int explain_pod(void *ctx, const struct datapath *dp, const struct pod *pod,
		       struct st_err *e)
{
	struct explain_args *a = ctx;

	(void)e;
	pod_classify(dp, &pod->policy, &a->flow, a->inbound);
	a->verdict = a->inbound ? verdict_inbound(&pod->policy, &a->flow)
				: verdict_outbound(&pod->policy, &a->flow);
	return 0;
}

static int print_verdict(const struct explain_args *a, const char *name)
{
	const struct verdict *v = &a->verdict;
	const char *action = v->action == ACTION_PASS ? "pass" : "redirect";

	if (a->json)
		return json_put(json_pack("{ss ss ss ss si}", "pod", name, "action", action,
					  "reason", why_name(v->why), "text", why_text(v->why),
					  "port", v->port));
	if (v->action == ACTION_PASS)
		printf("pass: left alone\n");
	else
		printf("redirect: to port %u\n", v->port);
	printf("reason: %s: %s\n", why_name(v->why), why_text(v->why));
	return EXIT_DONE;
}

/* FLOW may come as one quoted word: cut it, so that its flags are seen. */
static int split_words(int argc, char **argv, char **words, int room)
{
	int i, n = 0;
	char *word, *rest;

	for (i = 0; i < argc; i++) {
		rest = argv[i];
		if (!strchr(rest, ' ')) {
			if (n < room)
				words[n++] = rest;
			continue;
		}
		while ((word = strsep(&rest, " ")))
			if (*word && n < room)
				words[n++] = word;
	}
	words[n] = NULL;
	return n;
}

int cmd_explain(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct explain_args a = {};
	void *ctx[] = { &a };
	char *words[65], **args;
	int status, n;

	n = cmd_parse(self, ctx, split_words(argc, argv, words, 64), words, &args, &status, e);
	if (n < 0)
		return status;
	if (n < 1 || pod_check_name(args[0], e) || parse_flow(&a, n - 1, args + 1, e)) {
		err_set(e, EINVAL, "arguments", NULL, "NAME and FLOW are needed");
		err_hint(e, "for example: socktables explain web out tcp 10.0.0.5:80 --uid 1000");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	status = cmd_result(pod_read(args[0], explain_pod, &a, e), args[0], e);
	return status == EXIT_DONE ? print_verdict(&a, args[0]) : status;
}
