/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* argv -> command -> exit status. The one place that prints errors. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "caps.h"
#include "cmd.h"
#include "istio.h"

#define ABOUT_LISTS                                                                           \
	"\na list may stand in a file, -i @FILE: between its elements are commas, blanks or " \
	"newlines,\n"                                                                         \
	"and # begins a comment\n"

/* To work on maps takes CAP_BPF; to load programs for the network CAP_NET_ADMIN as well, and
 * CAP_PERFMON if they read the kernel's memory, and before Linux 6.2 CAP_SYS_ADMIN, since libbpf looks
 * for a function of 6.2 in all modules; to ask what runs on a cgroup CAP_NET_ADMIN (Linux 6.9:
 * or CAP_SYS_ADMIN); to enter a namespace, and to look at programs and links that are not ours,
 * CAP_SYS_ADMIN; to find a namespace or --pid's by a process CAP_SYS_PTRACE; to find
 * a cgroup by its id CAP_DAC_READ_SEARCH; to be in a pod who the app and the proxy are CAP_SETUID and
 * CAP_SETGID, to end what is there CAP_KILL.
 */
#define ON_MAPS CAPS(BPF)
#define ON_PODS (CAPS(BPF) | CAPS(NET_ADMIN) | CAPS(SYS_ADMIN))
#define VISITING \
	(CAPS(SYS_ADMIN) | CAPS(DAC_READ_SEARCH) | CAPS(SETUID) | CAPS(SETGID) | CAPS(KILL))
#define LOADING (CAPS(BPF) | CAPS(NET_ADMIN) | CAPS(PERFMON))

