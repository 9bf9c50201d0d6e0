/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Verbs: attach, update, detach. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "cmd.h"
#include "config.h"
#include "pod.h"
#include "values.h"

struct attach_args {
	const char *cgroup, *netns, *pid, *name;
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
	int all;
};

static const struct option_row detach_rows[] = {
	{ "all", 0, NULL, "every pod, and what killed commands left behind", option_set_bool,
	  offsetof(struct detach_args, all) },
	{},
};

const struct option_table detach_tables[1] = { { .title = "flags", .rows = detach_rows } };

/* The paths that --pid stands for; buffers are the caller's. */
static int from_pid(const char *text, char cgroup[PATH_MAX], char netns[64], char resolv[64],
		    char group[64], struct st_err *e)
{
	__u32 pid = 0;

	number_parse(text, 1, INT_MAX, &pid);
	snprintf(netns, 64, "/proc/%u/ns/net", pid);
	snprintf(resolv, 64, "/proc/%u/root/etc/resolv.conf", pid);
	snprintf(group, 64, "/proc/%u/root/etc/group", pid);
	return cgroup_of_pid(pid, cgroup, e);
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

static int attach(const struct attach_args *a, struct config *config, struct st_err *e)
{
	struct pod_spec spec = {
		.name = a->name, .cgroup = a->cgroup, .netns = a->netns, .config = config
	};
	char cgroup[PATH_MAX], netns[64], resolv[64], group[64];

	if (a->pid) {
		if (from_pid(a->pid, cgroup, netns, resolv, group, e))
			return EXIT_FAILED;
		spec.cgroup = cgroup;
		spec.netns = netns;
		spec.resolv_conf = resolv;
		spec.group_file = group;
	}
	return cmd_result(pod_attach(&spec, e), NULL, e);
}

int cmd_attach(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct attach_args a = {};
	struct config config;
	void *ctx[] = { &a, &config };
	char **args;
	int status, n;

	if (config_init(&config, e))
		return EXIT_FAILED;
	n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	if (n >= 0) {
		status = EXIT_USAGE;
		if (!check_attach(&a, n, args, e))
			status = cmd_root_needed(e) ? EXIT_FAILED : attach(&a, &config, e);
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
		status = cmd_root_needed(e) ? EXIT_FAILED
					    : cmd_result(pod_update(&spec, e), args[0], e);
	}
	config_free(&config);
	return status;
}

int cmd_detach(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct detach_args a = {};
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (n != !a.all) {
		err_set(e, EINVAL, "arguments", NULL, "one pod's NAME, or --all, is needed");
		err_hint(e, "try 'socktables detach --help'");
		return EXIT_USAGE;
	}
	if (n && pod_check_name(args[0], e))
		return EXIT_USAGE;
	if (cmd_root_needed(e))
		return EXIT_FAILED;
	if (a.all)
		return pod_detach_all(e) < 0 ? EXIT_FAILED : EXIT_DONE;
	return cmd_result(pod_detach(args[0], e), args[0], e);
}
