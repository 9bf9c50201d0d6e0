// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A client that tells whom it thinks it talks to, one line for each connection:
 *
 *	e2e_dial [-b HOST:PORT] [-n COUNT] [-w SECONDS] [-f] [-k] [dns:|sendto:]HOST:PORT...
 *
 * TCP	"peer=A:P name=A:P ANSWER": what getpeername, getsockname and the server said
 * dns:	a DNS query over UDP from a connected socket, sendto: from an unconnected one;
 *	"peer=A:P a=ADDRESS": whom the reply came from and what it said
 *
 * or "error=ERRNO". Each destination is dialled COUNT times, from the address of -b. An IPv4 one in
 * the form [::ffff:1.2.3.4]:80 is dialled on an AF_INET6 socket. It waits for an answer for 10
 * seconds, or those of -w. With -f the server speaks first.
 * With -k the connection stays open: every line of stdin gets another answer, the line "names" the
 * two names anew, until stdin ends.
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static bool server_first, keep;
static int patience = 10; /* seconds; nothing here takes any time unless it is broken */
static union addr source;

static const uint8_t query[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1 };

static union addr parse(const char *text)
{
	char host[ADDR_TEXT], *colon, *start = host;
	union addr a;

	snprintf(host, sizeof(host), "%s", text);
	colon = strrchr(host, ':');
	if (!colon)
		errx(2, "%s: not HOST:PORT", text);
	*colon = '\0';
	if (*host == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		start++;
	}
	if (!addr_parse(&a, start, atoi(colon + 1), false))
		errx(2, "%s: not HOST:PORT", text);
	return a;
}

static int open_socket(const union addr *to, int type)
{
	int fd = socket(to->sa.sa_family, type | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = patience };
	struct linger reset = { .l_onoff = 1 }; /* leaves no TIME_WAIT: ports are not used up */
	int one = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (source.sa.sa_family && bind(fd, &source.sa, addr_len(&source)))
		err(1, "bind");
	return fd;
}

static void print_name(const char *what, int (*ask)(int fd, struct sockaddr *a, socklen_t *len),
		       int fd)
{
	char text[ADDR_TEXT];
	union addr a = {};
	socklen_t len = sizeof(a);

	ask(fd, &a.sa, &len);
	addr_text(&a, text);
	printf("%s=%s ", what, text);
}

/* One line of the server's, without its end. */
static void print_answer(FILE *server)
{
	char line[256];

	if (!fgets(line, sizeof(line), server))
		snprintf(line, sizeof(line), "error=%s", feof(server) ? "EOF" : errno_name(errno));
	line[strcspn(line, "\n")] = '\0';
	puts(line);
}

static void print_names(int fd)
{
	print_name("peer", getpeername, fd);
	print_name("name", getsockname, fd);
}

static void dial_tcp(const union addr *to)
{
	int fd = open_socket(to, SOCK_STREAM);
	char said[256];
	FILE *server;

	if (connect(fd, &to->sa, addr_len(to))) {
		printf("error=%s\n", errno_name(errno));
		close(fd);
		return;
	}
	server = fdopen(fd, "r");
	print_names(fd);
	if (!server_first)
		dprintf(fd, "hello\n");
	print_answer(server);
	while (keep && fgets(said, sizeof(said), stdin)) {
		if (!strcmp(said, "names\n")) {
			print_names(fd);
			putchar('\n');
			continue;
		}
		dprintf(fd, "%s", said);
		print_answer(server);
	}
	fclose(server);
}

static void dial_dns(const union addr *to, bool connected)
{
	int fd = open_socket(to, SOCK_DGRAM);
	char host[INET_ADDRSTRLEN], text[ADDR_TEXT];
	union addr from = {};
	socklen_t len = sizeof(from);
	uint8_t reply[512];
	ssize_t n = -1;

	if (connected && !connect(fd, &to->sa, addr_len(to)))
		n = send(fd, query, sizeof(query), 0);
	else if (!connected)
		n = sendto(fd, query, sizeof(query), 0, &to->sa, addr_len(to));
	if (n > 0)
		n = recvfrom(fd, reply, sizeof(reply), 0, &from.sa, &len);
	if (n < (ssize_t)sizeof(query) + 16) {
		printf("error=%s\n", n < 0 ? errno_name(errno) : "short");
	} else {
		addr_text(&from, text);
		inet_ntop(AF_INET, reply + sizeof(query) + 12, host, sizeof(host));
		printf("peer=%s a=%s\n", text, host);
	}
	close(fd);
}

static void dial(const char *text)
{
	bool connected = !strncmp(text, "dns:", 4);
	bool unconnected = !strncmp(text, "sendto:", 7);
	union addr to = parse(connected || unconnected ? strchr(text, ':') + 1 : text);

	if (connected || unconnected)
		dial_dns(&to, connected);
	else
		dial_tcp(&to);
}

int main(int argc, char **argv)
{
	int c, i, count = 1;

	while ((c = getopt(argc, argv, "b:n:w:fk")) != -1) {
		if (c == 'b')
			source = parse(optarg);
		else if (c == 'n')
			count = atoi(optarg);
		else if (c == 'w')
			patience = atoi(optarg);
		else if (c == 'f')
			server_first = true;
		else if (c == 'k')
			keep = true;
		else
			errx(2, "usage: e2e_dial [-b HOST:PORT] [-n COUNT] [-w SECONDS] [-fk] "
				"HOST:PORT...");
	}
	signal(SIGPIPE, SIG_IGN);
	setlinebuf(stdout);
	for (; optind < argc; optind++)
		for (i = 0; i < count; i++)
			dial(argv[optind]);
	return 0;
}
