// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Queries over UDP, each from a socket of its own, as the C library's resolver sends them:
 *
 *	-m connected	socket, connect, send, recv, close
 *	-m unconnected	socket, sendto, recvfrom, close
 *
 * The resolver is played as well; it echoes. Prints "rate N", queries a second, and "lost N". An
 * answer must come from the address that was asked.
 */
#define _GNU_SOURCE
#include "runs.h"
#include "side.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define WARM_UP 100
#define PATIENCE 100000 /* us: what takes longer is lost */
#define MAX_LOST 20	/* as many are no accident */

static const char usage[] =
	"bench_datagram -m connected|unconnected [-b SIZE] [-t SECONDS | -n COUNT] "
	"[-c CPU] [-p PINS] -C CGROUP,NETNS,UID -S CGROUP,NETNS,UID LISTEN DIAL";

static char data[65536];

static void be_patient(int fd)
{
	struct timeval patience = { .tv_usec = PATIENCE };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static bool arrived(ssize_t n, const char *what)
{
	if (n < 0 && errno != EAGAIN)
		err(1, "%s", what);
	return n > 0;
}

static bool echo(int server)
{
	union addr peer;
	socklen_t len = sizeof(peer);
	ssize_t n = recvfrom(server, data, sizeof(data), 0, &peer.sa, &len);

	if (!arrived(n, "recvfrom"))
		return false;
	if (sendto(server, data, n, 0, &peer.sa, len) != n)
		err(1, "answering");
	return true;
}

static bool hear(const struct load *load, int client, bool connected)
{
	char got[ADDR_TEXT], want[ADDR_TEXT];
	union addr from = {};
	socklen_t len = sizeof(from);

	if (connected)
		return arrived(recv(client, data, sizeof(data), 0), "recv");
	if (!arrived(recvfrom(client, data, sizeof(data), 0, &from.sa, &len), "recvfrom"))
		return false;
	if (!addr_same(&from, &load->dial)) {
		addr_text(&from, got);
		addr_text(&load->dial, want);
		errx(1, "answer from %s, not %s", got, want);
	}
	return true;
}

/* Whether the query and its answer arrived. */
static bool ask(const struct load *load, int server, bool connected)
{
	int client;
	bool answered;
	ssize_t n;

	if (connected) {
		client = side_dial(load, SOCK_DGRAM);
		n = send(client, data, load->size, 0);
	} else {
		client = socket(load->dial.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		n = sendto(client, data, load->size, 0, &load->dial.sa, addr_len(&load->dial));
	}
	if (n != load->size)
		err(1, "asking");
	be_patient(client);
	answered = echo(server) && hear(load, client, connected);
	close(client);
	return answered;
}

int main(int argc, char **argv)
{
	struct load load = load_parse(argc, argv, usage);
	uint64_t begin, end, stop, n = 0, lost = 0;
	struct runs before;
	bool connected;
	int server;

	if (!load.mode || (strcmp(load.mode, "connected") && strcmp(load.mode, "unconnected")) ||
	    load.size <= 0 || load.size > (int)sizeof(data))
		errx(2, "usage: %s", usage);
	connected = !strcmp(load.mode, "connected");
	side_pin(&load, 0);
	side_enter(&load.server);
	server = side_listener(&load, SOCK_DGRAM);
	be_patient(server);
	side_enter(&load.client);
	for (int i = 0; i < WARM_UP && lost <= MAX_LOST; i++)
		lost += !ask(&load, server, connected);
	before = runs_begin(load.pins);
	begin = end = now_ns();
	stop = load.count ? UINT64_MAX : begin + load.seconds * 1e9;
	for (; lost <= MAX_LOST && end < stop && (!load.count || n < load.count); n++) {
		lost += !ask(&load, server, connected);
		end = now_ns();
	}
	if (lost > MAX_LOST)
		errx(1, "answers get lost");
	printf("rate %.1f\nlost %lu\n", n * 1e9 / (end - begin), lost);
	runs_end(load.pins, &before);
	return 0;
}
