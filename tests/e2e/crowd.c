// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Many connections of one process at once, each to a destination of its own:
 *
 *	e2e_crowd FAMILY FIRST COUNT SAMPLE
 *
 * to port 80 of 10.100.0.0 + FIRST and up, or fd97:: + FIRST and up (FAMILY 4 or 6). Prints "opened N", with " ERRNO"
 * behind it if the next one could not be, and asks the server of SAMPLE of them, chosen at random, which
 * original destination it was told: "right N of SAMPLE". Then it keeps them until stdin ends.
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static union addr destination(int family, unsigned int n)
{
	union addr a = {};

	if (family == 4) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons(80);
		a.in.sin_addr.s_addr = htonl(0x0a640000 + n);
	} else {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons(80);
		inet_pton(AF_INET6, "fd97::", &a.in6.sin6_addr);
		a.in6.sin6_addr.s6_addr32[3] = htonl(n);
	}
	return a;
}

static int dial(int family, unsigned int n)
{
	struct timeval patience = { .tv_sec = 10 };
	struct linger reset = { .l_onoff = 1 }; /* leaves no TIME_WAIT */
	union addr to = destination(family, n);
	int fd = socket(to.sa.sa_family, SOCK_STREAM, 0), error;

	if (fd < 0)
		err(1, "socket %u", n);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!connect(fd, &to.sa, addr_len(&to)))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* The app's view and the proxy's. */
static int is_right(int family, unsigned int n, int fd)
{
	union addr to = destination(family, n), peer = {};
	char line[256], want[ADDR_TEXT], text[ADDR_TEXT + 5];
	socklen_t len = sizeof(peer);
	ssize_t got;

	addr_text(&to, want);
	snprintf(text, sizeof(text), " od=%s\n", want);
	if (write(fd, "x\n", 2) != 2 || (got = read(fd, line, sizeof(line) - 1)) <= 0)
		return 0;
	line[got] = '\0';
	return strstr(line, text) && !getpeername(fd, &peer.sa, &len) && addr_same(&to, &peer);
}

int main(int argc, char **argv)
{
	unsigned int first, count, sample, n, i, right = 0;
	struct rlimit limit;
	int family, *fds;

	if (argc != 5)
		errx(2, "usage: e2e_crowd FAMILY FIRST COUNT SAMPLE");
	family = atoi(argv[1]);
	first = atoi(argv[2]);
	count = atoi(argv[3]);
	sample = atoi(argv[4]);
	fds = calloc(count, sizeof(*fds));
	if (!fds || getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max < count + 64)
		errx(1, "no room for %u sockets", count);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	srandom(getpid());
	for (n = 0; n < count; n++) {
		fds[n] = dial(family, first + n);
		if (fds[n] < 0)
			break;
	}
	printf("opened %u%s%s\n", n, n < count ? " " : "", n < count ? errno_name(errno) : "");
	for (i = 0; i < sample && n; i++) {
		unsigned int k = random() % n;

		right += is_right(family, first + k, fds[k]);
	}
	printf("right %u of %u\n", right, sample);
	fflush(stdout);
	while (getchar() != EOF)
		;
	free(fds);
	return 0;
}
