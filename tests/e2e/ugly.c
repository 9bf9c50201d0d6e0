// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One socket, connected in the ways that are rarely thought of; a line for each step:
 *
 *	e2e_ugly [-46u] [-m] [-b HOST:PORT] [-d DEVICE] [-f FD] [-p] [-w WAY] [-n] [-t SECONDS] [-o UID] STEP...
 *
 * STEP	HOST:PORT	connects by WAY, says hello and prints "peer=A:P name=A:P ANSWER"
 *	sendto:HOST:PORT, dns:HOST:PORT	with -u: a DNS query, without and with connect()
 *	again		the query once more, to where the socket is connected
 *	recv		what came without a query
 *	unspec		connect() with AF_UNSPEC
 *	names		prints peer and name once more
 *	joined		waits until an MPTCP socket has a further subflow
 *	wait		until a line comes from stdin, after printing "waiting"
 *	exec CMD...	runs CMD with the socket as descriptor 3
 * WAY	connect, tfo (MSG_FASTOPEN), tfoconnect (TCP_FASTOPEN_CONNECT), uring, uringasync (a thread of
 *	the kernel's connects)
 * -m	MPTCP. -f: the socket is that descriptor. -p: a child does it all, and has the socket by
 *	SCM_RIGHTS. -n: a further socket for every further destination, with the same options.
 *	-o: the socket is made as that user, by root.
 *
 * or "error=ERRNO". A mapped address is dialled on an AF_INET6 socket. Everything is waited for 10 s, or as -t
 * says.
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <linux/mptcp.h>

#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif

#define HANDED 3 /* the descriptor of exec */

enum way { CONNECT, TFO, TFO_CONNECT, URING, URING_ASYNC };

static struct {
	int family, type, protocol;
	const char *device;
	union addr source;
	enum way way;
	int each, fd, patience, owner;
} o = { .family = AF_INET, .type = SOCK_STREAM, .fd = -1, .patience = 10 };

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

static void open_socket(void)
{
	struct timeval patience = { .tv_sec = o.patience };
	int one = 1;

	if (o.owner && (setegid(o.owner) || seteuid(o.owner)))
		err(1, "uid %d", o.owner);
	o.fd = socket(o.family, o.type, o.protocol);
	if (o.fd < 0)
		err(1, "socket");
	if (o.owner && (seteuid(0) || setegid(0)))
		err(1, "root");
	setsockopt(o.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(o.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(o.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (o.device && setsockopt(o.fd, SOL_SOCKET, SO_BINDTODEVICE, o.device, strlen(o.device)))
		err(1, "SO_BINDTODEVICE");
	if (o.source.sa.sa_family && bind(o.fd, &o.source.sa, addr_len(&o.source)))
		err(1, "bind");
}

/* One entry through a ring of its own; returns what the kernel says of it. */
static int by_ring(const union addr *to, int flags)
{
	struct io_uring_params p = {};
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	char *sq, *cq;
	int ring = syscall(SYS_io_uring_setup, 1, &p);

	if (ring < 0)
		err(3, "io_uring_setup");
	sq = mmap(NULL, p.sq_off.array + 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		  IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + 2 * sizeof(*cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		  IORING_OFF_CQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		err(1, "mmap of the ring");
	*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_CONNECT,
				      .flags = flags,
				      .fd = o.fd,
				      .addr = (uintptr_t)to,
				      .off = addr_len(to) };
	*(uint32_t *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		err(1, "io_uring_enter");
	cqe = (void *)(cq + p.cq_off.cqes);
	errno = -cqe->res;
	close(ring);
	return errno ? -1 : 0;
}

static const char hello[] = "hello\n";

/* Connects and says hello; returns 0, or -1 with errno. */
static int reach(const union addr *to)
{
	int one = 1, ret;

	switch (o.way) {
	case TFO:
		ret = sendto(o.fd, hello, strlen(hello), MSG_FASTOPEN, &to->sa, addr_len(to));
		return ret < 0 ? -1 : 0;
	case TFO_CONNECT:
		if (setsockopt(o.fd, SOL_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
			return -1;
		ret = connect(o.fd, &to->sa, addr_len(to));
		break;
	case URING:
	case URING_ASYNC:
		/* The kernel's thread may be woken for other work; connect(2) says to wait on then. */
		do
			ret = by_ring(to, o.way == URING_ASYNC ? IOSQE_ASYNC : 0);
		while (ret && errno == EINTR);
		break;
	default:
		ret = connect(o.fd, &to->sa, addr_len(to));
	}
	return ret ?: write(o.fd, hello, strlen(hello)) < 0 ? -1 : 0;
}

static void print_names(void)
{
	char peer[ADDR_TEXT], name[ADDR_TEXT];
	union addr a = {};
	socklen_t len = sizeof(a);

	if (getpeername(o.fd, &a.sa, &len))
		snprintf(peer, sizeof(peer), "%s", errno_name(errno));
	else
		addr_text(&a, peer);
	a = (union addr){};
	len = sizeof(a);
	getsockname(o.fd, &a.sa, &len);
	addr_text(&a, name);
	printf("peer=%s name=%s", peer, name);
}

static void print_error(void)
{
	printf("error=%s\n", errno_name(errno));
}

static void do_tcp(const union addr *to)
{
	char line[256];
	ssize_t n;

	if (o.fd < 0 || o.each)
		open_socket();
	if (reach(to)) {
		print_error();
		return;
	}
	n = read(o.fd, line, sizeof(line) - 1);
	if (n < 0) {
		print_error();
		return;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	print_names();
	printf(" %s\n", n ? line : "error=EOF");
}

static void print_answer(void)
{
	uint8_t answer[512];
	char text[ADDR_TEXT];
	union addr from = {};
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(o.fd, answer, sizeof(answer), 0, &from.sa, &len);

	if (n < 4) {
		print_error();
		return;
	}
	addr_text(&from, text);
	printf("from=%s a=%d.%d.%d.%d\n", text, answer[n - 4], answer[n - 3], answer[n - 2],
	       answer[n - 1]);
}

/* To where the socket is connected if TO is NULL. */
static void do_dns(const union addr *to, bool connect_it)
{
	ssize_t n;

	if (o.fd < 0 || o.each)
		open_socket();
	if (connect_it && connect(o.fd, &to->sa, addr_len(to))) {
		print_error();
		return;
	}
	n = connect_it || !to ? send(o.fd, query, sizeof(query), 0)
			      : sendto(o.fd, query, sizeof(query), 0, &to->sa, addr_len(to));
	if (n > 0)
		print_answer();
	else
		print_error();
}

static void do_unspec(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(o.fd, &none, sizeof(none)))
		print_error();
}

static void do_wait(void)
{
	char line[16];

	puts("waiting");
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
}

/* Waits for a further subflow, and says how many there are. */
static void do_joined(void)
{
	struct mptcp_info info = {};
	socklen_t len = sizeof(info);
	int tries = 0;

	while (!info.mptcpi_subflows && tries++ < 100) {
		usleep(50000);
		len = sizeof(info);
		if (getsockopt(o.fd, SOL_MPTCP, MPTCP_INFO, &info, &len))
			err(1, "MPTCP_INFO");
	}
	printf("joined %d\n", info.mptcpi_subflows);
}

static void step(const char *what)
{
	const char *sendto = strncmp(what, "sendto:", 7) ? NULL : what + 7;
	const char *dns = strncmp(what, "dns:", 4) ? NULL : what + 4;
	union addr to;

	if (!strcmp(what, "unspec")) {
		do_unspec();
	} else if (!strcmp(what, "names")) {
		print_names();
		putchar('\n');
	} else if (!strcmp(what, "again")) {
		do_dns(NULL, false);
	} else if (!strcmp(what, "recv")) {
		print_answer();
	} else if (!strcmp(what, "joined")) {
		do_joined();
	} else if (!strcmp(what, "wait")) {
		do_wait();
	} else {
		to = parse(sendto ?: dns ?: what);
		if (to.sa.sa_family == AF_INET6 && o.fd < 0)
			o.family = AF_INET6;
		if (sendto || dns)
			do_dns(&to, dns);
		else
			do_tcp(&to);
	}
}

/* Goes on as a child that has the socket by a message and no other way. */
static void pass_on(void)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, x = 0;
	struct iovec iov = { &x, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], status;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		err(1, "socketpair");
	if (fork()) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &o.fd, sizeof(int));
		if (sendmsg(pair[0], &msg, 0) < 0)
			err(1, "sendmsg");
		close(o.fd);
		wait(&status);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	close(o.fd);
	if (recvmsg(pair[1], &msg, 0) < 0 || !(c = CMSG_FIRSTHDR(&msg)))
		errx(1, "no socket came");
	memcpy(&o.fd, CMSG_DATA(c), sizeof(int));
}

static _Noreturn void hand_to(char **cmd)
{
	if (o.fd < 0)
		open_socket();
	if (o.fd != HANDED && dup2(o.fd, HANDED) != HANDED)
		err(1, "dup2");
	execvp(cmd[0], cmd);
	err(1, "%s", cmd[0]);
}

static void set_way(const char *name)
{
	static const char *const ways[] = { "connect", "tfo", "tfoconnect", "uring", "uringasync" };

	while (o.way < 5 && strcmp(name, ways[o.way]))
		o.way++;
	if (o.way == 5)
		errx(2, "%s: no such way", name);
}

int main(int argc, char **argv)
{
	int c, pass = 0;

	while ((c = getopt(argc, argv, "+46umb:d:f:pw:nt:o:")) != -1) {
		if (c == '4' || c == '6')
			o.family = c == '6' ? AF_INET6 : AF_INET;
		else if (c == 'u')
			o.type = SOCK_DGRAM;
		else if (c == 'm')
			o.protocol = IPPROTO_MPTCP;
		else if (c == 'b')
			o.source = parse(optarg);
		else if (c == 'd')
			o.device = optarg;
		else if (c == 'f')
			o.fd = atoi(optarg);
		else if (c == 'w')
			set_way(optarg);
		else if (c == 'n')
			o.each = 1;
		else if (c == 't')
			o.patience = atoi(optarg);
		else if (c == 'o')
			o.owner = atoi(optarg);
		else if (c == 'p')
			pass = 1;
		else
			errx(2, "usage: e2e_ugly [OPTION]... STEP...; its source tells more");
	}
	setlinebuf(stdout);
	if (pass && o.fd < 0)
		open_socket();
	if (pass)
		pass_on();
	for (; optind < argc; optind++) {
		if (!strcmp(argv[optind], "exec"))
			hand_to(argv + optind + 1);
		step(argv[optind]);
	}
	return 0;
}
