// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Istio's validation container as it looks from the kernel: the socket calls that its validator
 * makes (tools/istio-iptables/pkg/validation), in its order, with the options that Go's library
 * sets. Whatever the command's own validation does, this has to pass, too.
 *
 *	e2e_validator [-6] [-m] [-t SECONDS]
 *
 * -6	[::1] and ::6 instead of 127.0.0.1 and 127.0.0.6
 * -m	MPTCP listeners, which Go makes since 1.24
 *
 * Two servers on ports 15001 and 15006, and a client that dials port 15002 each second, are
 * processes of their own, as they are goroutines there. Exit status: 0 passed, 126 not, 77 if the
 * kernel has no MPTCP.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORIGINAL_DST 80
#define PROBE_PORT 15002
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static bool six, mptcp;

static void option(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		warn("setsockopt %d %d", level, name);
}

static socklen_t address(struct sockaddr_storage *ss, const char *v4, const char *v6, int port)
{
	struct sockaddr_in *sin = (void *)ss;
	struct sockaddr_in6 *sin6 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (six) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		inet_pton(AF_INET6, v6, &sin6->sin6_addr);
		return sizeof(*sin6);
	}
	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	inet_pton(AF_INET, v4, &sin->sin_addr);
	return sizeof(*sin);
}

/* What net.socket() does before bind() or connect(). */
static int go_socket(int proto, int flags)
{
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, proto);

	if (fd < 0)
		return fd;
	if (six)
		option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	option(fd, SOL_SOCKET, SO_BROADCAST, 1);
	return fd;
}

static int listen_on(int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, "127.0.0.1", "::1", port);
	int fd = go_socket(mptcp ? IPPROTO_MPTCP : 0, 0);

	if (fd < 0 && mptcp)
		exit(77);
	if (fd < 0)
		err(1, "socket");
	option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (bind(fd, (struct sockaddr *)&ss, len) || listen(fd, SOMAXCONN))
		err(1, "listener on port %d", port);
	return fd;
}

/* The answer to both levels is read as a unix.IPv6MTUInfo, which has 32 bytes: the port is at the
 * same place in both kinds of address. Its level is chosen by the peer's family.
 */
static int original_port(int conn)
{
	union {
		struct sockaddr_in6 sin6;
		char mtu_info[32];
	} a = {};
	socklen_t len = sizeof(a);
	int fd = dup(conn); /* TCPConn.File() */
	int failed = getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, ORIGINAL_DST, &a, &len);

	close(fd);
	if (failed) {
		warn("SO_ORIGINAL_DST");
		return -1;
	}
	return ntohs(a.sin6.sin6_port);
}

/* Accepts until a connection was dialled to the magic port; then says so. */
static void serve(int fd, int done)
{
	char text[16];
	int conn, port;

	for (;;) {
		conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0)
			continue;
		option(conn, IPPROTO_TCP, TCP_NODELAY, 1);
		option(conn, SOL_SOCKET, SO_KEEPALIVE, 1);
		port = original_port(conn);
		if (port >= 0) {
			snprintf(text, sizeof(text), "%d", port);
			send(conn, text, strlen(text), MSG_NOSIGNAL);
		}
		close(conn);
		if (port != PROBE_PORT)
			continue;
		if (write(done, "", 1) != 1)
			err(1, "pipe");
		exit(0);
	}
}

static void dial(void)
{
	struct sockaddr_storage from, to;
	socklen_t len = address(&from, "127.0.0.1", "::1", 0);
	struct pollfd p = { go_socket(0, SOCK_NONBLOCK), POLLOUT, 0 };
	int error = 0;

	address(&to, "127.0.0.6", "::6", PROBE_PORT);
	if (bind(p.fd, (struct sockaddr *)&from, len))
		error = errno;
	else if (connect(p.fd, (struct sockaddr *)&to, len) && errno != EINPROGRESS)
		error = errno;
	if (!error) {
		poll(&p, 1, -1);
		len = sizeof(error);
		getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	}
	if (error)
		warnx("dial: %s", strerror(error));
	close(p.fd);
}

static pid_t background(void (*work)(int, int), int a, int b)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	work(a, b);
	exit(0);
}

static void keep_dialling(int a, int b)
{
	(void)a, (void)b;
	for (;;) {
		dial();
		sleep(1);
	}
}

int main(int argc, char **argv)
{
	int c, passed, seconds = 5, done[2];
	pid_t children[3];
	struct pollfd p;

	while ((c = getopt(argc, argv, "6mt:")) != -1) {
		if (c == '6')
			six = true;
		else if (c == 'm')
			mptcp = true;
		else if (c == 't')
			seconds = atoi(optarg);
		else
			errx(2, "usage: e2e_validator [-6] [-m] [-t SECONDS]");
	}
	if (pipe(done))
		err(1, "pipe");
	children[0] = background(serve, listen_on(15001), done[1]);
	children[1] = background(serve, listen_on(15006), done[1]);
	children[2] = background(keep_dialling, 0, 0);
	p = (struct pollfd){ done[0], POLLIN, 0 };
	passed = poll(&p, 1, seconds * 1000) == 1;
	for (c = 0; c < 3; c++) {
		kill(children[c], SIGKILL);
		waitpid(children[c], NULL, 0);
	}
	if (passed)
		return 0;
	warnx("validation timeout");
	return 126;
}
