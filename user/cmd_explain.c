/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: explain. Asks verdict.h what would happen to a described connection, with the lists of the
 * live pod, or of a policy that no pod has.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "explain_cmd.h"
#include "import.h"
#include "pod.h"

struct explain_args {
	int json, offline;
	const char *import, *local;
	struct question q;
};

#define AT(field) offsetof(struct explain_args, field)

static const struct option_row explain_rows[] = {
	{ "uid", 0, "N", "owner of the socket, as the node sees it; default: not the proxy",
	  cmd_set_string, AT(q.uid) },
	{ "gid", 0, "N", "its group; default: the same number as the uid", cmd_set_string,
	  AT(q.gid) },
	{ "from", 0, "ADDR", "out: the address it is bound to; in: the remote address",
	  cmd_set_string, AT(q.from) },
	{ "mark", 0, "N", "out: of the socket (SO_MARK), which counts with -m TPROXY; default: 0",
	  cmd_set_string, AT(q.mark_text) },
	{ "json", 0, NULL, "machine-readable output", option_set_bool, AT(json) },
	{ "offline", 0, NULL, "by the policy of the flags below, not that of a pod",
	  option_set_bool, AT(offline) },
	{ "import", 0, "FILE", "offline, by the iptables rules in that file (-: stdin)",
	  cmd_set_string, AT(import) },
	{ "local", 0, "ADDR,...", "offline: the pod's own addresses; default: loopback only",
	  cmd_set_string, AT(local) },
	{ "iface", 0, "NAME", "offline: the interface that it goes or comes by", cmd_set_string,
	  AT(q.iface) },
	{},
};

const struct option_table explain_tables[2] = {
	{ .title = "flags", .rows = explain_rows },
	{ .title = "the policy, with --offline, in istio-iptables' own flags",
	  .rows = config_options },
};

static int is_local(const struct datapath *dp, const struct policy *p, const struct flow *f)
{
	struct flow out = { .dst = f->dst };

	pod_classify(dp, p, &out, 0, NULL);
	return !!(out.dst_class & CLASS_LOCAL);
}

static int explain_pod(void *ctx, const struct datapath *dp, const struct pod *pod,
		       struct st_err *e)
{
	struct answer *a = ctx;
	struct flow f = a->q->flow;
	struct addr source = {};

	a->policy = pod->policy;
	a->nr_listeners = pod->nr_listeners;
	pod_classify(dp, &pod->policy, &f, a->q->inbound, &source);
	if (pod->state != POD_ATTACHED)
		answer_note(a, "the pod is not whole: %s", pod->why);
	if (a->q->inbound && !is_local(dp, &pod->policy, &f))
		answer_note(a, "to no address of the pod that its policy knows");
	if (a->q->inbound && pod->policy.flags & POLICY_IFACES)
		answer_note(a, "taken to come by an interface that is not excluded");
	return answer_find(a, &f, &source, e);
}

/* FLOW may come as one quoted word: it is cut, so that its flags are seen. No other word is. */
static int is_flow(const char *word)
{
	return !strncmp(word, "out ", 4) || !strncmp(word, "in ", 3);
}

/* The words, into a new array with a NULL behind them, or NULL with e filled. */
static char **split_words(int argc, char **argv, int *ret, struct st_err *e)
{
	char **words, *word, *rest;
	size_t room = 1;
	int i, n = 0;

	for (i = 0; i < argc; i++)
		room += 1 + (is_flow(argv[i]) ? strlen(argv[i]) : 0);
	words = calloc(room, sizeof(*words));
	if (!words)
		err_sys(e, ENOMEM, "arguments", NULL);
	for (i = 0; words && i < argc; i++) {
		rest = argv[i];
		if (!is_flow(rest)) {
			words[n++] = rest;
			continue;
		}
		while ((word = strsep(&rest, " ")))
			if (*word)
				words[n++] = word;
	}
	*ret = n;
	return words;
}

/* What makes no sense together. */
static int check_args(const struct explain_args *a, const struct config *c, struct st_err *e)
{
	if (a->import && c->given)
		return err_set(e, EINVAL, "--import", a->import, "stands instead of policy flags");
	if (a->offline || a->import)
		return 0;
	if (c->given)
		return err_set(e, EINVAL, "policy flags", NULL,
			       "a pod has its own: --offline is missing");
	if (a->local)
		return err_set(e, EINVAL, "--local", a->local, "a pod has its own: only offline");
	if (a->q.iface)
		return err_set(e, EINVAL, "--iface", a->q.iface,
			       "a pod's routes tell it: only offline");
	return 0;
}

static int explain_import(const struct explain_args *a, struct answer *answer, struct st_err *e)
{
	FILE *f = strcmp(a->import, "-") ? fopen(a->import, "re") : stdin;
	struct import i;
	int err;

	if (!f)
		return err_sys(e, errno, "file", a->import);
	err = import_read(f, &i, e);
	err = err ?: answer_offline(answer, &i.config, a->local, e);
	import_free(&i);
	if (f != stdin)
		fclose(f);
	return err;
}

static int explain(const struct command *self, struct explain_args *a, struct config *c,
		   const char *name, struct st_err *e)
{
	struct answer answer = { .pod = name, .q = &a->q };
	struct command pure = *self;
	int status, err;

	if (!name)
		pure.needs = 0;
	if (cmd_begin(&pure, e))
		return EXIT_FAILED;
	if (name)
		err = pod_read(name, explain_pod, &answer, e);
	else if (a->import)
		err = explain_import(a, &answer, e);
	else
		err = answer_offline(&answer, c, a->local, e);
	status = name || !err ? cmd_result(err, name, e) : EXIT_FAILED;
	if (status != EXIT_DONE)
		return status;
	return a->json ? answer_json(&answer) : answer_print(&answer);
}

static int parse_and_explain(const struct command *self, int argc, char **argv, struct config *c,
			     struct st_err *e)
{
	struct explain_args a = {};
	void *ctx[] = { &a, c };
	char **args;
	int status, n, offline;

	n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	if (n < 0)
		return status;
	offline = a.offline || a.import;
	if (check_args(&a, c, e))
		return EXIT_USAGE;
	if ((!offline && (n < 1 || pod_check_name(args[0], e))) ||
	    question_parse(&a.q, offline ? n : n - 1, offline ? args : args + 1, e)) {
		err_set(e, EINVAL, "arguments", NULL, "NAME and FLOW are needed");
		err_hint(e, "for example: socktables explain %s out tcp 10.0.0.5:80 --uid 1000",
			 offline ? "--offline" : "web");
		return EXIT_USAGE;
	}
	return explain(self, &a, c, offline ? NULL : args[0], e);
}

int cmd_explain(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct config c = {};
	int status = EXIT_FAILED, n;
	char **words = split_words(argc, argv, &n, e);

	if (words && !config_init(&c, e))
		status = parse_and_explain(self, n, words, &c, e);
	config_free(&c);
	free(words);
	return status;
}
