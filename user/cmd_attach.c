/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Verbs: attach, update, detach, upgrade. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "cmd.h"
#include "config.h"
#include "own_cgroup.h"
#include "pod.h"
#include "pods_file.h"
#include "values.h"

struct attach_args {
	const char *cgroup, *netns, *pid, *name, *from;
	int force;
};

static const struct option_row attach_rows[] = {
	{ "cgroup", 0, "DIR", "the pod's cgroup v2 directory", cmd_set_string,
	  offsetof(struct attach_args, cgroup) },
	{ "netns", 0, "FILE", "the pod's network namespace, e.g. /run/netns/NAME", cmd_set_string,
	  offsetof(struct attach_args, netns) },
	{ "pid", 0, "PID", "any process of the pod, instead of --cgroup and --netns",
	  cmd_set_string, offsetof(struct attach_args, pid) },
	{ "name", 0, "NAME", "what to call the pod; default: the cgroup's last component",
	  cmd_set_string, offsetof(struct attach_args, name) },
	{ "from", 0, "FILE", "many pods: a line each, with these flags ('-': stdin)",
	  cmd_set_string, offsetof(struct attach_args, from) },
	{ "force", 0, NULL, "also in the host's own namespace (hostNetwork)", option_set_bool,
	  offsetof(struct attach_args, force) },
	{},
};

const struct option_table attach_tables[2] = {
	{ .title = "the pod", .rows = attach_rows },
	{ .title = "the policy, in istio-iptables' own flags", .rows = config_options },
};
const struct option_table update_tables[1] = {
	{ .title = "the policy, in istio-iptables' own flags", .rows = config_options },
};

struct detach_args {
	int all, stale;
	__u32 drain; /* seconds; 0: not */
};

#define DRAIN_SECONDS 60

static int set_drain(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct detach_args *a = ctx;

	(void)row;
	a->drain = DRAIN_SECONDS;
	if (value && number_parse(value, 1, 86400, &a->drain))
		return err_set(e, EINVAL, "--drain", value,
			       "not a number of seconds from 1 to 86400");
	return 0;
}

static const struct option_row detach_rows[] = {
	{ "all", 0, NULL, "every pod, and what killed commands left behind", option_set_bool,
	  offsetof(struct detach_args, all) },
	{ "stale", 0, NULL, "with --all: only pods whose cgroup or namespace is gone",
	  option_set_bool, offsetof(struct detach_args, stale) },
	{ "drain", 0, "[=SECONDS]",
	  "redirect nothing new, detach when live connections have ended, at most so long (60)",
	  set_drain, 0 },
	{},
};

const struct option_table detach_tables[1] = { { .title = "flags", .rows = detach_rows } };

/* The paths that --pid stands for; buffers are the caller's. */
static int from_pid(const char *text, char cgroup[PATH_MAX], char netns[64], char root[64],
		    struct st_err *e)
{
	size_t prefix;
	__u32 pid = 0;
	int err;

	number_parse(text, 1, INT_MAX, &pid);
	snprintf(netns, 64, "/proc/%u/ns/net", pid);
	snprintf(root, 64, "/proc/%u/root", pid);
	err = cgroup_of_pid(pid, cgroup, e);
	prefix = err ? 0 : cgroup_pod_prefix(cgroup);
	if (prefix) /* the process is in a container of it */
		cgroup[prefix] = '\0';
	return err;
}

static int check_attach(const struct attach_args *a, int n, char **args, struct st_err *e)
{
	__u32 pid;

	if (n)
		return err_set(e, EINVAL, "argument", args[0], "not expected");
	if (a->pid && (a->cgroup || a->netns))
		return err_set(e, EINVAL, "--pid", a->pid,
			       "stands instead of --cgroup and --netns");
	if (!a->pid && (!a->cgroup || !a->netns))
		return err_set(e, EINVAL, "flags", NULL,
			       "--cgroup and --netns, or --pid, are needed");
	if (a->pid && number_parse(a->pid, 1, INT_MAX, &pid))
		return err_set(e, EINVAL, "pid", a->pid, "not a process id");
	return a->name ? pod_check_name(a->name, e) : 0;
}

/* What was given for nothing; no failure. */
static int note_flags(int status, const char *verb, const struct config *c)
{
	static const char *const servers[] = { "dns-servers", "resolv-conf" };
	size_t i;

	for (i = 0; i < sizeof(servers) / sizeof(*servers); i++)
		if (status == EXIT_DONE && config_given(c, servers[i]) && c->capture_all_dns)
			fprintf(stderr,
				"socktables: %s: flag '--%s': of no effect, as DNS to any address "
				"is "
				"captured\nhint: --capture-all-dns=false captures that to the "
				"pod's "
				"nameservers alone\n",
				verb, servers[i]);
	return status;
}

static int attach(const struct attach_args *a, struct config *config, struct st_err *e)
{
	struct pod_spec spec = { .name = a->name,
				 .cgroup = a->cgroup,
				 .netns = a->netns,
				 .config = config,
				 .force = a->force };
	char cgroup[PATH_MAX], netns[64], root[64];

	if (a->pid) {
		if (from_pid(a->pid, cgroup, netns, root, e))
			return EXIT_FAILED;
		spec.cgroup = cgroup;
		spec.netns = netns;
		spec.root = root;
	}
	return note_flags(cmd_result(pod_attach(&spec, e), NULL, e), "attach", config);
}

/* One line of a file of pods. */
struct pod_line {
	struct attach_args args;
	struct config config;
};

