// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The receivers of the differential test: every listener of one place, "pod" or "outside".
 * In the pod the proxy's sockets belong to 1337:1337 and the application's to 1000:1000, on the ports
 * of the tables below, unless an argument says something else of a role: proxy=UID:GID,
 * proxy.tcp=PORT,... or .udp, and proxy.transparent=1 for IP_TRANSPARENT.
 *
 * A connection, or a datagram, is answered with one line of tab-separated KEY=VALUE: who received
 * it (to), whom it sees (peer; peer2 if getpeername says otherwise), where (local), and for TCP
 * its SO_ORIGINAL_DST at both levels (od4, od6). A datagram's text comes back at the head of the line.
 * A connection stays open until the client closes it, so that the client decides who waits.
 */
#define _GNU_SOURCE
#include "addr.h"

#include <err.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PORTS 192 /* of a role */

struct role { /* one process; everything it listens on */
	const char *name;
	uid_t uid;
	gid_t gid;
	int copies;    /* SO_REUSEPORT sockets per address */
	bool loopback; /* 127.0.0.1 and ::1 instead of the wildcards */
	bool transparent;
	in_port_t tcp[MAX_PORTS], udp[MAX_PORTS];
};

static struct role pod[] = {
	{ .name = "proxy", .uid = 1337, .gid = 1337, .copies = 2, .tcp = { 15001, 15006 } },
	{ .name = "agent",
	  .uid = 1337,
	  .gid = 1337,
	  .copies = 1,
	  .loopback = true,
	  .tcp = { 15053 },
	  .udp = { 15053 } },
	{ .name = "app",
	  .uid = 1000,
	  .gid = 1000,
	  .copies = 1,
	  .tcp = { 8080, 53, 22, 80, 15008, 15020, 15021, 15090 },
	  .udp = { 53, 5353 } },
	{},
};

static struct role outside[] = {
	{ .name = "outside",
	  .uid = 1000,
	  .gid = 1000,
	  .copies = 1,
	  .tcp = { 80, 53, 8080, 22, 15001, 15006, 15008, 15020, 15021, 15053, 15090 },
	  .udp = { 53, 5353, 15020 } },
	{},
};

/* What epoll hands back: a listener, a UDP socket, or (role 0) an accepted connection. */
struct spot {
	const struct role *role;
	int fd, type;
	in_port_t port;
};

static void watch(int epfd, const struct role *role, int fd, int type, in_port_t port)
{
	struct spot *spot = malloc(sizeof(*spot));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = spot };

	if (!spot)
		err(1, "malloc");
	*spot = (struct spot){ role, fd, type, port };
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		err(1, "epoll_ctl");
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll hands it back */
}

static void turn_on(int fd, int level, int option)
{
	int one = 1;

	if (setsockopt(fd, level, option, &one, sizeof(one)))
		err(1, "setsockopt %d %d", level, option);
}

/* The privilege for it is there for this moment only. */
static void make_transparent(const struct role *role, int fd, int family)
{
	bool v4 = family == AF_INET;

	if (seteuid(0))
		err(1, "seteuid");
	turn_on(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT);
	if (seteuid(role->uid))
		err(1, "seteuid");
}

static void open_spot(int epfd, const struct role *role, int family, int type, in_port_t port)
{
	const char *host = family == AF_INET ? (role->loopback ? "127.0.0.1" : "0.0.0.0")
					     : (role->loopback ? "::1" : "::");
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union addr at;

	if (fd < 0 || !addr_parse(&at, host, port, false))
		err(1, "socket");
	turn_on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (role->copies > 1)
		turn_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (role->transparent)
		make_transparent(role, fd, family);
	if (family == AF_INET6)
		turn_on(fd, SOL_IPV6, IPV6_V6ONLY);
	if (type == SOCK_DGRAM && family == AF_INET)
		turn_on(fd, SOL_IP, IP_PKTINFO);
	if (type == SOCK_DGRAM && family == AF_INET6)
		turn_on(fd, SOL_IPV6, IPV6_RECVPKTINFO);
	if (bind(fd, &at.sa, addr_len(&at)))
		err(1, "%s: bind %s port %u", role->name, host, port);
	if (type == SOCK_STREAM && listen(fd, 512))
		err(1, "listen");
	watch(epfd, role, fd, type, port);
}

static void open_role(int epfd, const struct role *role)
{
	for (int i = 0; i < MAX_PORTS; i++) {
		for (int copy = 0; copy < role->copies && role->tcp[i]; copy++) {
			open_spot(epfd, role, AF_INET, SOCK_STREAM, role->tcp[i]);
			open_spot(epfd, role, AF_INET6, SOCK_STREAM, role->tcp[i]);
		}
		if (role->udp[i]) {
			open_spot(epfd, role, AF_INET, SOCK_DGRAM, role->udp[i]);
			open_spot(epfd, role, AF_INET6, SOCK_DGRAM, role->udp[i]);
		}
	}
}

