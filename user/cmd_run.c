/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Verb: run. A command and its proxy in one cgroup, which is attached as a pod in the namespace that we
 * are in: the proxy is told where connections were going by programs of its own cgroup, so it has to be
 * there, too; whose connections pass is told by the owner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cgroup.h"
#include "cmd.h"
#include "config.h"
#include "listening.h"
#include "pod.h"
#include "run.h"

#define LISTEN_PATIENCE 300 /* tenths of a second: until the proxy listens */

struct run_args {
	const char *parent, *proxy, *user, *proxy_user;
};

static const struct option_row run_rows[] = {
	{ "proxy", 0, "COMMAND", "the transparent proxy, for sh -c; it listens on the port of -p",
	  cmd_set_string, offsetof(struct run_args, proxy) },
	{ "proxy-user", 0, "USER", "who runs it, by name or number; default: 1337", cmd_set_string,
	  offsetof(struct run_args, proxy_user) },
	{ "user", 0, "USER", "who runs COMMAND; default: who runs this", cmd_set_string,
	  offsetof(struct run_args, user) },
	{ "cgroup-parent", 0, "DIR", "below which cgroup; default: that of who runs this",
	  cmd_set_string, offsetof(struct run_args, parent) },
	{},
};

const struct option_table run_tables[2] = {
	{ .title = "flags", .rows = run_rows },
	{ .title = "the policy, in istio-iptables' own flags; DNS is not captured unless asked for",
	  .rows = config_options },
};

struct run {
	struct run_place place;
	struct started proxy, command;
	struct config *config;
	int signals;
};

/* --- the life of both ---------------------------------------------------------------------------- */

/* Signals that somebody sent to us are the command's; those of the terminal it has already. */
static void pass_on(struct run *r, const struct signalfd_siginfo *s)
{
	if (s->ssi_signo != SIGCHLD && s->ssi_code <= 0 && r->command.running)
		kill(r->command.pid, s->ssi_signo);
}

/* Waits so long (milliseconds, -1: for ever) for signals; 1 if one that ends us came. */
static int attend(struct run *r, int patience)
{
	struct pollfd p = { r->signals, POLLIN, 0 };
	struct signalfd_siginfo s;
	int asked = 0;

	if (poll(&p, 1, patience) <= 0)
		return 0;
	while (read(r->signals, &s, sizeof(s)) == sizeof(s)) {
		pass_on(r, &s);
		asked |= s.ssi_signo == SIGTERM || s.ssi_signo == SIGINT || s.ssi_signo == SIGHUP;
	}
	run_reap(&r->proxy);
	run_reap(&r->command);
	return asked;
}

/* 1: something gets what is redirected to that port. */
static int has_listener(const struct netns *ns, __u16 port, struct st_err *e)
{
	struct listening_list list;
	int err = listening_read(ns, &port, 1, &list, e);
	int found = !err && listening_serves(&list, ST_TCP, port, 0);

	listening_free(&list);
	return err ?: found;
}

static int await_proxy(struct run *r, const struct netns *ns, struct st_err *e)
{
	__u16 port = r->config->outbound_port;
	int i, found = has_listener(ns, port, e);
	char which[16];

	snprintf(which, sizeof(which), "%u", port);
	if (found)
		return found < 0 ? found
				 : err_set(e, EADDRINUSE, "port", which,
					   "something listens there before the proxy is started");
	run_go(&r->proxy);
	for (i = 0; i < LISTEN_PATIENCE && r->proxy.running; i++) {
		found = has_listener(ns, port, e);
		if (found)
			return found < 0 ? found : 0;
		if (attend(r, 100))
			return err_set(e, EINTR, "run", NULL, "interrupted");
	}
	if (r->proxy.running)
		err_hint(e, "it has to listen on 127.0.0.1 or 0.0.0.0; -p names another port");
	return err_set(e, ETIMEDOUT, "proxy", NULL, "%s before it listened on port %u",
		       r->proxy.running ? "30 seconds went by" : "ended", port);
}

static int start_proxy(struct run *r, const char *netns, struct st_err *e)
{
	struct netns ns;
	int err = netns_open(netns, 1, &ns, e);

	if (err)
		return err;
	err = await_proxy(r, &ns, e);
	netns_close(&ns);
	return err;
}

static int live(struct run *r, struct st_err *e)
{
	struct pod_spec spec = { .name = r->place.name,
				 .cgroup = r->place.dir,
				 .netns = "/proc/self/ns/net",
				 .root = "",
				 .force = 1,
				 .config = r->config };
	struct st_err ignored = {};
	int err = place_make(&r->place, e), told = 0, left;

	err = err ?: place_move(&r->place, "proxy", r->proxy.pid, e);
	err = err ?: place_move(&r->place, "command", r->command.pid, e);
	err = err ?: pod_attach(&spec, e);
	if (!err) {
		err = start_proxy(r, spec.netns, e);
		if (!err)
			run_go(&r->command);
		while (!err && r->command.running) {
			attend(r, -1);
			if (!r->proxy.running && !told++)
				fprintf(stderr, "socktables: run: proxy: ended\n");
		}
		run_end(&r->command);
		place_kill(&r->place); /* what it left must not go direct */
		run_end(&r->proxy);
		left = pod_detach(r->place.name, DETACH_ANY, err ? &ignored : e);
		err = err ?: left;
	}
	run_end(&r->command);
	run_end(&r->proxy);
	place_remove(&r->place);
	return err;
}

