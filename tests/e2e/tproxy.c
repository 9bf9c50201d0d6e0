// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A transparent proxy: e2e_tproxy [-m MARK] PORT
 * listens on PORT of both families, asks where each connection was going, and calls there with the
 * client's address as its own source and a mark (1337), so that the app sees its real client. Then
 * it relays both ways, half-closed connections too. A call that fails resets the client.
 *
 *	e2e_tproxy -e ADDRESS:PORT...
 *
 * is an app for it instead, which sends back what it gets.
 *
 * stdout gets "ready PID" when everything listens, then a line for each connection before anything
 * is done with it: "peer=A:P local=A:P od=A:P". SIGUSR1 closes the listeners, not the connections,
 * and says "closed".
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LISTENERS 16

static struct pollfd listeners[MAX_LISTENERS];
static int nr_listeners;
static int mark = 1337;
static bool echo;

static void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		err(1, "setsockopt %d %d", level, option);
}

static void make_transparent(int fd, int family)
{
	if (family == AF_INET6)
		set_option(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
	else
		set_option(fd, SOL_IP, IP_TRANSPARENT, 1);
}

static void listen_at(const char *host, int port)
{
	union addr at;
	int fd;

	if (nr_listeners == MAX_LISTENERS || !addr_parse(&at, host, port, false))
		errx(2, "cannot listen on %s port %d", host, port);
	fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (at.sa.sa_family == AF_INET6)
		set_option(fd, SOL_IPV6, IPV6_V6ONLY, 1);
	if (!echo)
		make_transparent(fd, at.sa.sa_family);
	if (bind(fd, &at.sa, addr_len(&at)) || listen(fd, 1024))
		err(1, "%s port %d", host, port);
	listeners[nr_listeners++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* ADDRESS:PORT, an IPv6 address in brackets */
static void listen_as_told(const char *spec)
{
	char *host = strdup(spec), *port = strrchr(host, ':');

	if (!port)
		errx(2, "%s: not ADDRESS:PORT", spec);
	*port++ = '\0';
	if (*host == '[' && port[-2] == ']') {
		port[-2] = '\0';
		listen_at(host + 1, atoi(port));
	} else {
		listen_at(host, atoi(port));
	}
	free(host);
}

/* Until FROM ends, then TO ends as well. */
static void copy(int from, int to)
{
	char buf[16384];
	ssize_t n, done, put;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += put) {
			put = write(to, buf + done, n - done);
			if (put <= 0)
				return;
		}
	}
	shutdown(to, SHUT_WR);
}

/* Calls the destination as the client; fails with errno set. */
static int call(const union addr *client, const union addr *dst)
{
	union addr from = *client;
	int fd = socket(dst->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	make_transparent(fd, dst->sa.sa_family);
	set_option(fd, SOL_SOCKET, SO_MARK, mark);
	if (from.sa.sa_family == AF_INET6)
		from.in6.sin6_port = 0;
	else
		from.in.sin_port = 0;
	if (bind(fd, &from.sa, addr_len(&from)) || connect(fd, &dst->sa, addr_len(dst)))
		return -1;
	return fd;
}

static void reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* Both ends, and where the client wanted to go. */
static void tell(int fd, union addr *client, union addr *dst)
{
	char peer_text[ADDR_TEXT], local_text[ADDR_TEXT], od_text[ADDR_TEXT];
	union addr local = {};
	socklen_t len = sizeof(*client);
	int v6;

	getpeername(fd, &client->sa, &len);
	len = sizeof(local);
	getsockname(fd, &local.sa, &len);
	addr_text(client, peer_text);
	addr_text(&local, local_text);
	v6 = local.sa.sa_family == AF_INET6;
	origdst_text(fd, v6 ? SOL_IPV6 : SOL_IP, od_text);
	printf("peer=%s local=%s od=%s\n", peer_text, local_text, od_text);
	len = sizeof(*dst);
	if (getsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, 80, dst, &len))
		*dst = local;
}

/* In a process of its own; a second one copies the other way. */
static void serve(int fd)
{
	union addr client = {}, dst = {};
	char text[ADDR_TEXT];
	int app;

	tell(fd, &client, &dst);
	if (echo) {
		copy(fd, fd);
		return;
	}
	app = call(&client, &dst);
	if (app < 0) {
		addr_text(&dst, text);
		printf("%s: %s\n", text, errno_name(errno));
		reset(fd);
		return;
	}
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		copy(app, fd);
		return;
	}
	copy(fd, app);
	wait(NULL); /* the other way may still be open */
}

static void accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 && fork() == 0) {
		while (nr_listeners)
			close(listeners[--nr_listeners].fd);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGCHLD, SIG_DFL);
		serve(fd);
		exit(0);
	}
	close(fd);
}

static void close_listeners(int sig)
{
	static const char closed[] = "closed\n";

	(void)sig;
	while (nr_listeners)
		close(listeners[--nr_listeners].fd);
	if (write(STDOUT_FILENO, closed, sizeof(closed) - 1) < 0)
		_exit(1);
}

int main(int argc, char **argv)
{
	int c, i;

	while ((c = getopt(argc, argv, "m:e")) != -1) {
		if (c == 'm')
			mark = atoi(optarg);
		else if (c == 'e')
			echo = true;
		else
			errx(2, "usage: e2e_tproxy [-m MARK] PORT, or -e ADDRESS:PORT...");
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGUSR1, close_listeners);
	setlinebuf(stdout);
	if (!echo && optind < argc) {
		listen_at("0.0.0.0", atoi(argv[optind]));
		listen_at("::", atoi(argv[optind]));
	} else {
		for (i = optind; i < argc; i++)
			listen_as_told(argv[i]);
	}
	printf("ready %d\n", getpid());
	for (;;) {
		if (poll(listeners, nr_listeners, -1) <= 0)
			continue;
		for (i = 0; i < nr_listeners; i++)
			if (listeners[i].revents & POLLIN)
				accept_one(listeners[i].fd);
	}
}
