// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One socket for two connections: e2e_again tcp|udp HOST:PORT HOST:PORT
 *
 * connects to the first, says "connected", waits for a line on stdin, disconnects (AF_UNSPEC),
 * connects to the second, and prints "peer=A:P" with what a TCP server there answers.
 */
#include "../diff/addr.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static union addr parse(char *text)
{
	char *colon = strrchr(text, ':');
	union addr a;

	if (!colon)
		errx(2, "%s: not HOST:PORT", text);
	*colon = '\0';
	if (!addr_parse(&a, text, atoi(colon + 1), false))
		errx(2, "%s: not HOST:PORT", text);
	return a;
}

static void dial(int fd, const union addr *to)
{
	if (connect(fd, &to->sa, addr_len(to)))
		err(1, "connect");
}

int main(int argc, char **argv)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	char text[ADDR_TEXT], answer[256] = "\n";
	union addr first, second, peer = {};
	socklen_t len = sizeof(peer);
	int fd, tcp;

	if (argc != 4)
		errx(2, "usage: e2e_again tcp|udp HOST:PORT HOST:PORT");
	tcp = !strcmp(argv[1], "tcp");
	first = parse(argv[2]);
	second = parse(argv[3]);
	fd = socket(first.sa.sa_family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (fd < 0)
		err(1, "socket");
	dial(fd, &first);
	puts("connected");
	fflush(stdout);
	if (getchar() == EOF || connect(fd, &nobody, sizeof(nobody)))
		err(1, "disconnect");
	dial(fd, &second);
	if (getpeername(fd, &peer.sa, &len))
		err(1, "getpeername");
	addr_text(&peer, text);
	if (tcp && (dprintf(fd, "hello\n") < 0 || read(fd, answer, sizeof(answer) - 1) < 0))
		err(1, "server");
	printf("peer=%s %s", text, answer);
	return 0;
}
