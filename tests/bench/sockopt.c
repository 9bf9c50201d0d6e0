// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a getsockopt() that nobody is interested in costs an app: SO_ERROR of a TCP socket. Prints
 * "ns N", nanoseconds a call. LISTEN and DIAL are not used, but have to be addresses.
 */
#define _GNU_SOURCE
#include "side.h"

#include <err.h>
#include <stdio.h>

#define AT_A_TIME 1000

static const char usage[] = "bench_sockopt [-t SECONDS | -n COUNT] [-c CPU] -C CGROUP,NETNS,UID "
			    "-S CGROUP,NETNS,UID LISTEN DIAL";

int main(int argc, char **argv)
{
	struct load load = load_parse(argc, argv, usage);
	uint64_t begin, end, stop, n = 0;
	int fd, error;
	socklen_t len;

	side_pin(&load, 0);
	side_enter(&load.client);
	fd = socket(load.dial.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	begin = end = now_ns();
	stop = load.count ? UINT64_MAX : begin + load.seconds * 1e9;
	while (end < stop && (!load.count || n < load.count)) {
		for (int i = 0; i < AT_A_TIME; i++) {
			len = sizeof(error);
			if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
				err(1, "getsockopt");
		}
		n += AT_A_TIME;
		end = now_ns();
	}
	printf("ns %.2f\n", (double)(end - begin) / n);
	return 0;
}
