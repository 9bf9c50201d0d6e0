// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Many connections, one after the other, to HOST:PORT (an IPv4 one as [::ffff:1.2.3.4]:80 on an
 * AF_INET6 socket):
 *
 *	e2e_load COUNT ask HOST:PORT	sends a line, reads one, closes: with RST, each tenth with FIN
 *	e2e_load COUNT drop HOST:PORT	closes while connect() is under way; each tenth by AF_UNSPEC
 *	e2e_load COUNT hold HOST:PORT	begins to connect and keeps them all
 *	e2e_load COUNT wait HOST:PORT	begins to connect and waits until all have failed or succeeded
 *
 * Prints how many ended how, "500 ok 20 ECONNREFUSED". With hold it prints "holding PID" and keeps
 * them until a line, or the end, comes from stdin.
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE 10 /* seconds for one connection; nothing takes any time unless it is broken */
#define MAX_ERRNO 256

static int ended[MAX_ERRNO]; /* by errno */
static union addr to;

static int begin(int flags)
{
	int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

static void reset_on_close(int fd)
{
	struct linger reset = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

static void ask(int i)
{
	struct timeval patience = { .tv_sec = PATIENCE };
	int fd = begin(0), result = 0;
	char line[256];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (i % 10)
		reset_on_close(fd);
	if (connect(fd, &to.sa, addr_len(&to)) || write(fd, "hello\n", 6) != 6 ||
	    read(fd, line, sizeof(line)) < 0)
		result = errno;
	ended[result % MAX_ERRNO]++;
	close(fd);
}

static void drop(int i)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int fd = begin(SOCK_NONBLOCK);

	(void)connect(fd, &to.sa, addr_len(&to));
	if (i % 10 == 0)
		(void)connect(fd, &nowhere, sizeof(nowhere));
	reset_on_close(fd);
	ended[0]++;
	close(fd);
}

/* begin_all - begins to connect COUNT times; patience: ms after which one is given up at its next
 * retransmission, 0 for as long as the kernel's default, which is minutes
 */
static int *begin_all(int count, unsigned int patience)
{
	int *fds = calloc(count, sizeof(*fds));
	int i;

	for (i = 0; i < count; i++) {
		fds[i] = begin(SOCK_NONBLOCK);
		setsockopt(fds[i], SOL_TCP, TCP_USER_TIMEOUT, &patience, sizeof(patience));
		if (connect(fds[i], &to.sa, addr_len(&to)) && errno != EINPROGRESS)
			ended[errno % MAX_ERRNO]++;
	}
	return fds;
}

static void wait_all(int count)
{
	int *fds = begin_all(count, 100), i, result;
	socklen_t len = sizeof(result);

	for (i = 0; i < count; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLOUT };

		if (poll(&p, 1, PATIENCE * 1000) < 1)
			errx(1, "connection %d neither fails nor succeeds", i);
		getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &result, &len);
		ended[result % MAX_ERRNO]++;
	}
}

int main(int argc, char **argv)
{
	char *port = argc == 4 ? strrchr(argv[3], ':') : NULL, *host = argc == 4 ? argv[3] : NULL;
	int i, count = port ? atoi(argv[1]) : 0;

	if (count < 1)
		errx(2, "usage: e2e_load COUNT ask|drop|hold|wait HOST:PORT");
	*port++ = '\0';
	if (*host == '[') {
		host++;
		port[-2] = '\0';
	}
	if (!addr_parse(&to, host, atoi(port), false))
		errx(2, "%s: not an address", host);
	if (!strcmp(argv[2], "hold")) {
		begin_all(count, 0);
		printf("holding %d\n", getpid());
		fflush(stdout);
		getchar();
	} else if (!strcmp(argv[2], "wait")) {
		wait_all(count);
	} else {
		for (i = 0; i < count; i++)
			(strcmp(argv[2], "ask") ? drop : ask)(i);
	}
	for (i = 0; i < MAX_ERRNO; i++)
		if (ended[i])
			printf("%d %s ", ended[i], i ? errno_name(i) : "ok");
	putchar('\n');
	return 0;
}