static void answer_connection(int epfd, const struct spot *spot)
{
	char seen[ADDR_TEXT], asked[ADDR_TEXT], local[ADDR_TEXT], od4[ADDR_TEXT], od6[ADDR_TEXT];
	union addr peer = {}, name = {}, here = {};
	socklen_t len = sizeof(peer);
	int fd = accept4(spot->fd, &peer.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return; /* gone again, or the other copy took it */
	len = sizeof(name);
	if (getpeername(fd, &name.sa, &len))
		name.sa.sa_family = AF_UNSPEC;
	len = sizeof(here);
	getsockname(fd, &here.sa, &len);
	addr_text(&peer, seen);
	addr_text(&name, asked);
	addr_text(&here, local);
	origdst_text(fd, SOL_IP, od4);
	origdst_text(fd, SOL_IPV6, od6);
	dprintf(fd, "to=%s:%u\tpeer=%s%s%s\tlocal=%s\tod4=%s\tod6=%s\n", spot->role->name,
		spot->port, seen,
		addr_same(&peer, &name) ? "" : "\tpeer2=", addr_same(&peer, &name) ? "" : asked,
		local, od4, od6);
	watch(epfd, NULL, fd, 0, 0);
}

/* The address the datagram was sent to, as a control message that makes the answer leave from it. */
static void turn_around(struct msghdr *msg, in_port_t port, union addr *local)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	memset(local, 0, sizeof(*local));
	if (c && c->cmsg_level == SOL_IP) {
		struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);

		local->in = (struct sockaddr_in){ AF_INET, htons(port), info->ipi_addr, {} };
		*info = (struct in_pktinfo){ .ipi_spec_dst = info->ipi_addr };
	} else if (c) {
		struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);

		local->in6.sin6_family = AF_INET6;
		local->in6.sin6_port = htons(port);
		local->in6.sin6_addr = info->ipi6_addr;
		info->ipi6_ifindex = 0;
	}
}

static void answer_datagram(const struct spot *spot)
{
	char text[64], line[256], control[128], seen[ADDR_TEXT], here[ADDR_TEXT];
	union addr peer, local;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = {
		.msg_name = &peer,
		.msg_namelen = sizeof(peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len = recvmsg(spot->fd, &msg, 0);

	if (len < 0)
		return; /* an ICMP error of an earlier answer */
	text[len] = '\0';
	turn_around(&msg, spot->port, &local);
	addr_text(&peer, seen);
	addr_text(&local, here);
	iov.iov_base = line;
	iov.iov_len = snprintf(line, sizeof(line), "%s\tto=%s:%u\tpeer=%s\tlocal=%s\n", text,
			       spot->role->name, spot->port, seen, here);
	if (sendmsg(spot->fd, &msg, 0) < 0)
		warn("%s:%u: answer to %s", spot->role->name, spot->port, seen);
}

static void hang_up(struct spot *spot)
{
	char buf[256];
	ssize_t len = read(spot->fd, buf, sizeof(buf));

	if (len > 0 || (len < 0 && errno == EAGAIN))
		return;
	close(spot->fd);
	free(spot);
}

static _Noreturn void serve(int epfd)
{
	struct epoll_event ev;

	for (;;) {
		struct spot *spot;

		if (epoll_wait(epfd, &ev, 1, -1) != 1)
			continue;
		spot = ev.data.ptr;
		if (!spot->role)
			hang_up(spot);
		else if (spot->type == SOCK_STREAM)
			answer_connection(epfd, spot);
		else
			answer_datagram(spot);
	}
}

/* One process per role: a socket's owner is the one who made it, and accept() makes sockets too. */
static void start(const struct role *role, int ready)
{
	int epfd;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setgroups(0, NULL) || setresgid(role->gid, role->gid, role->gid) ||
	    setresuid(role->uid, role->uid, role->transparent ? 0 : role->uid))
		err(1, "credentials %u:%u", role->uid, role->gid);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of credentials cleared it */
	signal(SIGPIPE, SIG_IGN);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	open_role(epfd, role);
	if (write(ready, "r", 1) != 1)
		err(1, "write");
	serve(epfd);
}

static bool parse_ports(in_port_t ports[MAX_PORTS], char *list)
{
	char *rest = NULL, *port = strtok_r(list, ",", &rest);

	memset(ports, 0, MAX_PORTS * sizeof(*ports));
	for (int i = 0; port && i < MAX_PORTS; i++, port = strtok_r(NULL, ",", &rest))
		ports[i] = atoi(port);
	return !port;
}

/* ROLE=UID:GID or ROLE.FIELD=VALUE */
static bool parse_argument(struct role *roles, char *text)
{
	char *value = strchr(text, '='), *field;

	if (!value)
		return false;
	*value++ = '\0';
	field = strchr(text, '.');
	if (field)
		*field++ = '\0';
	while (roles->name && strcmp(roles->name, text))
		roles++;
	if (!roles->name)
		return false;
	if (!field)
		return sscanf(value, "%u:%u", &roles->uid, &roles->gid) == 2;
	if (!strcmp(field, "transparent"))
		roles->transparent = *value == '1';
	else if (!strcmp(field, "tcp"))
		return parse_ports(roles->tcp, value);
	else
		return !strcmp(field, "udp") && parse_ports(roles->udp, value);
	return true;
}

int main(int argc, char **argv)
{
	struct role *roles = argc > 1 && !strcmp(argv[1], "pod")       ? pod
			     : argc > 1 && !strcmp(argv[1], "outside") ? outside
								       : NULL;
	int ready[2];
	char byte;

	if (!roles)
		errx(2, "usage: diff_sink pod|outside [ROLE=UID:GID] [ROLE.tcp=PORT,...]...");
	for (int i = 2; i < argc; i++)
		if (!parse_argument(roles, argv[i]))
			errx(2, "what is this: %s", argv[i]);
	if (pipe(ready))
		err(1, "pipe");
	for (const struct role *role = roles; role->name; role++)
		start(role, ready[1]);
	close(ready[1]);
	for (const struct role *role = roles; role->name; role++)
		if (read(ready[0], &byte, 1) != 1)
			errx(1, "a receiver did not start");
	puts("ready");
	fflush(stdout);
	wait(NULL); /* they end only when killed; the first to end takes the others along */
	return 1;
}