/* --- the command line ---------------------------------------------------------------------------- */

/* What differs from attach: what comes in is nobody's business, nor is DNS, and no port is Istio's. */
static int set_defaults(struct config *c, struct st_err *e)
{
	static const char *const values[][2] = { { "istio-inbound-ports", "" },
						 { "redirect-dns", "false" },
						 { "istio-local-outbound-ports-exclude", "" } };
	const struct option_row *row;
	size_t i;
	int err;

	for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
		row = options_find(config_options, values[i][0]);
		err = row->set(c, row, values[i][1], e);
		if (err)
			return err;
	}
	c->given = 0;
	return 0;
}

/* The proxy's owner is what the policy goes by. */
static int set_owner(struct config *c, const struct identity *proxy, struct st_err *e)
{
	char id[16];
	const struct option_row *row = options_find(config_options, "proxy-uid");
	int err;

	snprintf(id, sizeof(id), "%u", proxy->uid);
	err = row->set(c, row, id, e);
	row = options_find(config_options, "proxy-gid");
	snprintf(id, sizeof(id), "%u", proxy->gid);
	return err ?: row->set(c, row, id, e);
}

static int check_users(const struct run_args *a, struct config *c, struct identity *proxy,
		       struct identity *command, struct st_err *e)
{
	int err = 0;

	if (config_given(c, "proxy-uid") || config_given(c, "proxy-gid"))
		return err_set(e, EINVAL, "flag", "-u, -g", "--proxy-user tells who the proxy is");
	*command = (struct identity){ .uid = getuid(), .gid = getgid(), .keep = 1 };
	err = identity_of(a->proxy_user ? a->proxy_user : "1337", proxy, e);
	proxy->apart = 1;
	if (!err && a->user)
		err = identity_of(a->user, command, e);
	if (!err && (command->uid == proxy->uid || command->gid == proxy->gid))
		return err_set(e, EINVAL, "--proxy-user", a->proxy_user,
			       "must be another user, of another group, than who runs COMMAND");
	return err ?: set_owner(c, proxy, e);
}

static int block_signals(struct st_err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Inherited as ignored, it would neither come nor leave a status. */
	signal(SIGCHLD, SIG_DFL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_sys(e, errno, "signals", NULL) : fd;
}

/* Both are forked before privileges are given up: what they execute may need them. */
static int start_both(struct run *r, const struct run_args *a, char **args,
		      const struct identity *proxy, const struct identity *command,
		      struct st_err *e)
{
	char *sh[] = { "/bin/sh", "-c", strdup(a->proxy), NULL };
	int err;

	if (!sh[2])
		return err_sys(e, ENOMEM, "proxy", NULL);
	err = run_start(sh, proxy, &r->proxy, e);
	err = err ?: run_start(args, command, &r->command, e);
	free(sh[2]);
	return err;
}

static int run(const struct command *self, const struct run_args *a, char **args, struct config *c,
	       struct st_err *e)
{
	struct run r = { .config = c, .place.parent = a->parent };
	struct identity proxy, command;
	char own[PATH_MAX];
	int err;

	if (check_users(a, c, &proxy, &command, e))
		return EXIT_USAGE;
	r.signals = block_signals(e);
	if (r.signals < 0)
		return EXIT_FAILED;
	err = start_both(&r, a, args, &proxy, &command, e);
	err = err ?: cmd_begin(self, e);
	if (!err && !r.place.parent) {
		err = cgroup_of_pid(getpid(), own, e);
		r.place.parent = own;
	}
	err = err ?: live(&r, e);
	run_end(&r.command);
	run_end(&r.proxy);
	close(r.signals);
	return err ? EXIT_FAILED : run_exit_status(&r.command);
}

int cmd_run(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct run_args a = {};
	struct config c = {};
	void *ctx[] = { &a, &c };
	int status = EXIT_FAILED, n;
	char **args;

	if (!config_init(&c, e) && !set_defaults(&c, e)) {
		n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
		if (!n || (n > 0 && !a.proxy)) {
			err_set(e, EINVAL, n ? "flag" : "arguments", n ? "--proxy" : NULL,
				n ? "is needed" : "a COMMAND is needed");
			err_hint(e, "for example: socktables run --proxy 'mitmdump --mode "
				    "transparent -p 15001' -- curl http://example.org");
			status = EXIT_USAGE;
		} else if (n > 0) {
			status = run(self, &a, args, &c, e);
		}
	}
	config_free(&c);
	return status;
}
