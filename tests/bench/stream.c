// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Traffic on an established connection. Prints "rate N":
 *
 *	-m trips	messages of SIZE bytes there and back, a second
 *	-m bulk		bytes a second, SIZE of them at a time, one way
 */
#define _GNU_SOURCE
#include "runs.h"
#include "side.h"

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_UP 100
#define PATIENCE 5000 /* ms */

static const char usage[] =
	"bench_stream -m trips|bulk [-b SIZE] [-t SECONDS | -n COUNT] [-c CPU] "
	"[-o ORIGINAL] [-p PINS] -C CGROUP,NETNS,UID -S CGROUP,NETNS,UID LISTEN DIAL";

static char *sent, *received;

/* What was sent may still be on its way, through another device's queue. */
static void wait_for_data(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, PATIENCE) != 1)
		errx(1, "data got lost");
}

/* Neither end may block, as one thread is both: what does not fit yet is sent after some was read. */
static void transfer(int from, int to, size_t size)
{
	size_t in = 0, out = 0;

	while (in < size) {
		ssize_t n = out < size ? send(from, sent + out, size - out, MSG_DONTWAIT) : 0;

		if (n < 0 && errno != EAGAIN)
			err(1, "send");
		out += n > 0 ? n : 0;
		n = recv(to, received, size, MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN))
			err(1, "recv");
		if (n < 0)
			wait_for_data(to);
		in += n > 0 ? n : 0;
	}
}

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static double measure(const struct load *load, int client, int served)
{
	bool trips = !strcmp(load->mode, "trips");
	uint64_t begin, end, stop, n = 0;
	struct runs before;

	for (int i = 0; i < WARM_UP; i++)
		transfer(client, served, load->size);
	before = runs_begin(load->pins);
	begin = end = now_ns();
	stop = load->count ? UINT64_MAX : begin + load->seconds * 1e9;
	while (end < stop && (!load->count || n < load->count)) {
		transfer(client, served, load->size);
		if (trips)
			transfer(served, client, load->size);
		n++;
		end = now_ns();
	}
	runs_end(load->pins, &before);
	return n * (trips ? 1 : load->size) * 1e9 / (end - begin);
}

int main(int argc, char **argv)
{
	struct load load = load_parse(argc, argv, usage);
	int listener, client, served;

	if (!load.mode || (strcmp(load.mode, "trips") && strcmp(load.mode, "bulk")) ||
	    load.size <= 0)
		errx(2, "usage: %s", usage);
	sent = calloc(1, load.size);
	received = calloc(1, load.size);
	if (!sent || !received)
		err(1, "memory");
	side_pin(&load, 0);
	side_enter(&load.server);
	listener = side_listener(&load, SOCK_STREAM);
	side_enter(&load.client);
	client = side_dial(&load, SOCK_STREAM);
	served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (served < 0)
		err(1, "accept");
	side_ask_original(&load, served);
	no_delay(client);
	no_delay(served);
	printf("rate %.1f\n", measure(&load, client, served));
	free(sent);
	free(received);
	return 0;
}
