// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A client whose sockets are bound to an interface (SO_BINDTODEVICE):
 *
 *	e2e_device INTERFACE [dns:|sendto:]HOST:PORT...
 *
 * One line for each destination, as e2e_dial prints them: "peer=A:P name=A:P ANSWER" for TCP,
 * "peer=A:P a=ADDRESS" for a DNS query from a connected or an unconnected socket, or "error=ERRNO".
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

#define PATIENCE 5 /* seconds; what is to answer answers at once */

static const uint8_t query[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1 };

static union addr parse(char *text)
{
	char *port = strrchr(text, ':');
	union addr a;

	if (port)
		*port++ = '\0';
	if (port && *text == '[') {
		text++;
		port[-2] = '\0';
	}
	if (!port || !addr_parse(&a, text, atoi(port), false))
		errx(2, "%s: not HOST:PORT", text);
	return a;
}

static int open_socket(const char *device, const union addr *to, int type)
{
	int fd = socket(to->sa.sa_family, type | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = PATIENCE };

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device) + 1))
		err(1, "%s", device);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static void ask_tcp(const char *device, const union addr *to)
{
	int fd = open_socket(device, to, SOCK_STREAM);
	char line[256] = "", peer_text[ADDR_TEXT], name_text[ADDR_TEXT];
	union addr peer = {}, name = {};
	socklen_t len = sizeof(peer);
	ssize_t n;

	if (connect(fd, &to->sa, addr_len(to))) {
		printf("error=%s\n", errno_name(errno));
		close(fd);
		return;
	}
	getpeername(fd, &peer.sa, &len);
	len = sizeof(name);
	getsockname(fd, &name.sa, &len);
	addr_text(&peer, peer_text);
	addr_text(&name, name_text);
	n = write(fd, "hello\n", 6);
	if (n > 0)
		n = read(fd, line, sizeof(line) - 1);
	if (n <= 0)
		snprintf(line, sizeof(line), "error=%s", n ? errno_name(errno) : "EOF");
	line[strcspn(line, "\n")] = '\0';
	printf("peer=%s name=%s %s\n", peer_text, name_text, line);
	close(fd);
}

static void ask_dns(const char *device, const union addr *to, bool connected)
{
	int fd = open_socket(device, to, SOCK_DGRAM);
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

int main(int argc, char **argv)
{
	union addr to;
	int i;

	if (argc < 3)
		errx(2, "usage: e2e_device INTERFACE [dns:|sendto:]HOST:PORT...");
	signal(SIGPIPE, SIG_IGN);
	setlinebuf(stdout);
	for (i = 2; i < argc; i++) {
		bool connected = !strncmp(argv[i], "dns:", 4);
		bool unconnected = !strncmp(argv[i], "sendto:", 7);

		to = parse(connected || unconnected ? strchr(argv[i], ':') + 1 : argv[i]);
		if (connected || unconnected)
			ask_dns(argv[1], &to, connected);
		else
			ask_tcp(argv[1], &to);
	}
	return 0;
}