static int parse_line(void *ctx, int argc, char **argv, void **ret, struct st_err *e)
{
	const struct command *self = ctx;
	struct option_table tables[2] = { self->tables[0], self->tables[1] };
	struct pod_line *l = calloc(1, sizeof(*l));
	int n;

	*ret = l;
	if (!l)
		err_sys(e, ENOMEM, "file of pods", NULL);
	if (!l || config_init(&l->config, e))
		return EXIT_FAILED;
	tables[0].ctx = &l->args;
	tables[1].ctx = &l->config;
	n = options_parse(self->name, tables, 2, argc, argv, e);
	if (n == OPTIONS_HELP)
		err_set(e, EINVAL, "flag", "--help", "not in a file");
	else if (n >= 0 && l->args.from)
		err_set(e, EINVAL, "flag", "--from", "not in a file");
	else if (n >= 0 && !check_attach(&l->args, n, argv + argc - n, e))
		return EXIT_DONE;
	return EXIT_USAGE;
}

static int attach_line(void *parsed, struct st_err *e)
{
	struct pod_line *l = parsed;

	return attach(&l->args, &l->config, e);
}

static void free_line(void *parsed)
{
	struct pod_line *l = parsed;

	if (l)
		config_free(&l->config);
	free(l);
}

static const struct pods_line_ops line_ops = { parse_line, attach_line, free_line };

/* Whether anything stands beside --from. */
static int given_more(const struct attach_args *a, const struct config *c)
{
	return a->cgroup || a->netns || a->pid || a->name || a->force || c->given;
}

int cmd_attach(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct attach_args a = {};
	struct config config;
	void *ctx[] = { &a, &config };
	int status, n;
	char **args;

	if (config_init(&config, e))
		return EXIT_FAILED;
	n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	if (n >= 0) {
		status = EXIT_USAGE;
		if (a.from && (n || given_more(&a, &config)))
			err_set(e, EINVAL, "--from", a.from, "stands alone: flags are in the file");
		else if (a.from)
			status = cmd_begin(self, e) ? EXIT_FAILED
						    : pods_file_run(a.from, &line_ops,
								    (void *)(uintptr_t)self, e);
		else if (!check_attach(&a, n, args, e))
			status = cmd_begin(self, e) ? EXIT_FAILED : attach(&a, &config, e);
		else
			err_hint(e, "try 'socktables attach --help'");
	}
	config_free(&config);
	return status;
}

int cmd_update(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct config config;
	struct pod_spec spec = { .config = &config };
	void *ctx[] = { &config };
	char **args;
	int status, n;

	if (config_init(&config, e))
		return EXIT_FAILED;
	n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	if (n >= 0 && n != 1) {
		err_set(e, EINVAL, "arguments", NULL, "one pod's NAME is needed");
		err_hint(e, "try 'socktables update --help'");
		status = EXIT_USAGE;
	} else if (n >= 0 && pod_check_name(args[0], e)) {
		status = EXIT_USAGE;
	} else if (n >= 0) {
		spec.name = args[0];
		status = cmd_begin(self, e) ? EXIT_FAILED
					    : cmd_result(pod_update(&spec, e), args[0], e);
		note_flags(status, "update", &config);
	}
	config_free(&config);
	return status;
}

static void tell_failure(void *ctx, const struct pod_failure *failure)
{
	(void)ctx;
	cmd_tell("detach", &failure->why);
}

static int detach_all(const struct detach_args *a, unsigned int *ret_left, struct st_err *e)
{
	struct pod_failures failed = {};
	int err = a->drain ? pod_drain_all(a->drain, ret_left, &failed, e)
			   : pod_detach_all(a->stale, &failed, e);

	pod_failures_tell(&failed, tell_failure, NULL);
	return err;
}

/* Exit status of a detach that lets live connections end first. */
static int drain_and_detach(const struct detach_args *a, const char *name, struct st_err *e)
{
	unsigned int left = 0;
	int err;

	if (a->all)
		err = detach_all(a, &left, e);
	else
		err = pod_drain(name, a->drain, &left, e) ?: pod_detach(name, DETACH_DRAINED, e);
	if ((!err || err == -EIO) && left)
		fprintf(stderr,
			"socktables: detach: after %u s, %u connection%s that had not ended lost "
			"%s "
			"original destination\n",
			a->drain, left, left == 1 ? "" : "s", left == 1 ? "its" : "their");
	return cmd_result(err, name, e);
}

int cmd_detach(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct detach_args a = {};
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	const char *name;

	if (n < 0)
		return status;
	if (n != !a.all || (a.stale && (!a.all || a.drain))) {
		err_set(e, EINVAL, "arguments", NULL,
			n != !a.all ? "one pod's NAME, or --all, is needed"
				    : "--stale goes with --all, and not with --drain");
		err_hint(e, "try 'socktables detach --help'");
		return EXIT_USAGE;
	}
	name = n ? args[0] : NULL;
	if (name && pod_check_name(name, e))
		return EXIT_USAGE;
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	if (a.drain)
		return drain_and_detach(&a, name, e);
	if (a.all)
		return detach_all(&a, NULL, e) ? EXIT_FAILED : EXIT_DONE;
	return cmd_result(pod_detach(name, DETACH_ANY, e), name, e);
}

static void print_pod(void *ctx, const char *pod, const char *why)
{
	(void)ctx;
	if (why)
		printf("%s: left alone: %s\n", pod, why);
	else
		printf("%s: upgraded\n", pod);
}

int cmd_upgrade(const struct command *self, int argc, char **argv, struct st_err *e)
{
	char **args;
	int status, err, n = cmd_parse(self, NULL, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (n) {
		err_set(e, EINVAL, "argument", args[0], "not expected");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	err = pod_upgrade(print_pod, NULL, e);
	if (err >= 0)
		printf("the programs are build %s%s\n", datapath_build(),
		       err ? " already: nothing to do" : " now");
	return cmd_result(err > 0 ? 0 : err, NULL, e);
}
