// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Both ends of a load generator; see side.h. */
#define _GNU_SOURCE
#include "side.h"

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 4096
#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* the same number for SOL_IP and SOL_IPV6 */
#endif

static void bad(const char *what, const char *text)
{
	errx(2, "bad %s '%s'", what, text);
}

static void parse_addr(union addr *a, char *text)
{
	char *colon = strrchr(text, ':'), *host = text;

	if (!colon)
		bad("address", text);
	if (*host == '[' && colon > host && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	*colon = '\0';
	if (!addr_parse(a, host, atoi(colon + 1), false))
		bad("address", text);
}

static void parse_side(struct side *side, char *text)
{
	const char *uid;

	side->cgroup = strsep(&text, ",");
	side->netns = strsep(&text, ",");
	uid = strsep(&text, ",");
	if (!side->netns || !uid || text)
		bad("end", side->cgroup);
	side->uid = atoi(uid);
}

static void parse_cpus(struct load *load, char *text)
{
	const char *cpu;

	load->workers = 0;
	while ((cpu = strsep(&text, ","))) {
		if (load->workers == SIDE_WORKERS)
			errx(2, "more than %d workers", SIDE_WORKERS);
		load->cpus[load->workers++] = atoi(cpu);
	}
}

struct load load_parse(int argc, char **argv, const char *usage)
{
	struct load load = { .seconds = 0.3, .workers = 1, .cpus = { -1 }, .size = 64 };
	int c;

	while ((c = getopt(argc, argv, "C:S:o:p:m:n:t:c:b:")) != -1) {
		switch (c) {
		case 'C':
			parse_side(&load.client, optarg);
			break;
		case 'S':
			parse_side(&load.server, optarg);
			break;
		case 'o':
			parse_addr(&load.original, optarg);
			break;
		case 'p':
			load.pins = optarg;
			break;
		case 'm':
			load.mode = optarg;
			break;
		case 'n':
			load.count = strtoull(optarg, NULL, 10);
			break;
		case 't':
			load.seconds = atof(optarg);
			break;
		case 'c':
			parse_cpus(&load, optarg);
			break;
		case 'b':
			load.size = atoi(optarg);
			break;
		default:
			errx(2, "usage: %s", usage);
		}
	}
	if (argc - optind != 2 || !load.client.netns || !load.server.netns)
		errx(2, "usage: %s", usage);
	parse_addr(&load.listen, argv[optind]);
	parse_addr(&load.dial, argv[optind + 1]);
	return load;
}

static void join_cgroup(const char *dir)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		err(1, "%s", path);
	close(fd);
}

static void join_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", path);
	close(fd);
}

void side_enter(const struct side *side)
{
	setfsuid(0);
	setfsgid(0);
	if (*side->cgroup)
		join_cgroup(side->cgroup);
	if (*side->netns)
		join_netns(side->netns);
	/* The owner of a socket is whom its file was made by. */
	setfsgid(side->uid);
	setfsuid(side->uid);
}

void side_pin(const struct load *load, int worker)
{
	cpu_set_t set;

	if (load->cpus[worker] < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(load->cpus[worker], &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", load->cpus[worker]);
}

int side_socket(const union addr *a, int type)
{
	int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

int side_listener(const struct load *load, int type)
{
	int fd = side_socket(&load->listen, type), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &load->listen.sa, addr_len(&load->listen)))
		err(1, "bind");
	if (type == SOCK_STREAM && listen(fd, BACKLOG))
		err(1, "listen");
	return fd;
}

int side_dial(const struct load *load, int type)
{
	int fd = side_socket(&load->dial, type);

	if (connect(fd, &load->dial.sa, addr_len(&load->dial)))
		err(1, "connect");
	return fd;
}

/* addr_same() compares texts, which would take time. */
static bool same(const union addr *a, const union addr *b)
{
	return a->sa.sa_family == b->sa.sa_family && a->in.sin_port == b->in.sin_port &&
	       (a->sa.sa_family == AF_INET
			? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
			: IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr));
}

void side_ask_original(const struct load *load, int fd)
{
	int level = load->dial.sa.sa_family == AF_INET ? SOL_IP : SOL_IPV6;
	char got_text[ADDR_TEXT] = "none", want_text[ADDR_TEXT];
	union addr got = {};
	socklen_t len = sizeof(got);
	int failed = getsockopt(fd, level, SO_ORIGINAL_DST, &got, &len);

	if (!load->original.sa.sa_family || (!failed && same(&got, &load->original)))
		return;
	if (!failed)
		addr_text(&got, got_text);
	addr_text(&load->original, want_text);
	errx(1, "original destination %s, not %s", got_text, want_text);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