static const struct command commands[] = {
	{ "attach", "--cgroup DIR --netns FILE [--name NAME] [policy] | --from FILE",
	  "capture a pod's traffic",
	  "  socktables attach --cgroup /sys/fs/cgroup/kubepods/pod1 --netns /run/netns/pod1\n"
	  "  socktables attach --pid 4711 --name web -o 15020,3306 --ipv6=on\n"
	  "  socktables attach --pid 4711 -x @/etc/mesh/outside.txt\n"
	  "  socktables attach --from pods.txt\n" ABOUT_LISTS,
	  cmd_attach, attach_tables, 2, ON_PODS | LOADING,
	  CAPS(SYS_PTRACE) | CAPS(DAC_READ_SEARCH) },
	{ "update", "NAME [policy]", "give an attached pod a new policy",
	  "  socktables update web -o 15020,3306\n" ABOUT_LISTS, cmd_update, update_tables, 1,
	  ON_PODS, CAPS(SYS_PTRACE) | CAPS(PERFMON) },
	{ "detach", "NAME | --all [--stale] [--drain]", "stop capturing, from any state",
	  "  socktables detach web\n"
	  "  socktables detach web --drain=30\n"
	  "  socktables detach --all --stale\n",
	  cmd_detach, detach_tables, 1, ON_PODS,
	  CAPS(SYS_PTRACE) | CAPS(PERFMON) | CAPS(DAC_READ_SEARCH) },
	{ "upgrade", "", "this build's programs for all pods, connections go on",
	  "  socktables upgrade\n", cmd_upgrade, NULL, 0, LOADING, CAPS(SYS_ADMIN) },
	{ "status", "[NAME]", "what is attached, and whether it works", status_notes, cmd_status,
	  status_tables, 1, ON_MAPS,
	  CAPS(DAC_READ_SEARCH) | CAPS(NET_ADMIN) | CAPS(SYS_ADMIN) | CAPS(SYS_PTRACE) },
	{ "stats", "[NAME]", "counters by reason", stats_notes, cmd_stats, stats_tables, 1, ON_MAPS,
	  CAPS(DAC_READ_SEARCH) | CAPS(SYS_PTRACE) },
	{ "explain", "NAME FLOW | --offline [policy] FLOW | --import FILE FLOW",
	  "which rule wins for a connection, and what is seen of it",
	  "  socktables explain web out tcp 10.0.0.5:80 --uid 1000\n"
	  "  socktables explain web out udp [fd00::a]:53 --uid 1337 --from ::6\n"
	  "  socktables explain web in tcp 10.77.0.2:8080 --from 10.77.0.3\n"
	  "  socktables explain --offline -x 10.0.0.0/8 --local 10.77.0.2 out tcp 10.0.0.5:80\n"
	  "  socktables explain --import pod1.rules in tcp 10.77.0.2:8080\n"
	  "\nFLOW is out|in tcp|udp ADDRESS:PORT; IPv6 is written [ADDRESS]:PORT. The rules are "
	  "shown in the\n"
	  "order in which they are asked. Offline no privilege is needed.\n",
	  cmd_explain, explain_tables, 2, ON_MAPS, 0 },
	{ "check", "NAME",
	  "try a live pod: does what happens to its connections what its policy says",
	  "  socktables check web\n"
	  "  socktables check web --uid 1000 --gid 1000 --json\n"
	  "\nFirst what 'status' finds. Then connections of each kind that the policy speaks of "
	  "are made inside\n"
	  "the pod, to addresses that are nobody's (192.0.2.1, 2001:db8::1), and closed at once; "
	  "to an excluded\n"
	  "CIDR goes at most one SYN. The proxy and its DNS agent see them. Exit status 0: all as "
	  "the policy\n"
	  "demands, 1: not.\n",
	  cmd_check, check_tables, 1, ON_MAPS | VISITING, CAPS(NET_ADMIN) | CAPS(SYS_PTRACE) },
	{ "run", "--proxy COMMAND [policy] -- COMMAND...",
	  "a command with its connections sent to a local proxy",
	  "  socktables run --proxy 'mitmdump --mode transparent -p 15001' --user me -- curl "
	  "http://10.0.0.5\n"
	  "  socktables run --proxy 'haproxy -f tcp.cfg' --proxy-user haproxy -x 10.0.0.0/8 -- "
	  "make fetch\n"
	  "\nOnly what COMMAND and its children send is captured. The exit status is COMMAND's, "
	  "128 and the\n"
	  "signal that ended it, 126 or 127 if it cannot be executed. What it leaves running ends "
	  "with it.\n",
	  cmd_run, run_tables, 2,
	  ON_PODS | LOADING | CAPS(SETUID) | CAPS(SETGID) | CAPS(KILL) | CAPS(DAC_READ_SEARCH),
	  CAPS(SYS_PTRACE) },
	{ "trace", "[NAME]", "live verdicts, one line each, until interrupted",
	  "  socktables trace\n"
	  "  socktables trace web --dst 10.0.0.0/8 --port 5432 --count 10\n"
	  "  socktables trace --reason in-no-listener --json | jq .pod\n",
	  cmd_trace, trace_tables, 1, ON_MAPS, CAPS(DAC_READ_SEARCH) | CAPS(SYS_PTRACE) },
	{ "probe", "", "what this kernel can do, by trying it", "  socktables probe\n", cmd_probe,
	  noun_tables, 1, LOADING, 0 },
	{ "agent", "[--once]", "keep pods' addresses right while they change",
	  "  socktables agent\n  socktables agent --once\n", cmd_agent, agent_tables, 1,
	  ON_PODS | CAPS(NET_BROADCAST), CAPS(SYS_PTRACE) | CAPS(DAC_READ_SEARCH) },
	{ "import", "[FILE]", "Istio's iptables rules as policy flags, or why not",
	  "  (iptables-save; ip6tables-save) | socktables import\n"
	  "  socktables import rules.txt --json\n"
	  "  socktables attach --pid 4711 $(socktables import rules.txt)\n",
	  cmd_import, noun_tables, 1, 0, 0 },
	{ "istio-iptables", "[FLAGS]", "drop-in for Istio's binary, for the pod it runs in",
	  istio_notes, cmd_istio, istio_tables, 2, LOADING,
	  CAPS(SYS_ADMIN) | CAPS(SYS_PTRACE) | CAPS(SETUID) | CAPS(SETGID) |
		  CAPS(DAC_READ_SEARCH) },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_help(FILE *f)
{
	size_t i;

	fprintf(f, "usage: socktables COMMAND [...]\n\n"
		   "Steers a pod's traffic through its mesh proxy when sockets connect, by BPF;\n"
		   "replaces Istio's iptables rules.\n\n");
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(f, "  %-14s %s\n", commands[i].name, commands[i].help);
	fprintf(f, "\n'socktables COMMAND --help' tells more. "
		   "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not attached.\n");
}

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* What went wrong is told, also that nobody took what was printed. */
static int finish(const char *name, int status, const struct st_err *e)
{
	if (status != EXIT_DONE)
		cmd_tell(name, e);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "socktables: %s: writing to stdout: %s\n", name, strerror(errno));
		return status ? status : EXIT_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct command *c;
	struct st_err e = {};

	signal(SIGPIPE, SIG_IGN); /* a reader that went away must not undo half an attach */
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish(argv[1], EXIT_DONE, &e);
	}
	c = find(argv[1]);
	if (!c) {
		err_set(&e, EINVAL, "command", argv[1], "unknown");
		fprintf(stderr, "socktables: %s\nhint: try 'socktables --help'\n", e.text);
		return EXIT_USAGE;
	}
	return finish(c->name, c->run(c, argc - 1, argv + 1, &e), &e);
}
