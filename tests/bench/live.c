// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connections that stay: makes that many, prints "live N", holds them until stdin ends. Spread over
 * processes, as each may have but so many files; over the ports of DIAL and those that follow, and over
 * the pod's two addresses, as between one source and one proxy there are no more than 64,512.
 */
#define _GNU_SOURCE
#include "side.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define EACH 8000 /* connections of one process, with two files each */

static const char usage[] =
	"bench_live -n COUNT -C CGROUP,NETNS,UID -S CGROUP,NETNS,UID -o SECOND-SOURCE LISTEN DIAL";

static void one(const struct load *load, int listener, uint64_t i)
{
	union addr dial = load->dial, source = load->original;
	int fd = side_socket(&dial, SOCK_STREAM), late = 1;

	dial.in.sin_port = htons(ntohs(dial.in.sin_port) + i % 1000);
	if (i % 2) {
		source.in.sin_port = 0;
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof(late));
		if (bind(fd, &source.sa, addr_len(&source)))
			err(1, "bind");
	}
	if (connect(fd, &dial.sa, addr_len(&dial)))
		err(1, "connection %lu", i);
	if (accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0)
		err(1, "accept");
}

static void hold(const struct load *load, int listener, uint64_t from, uint64_t to, int ready)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	side_enter(&load->client);
	while (from < to)
		one(load, listener, from++);
	close(listener); /* so that others may listen there meanwhile */
	if (write(ready, &byte, 1) != 1)
		err(1, "write");
	pause();
}

int main(int argc, char **argv)
{
	struct load load = load_parse(argc, argv, usage);
	struct rlimit files;
	uint64_t from;
	int ready[2], listener;
	char byte;

	if (!load.count || load.dial.sa.sa_family != AF_INET || !load.original.sa.sa_family)
		errx(2, "usage: %s", usage);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	if (pipe(ready) || setrlimit(RLIMIT_NOFILE, &files))
		err(1, "setting up");
	side_enter(&load.server);
	listener = side_listener(&load, SOCK_STREAM);
	for (from = 0; from < load.count; from += EACH) {
		uint64_t to = from + EACH < load.count ? from + EACH : load.count;

		if (!fork())
			hold(&load, listener, from, to, ready[1]);
		/* One after the other: each accepts what it has dialled itself. */
		if (read(ready[0], &byte, 1) != 1)
			return 1;
	}
	close(listener);
	printf("live %lu\n", load.count);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
