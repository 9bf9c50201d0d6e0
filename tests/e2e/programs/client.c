// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * client 4|6|mapped [-f] NAME PORT: resolves, connects without blocking, tells both ends and what
 * was answered; with -f the server speaks first.
 *
 * It is compiled with two C libraries: glibc resolves over a connected UDP socket and asks the first
 * resolver; musl over an unconnected one and asks all, by v4-mapped addresses if one has IPv6.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int epoll_fd;

static void await(int fd, unsigned int events)
{
	struct epoll_event ev = { .events = events };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &ev) || epoll_wait(epoll_fd, &ev, 1, 10000) != 1)
		errx(1, "waited in vain");
}

static int connect_to(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
	struct epoll_event ev = {};
	socklen_t len = sizeof(error);

	epoll_fd = epoll_create1(0);
	if (fd < 0 || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		err(1, "socket");
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		err(1, "connect");
	await(fd, EPOLLOUT);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error)
		errx(1, "connect: %s", strerror(error));
	return fd;
}

static void print(const char *what, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *in6 = (const void *)a;
	const struct sockaddr_in *in = (const void *)a;
	char text[INET6_ADDRSTRLEN];

	if (a->ss_family == AF_INET6)
		printf("%s=[%s]:%u ", what,
		       inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
		       ntohs(in6->sin6_port));
	else
		printf("%s=%s:%u ", what, inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
		       ntohs(in->sin_port)); /* NOLINT(clang-analyzer-core.CallAndMessage): it was filled */
}

static void talk(int fd, int server_first)
{
	struct sockaddr_storage peer = {}, name = {};
	socklen_t peer_len = sizeof(peer), name_len = sizeof(name);
	char line[512] = "";

	if (!server_first && write(fd, "hello\n", 6) != 6)
		err(1, "write");
	await(fd, EPOLLIN);
	if (read(fd, line, sizeof(line) - 1) <= 0)
		err(1, "read");
	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) ||
	    getsockname(fd, (struct sockaddr *)&name, &name_len))
		err(1, "name");
	print("peer", &peer);
	print("name", &name);
	printf("%s", line);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET6 }, *all, *a;
	int first = argc > 2 && !strcmp(argv[2], "-f");
	int mapped = argc > 1 && !strcmp(argv[1], "mapped"), error;

	if (argc != 4 + first)
		errx(2, "usage: client 4|6|mapped [-f] NAME PORT");
	if (mapped)
		hints.ai_flags = AI_V4MAPPED | AI_ALL;
	else if (!strcmp(argv[1], "4"))
		hints.ai_family = AF_INET;
	error = getaddrinfo(argv[2 + first], argv[3 + first], &hints, &all);
	if (error)
		errx(1, "%s: %s", argv[2 + first], gai_strerror(error));
	for (a = all; a; a = a->ai_next) {
		const struct sockaddr_in6 *in6 = (const void *)a->ai_addr;

		if (!mapped || IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			break;
	}
	if (!a)
		errx(1, "%s: no IPv4 address", argv[2 + first]);
	talk(connect_to(a), first);
	return 0;
}
