// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Clients with unusual sockets. Each prints "peer=A:P name=A:P" as the app sees it and what the server
 * says, or "error=ERRNO"; with a server of e2e_stub that is "... TAG copy=... od=...".
 *
 *	e2e_ugly fastopen HOST:PORT	data in the SYN, by MSG_FASTOPEN
 *	e2e_ugly fastopen-connect H:P	the same by TCP_FASTOPEN_CONNECT
 *	e2e_ugly mptcp HOST:PORT	IPPROTO_MPTCP
 *	e2e_ugly device HOST:PORT NAME	SO_BINDTODEVICE
 *	e2e_ugly uring HOST:PORT	connect by io_uring, in the caller and (IOSQE_ASYNC) in a worker
 *	e2e_ugly passed HOST:PORT UID	the socket is made here, connected by a child with that uid
 *	e2e_ugly wait HOST:PORT		a socket is made; it is connected when stdin has a line
 *	e2e_ugly many HOST:PORT COUNT	so many at once, to the addresses from HOST on; prints how many
 *					there are, and, when stdin has a line or ends, how many were told
 *					their own destination
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <err.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static union addr parse(const char *text)
{
	char host[ADDR_TEXT], *colon, *start = host;
	union addr a;

	snprintf(host, sizeof(host), "%s", text);
	colon = strrchr(host, ':');
	if (!colon)
		errx(2, "%s: not HOST:PORT", text);
	*colon = '\0';
	if (*host == '[') {
		colon[-1] = '\0';
		start++;
	}
	if (!addr_parse(&a, start, atoi(colon + 1), false))
		errx(2, "%s: not HOST:PORT", text);
	return a;
}

static int open_socket(const union addr *to, int proto)
{
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, proto);

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void print_name(const char *what, int (*ask)(int, struct sockaddr *, socklen_t *), int fd)
{
	char text[ADDR_TEXT];
	union addr a = {};
	socklen_t len = sizeof(a);

	ask(fd, &a.sa, &len);
	addr_text(&a, text);
	printf("%s=%s ", what, text);
}

/* What the connected, or not connected, socket has to say; HELLO is sent first. */
static void tell(int fd, int result, int hello)
{
	char line[256] = "";
	ssize_t n;

	if (result < 0) {
		printf("error=%s\n", errno_name(errno));
		return;
	}
	if (hello && write(fd, "hello\n", 6) != 6) {
		printf("error=%s\n", errno_name(errno));
		return;
	}
	n = read(fd, line, sizeof(line) - 1);
	print_name("peer", getpeername, fd);
	print_name("name", getsockname, fd);
	line[strcspn(line, "\n")] = '\0';
	printf("%s\n", n > 0 ? line : errno_name(errno));
}

static void fastopen(const union addr *to)
{
	int fd = open_socket(to, 0);

	tell(fd, sendto(fd, "hello\n", 6, MSG_FASTOPEN, &to->sa, addr_len(to)), 0);
	close(fd);
}

static void fastopen_connect(const union addr *to)
{
	int fd = open_socket(to, 0), one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
		err(1, "TCP_FASTOPEN_CONNECT");
	tell(fd, connect(fd, &to->sa, addr_len(to)), 1);
	close(fd);
}

static void dial(const union addr *to, int proto, const char *device)
{
	int fd = open_socket(to, proto);

	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)))
		err(1, "SO_BINDTODEVICE");
	tell(fd, connect(fd, &to->sa, addr_len(to)), 1);
	close(fd);
}

/* One request on a ring of one entry. Returns its result, -errno. */
static int uring_connect(int fd, const union addr *to, int flags)
{
	struct io_uring_params p = {};
	int ring = syscall(SYS_io_uring_setup, 1, &p), result;
	struct io_uring_sqe *sqe;
	char *sq, *cq;

	if (ring < 0)
		err(77, "io_uring_setup");
	sq = mmap(NULL, p.sq_off.array + sizeof(__u32), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		   IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		err(1, "mmap");
	*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_CONNECT,
				      .flags = flags,
				      .fd = fd,
				      .addr = (unsigned long)to,
				      .off = addr_len(to) };
	*(__u32 *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((__u32 *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		err(1, "io_uring_enter");
	result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
	close(ring);
	return result;
}

static void uring(const union addr *to)
{
	const int flags[] = { 0, IOSQE_ASYNC };
	int i, fd, result;

	for (i = 0; i < 2; i++) {
		fd = open_socket(to, 0);
		result = uring_connect(fd, to, flags[i]);
		errno = -result;
		tell(fd, result < 0 ? -1 : 0, 1);
		close(fd);
	}
}

static void passed(const union addr *to, uid_t uid)
{
	int fd = open_socket(to, 0);
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
			err(1, "setuid");
		tell(fd, connect(fd, &to->sa, addr_len(to)), 1);
		exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void wait_then_dial(const union addr *to)
{
	int fd = open_socket(to, 0);

	puts("made");
	fflush(stdout);
	if (getchar() == EOF)
		errx(1, "nobody said anything");
	tell(fd, connect(fd, &to->sa, addr_len(to)), 1);
}

/* HOST, HOST + 1 ...; 64 steps to each, so that there are far more destinations than ports. */
static void next(union addr *to, int i)
{
	if (i % 64)
		return;
	if (to->sa.sa_family == AF_INET)
		to->in.sin_addr.s_addr = htonl(ntohl(to->in.sin_addr.s_addr) + 1);
	else
		to->in6.sin6_addr.s6_addr[15]++;
}

static void many(union addr to, int count)
{
	const struct linger reset = { .l_onoff = 1 }; /* leaves no TIME_WAIT */
	int *fds = calloc(count, sizeof(*fds)), i, told = 0, n;
	char line[256], want[ADDR_TEXT + 8], text[ADDR_TEXT];
	union addr peer;
	socklen_t len;

	if (!fds)
		err(1, "%d files", count);
	for (n = 0; n < count; n++) {
		next(&to, n);
		fds[n] = open_socket(&to, 0);
		setsockopt(fds[n], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(fds[n], &to.sa, addr_len(&to)))
			break;
	}
	if (n < count)
		printf("error=%s ", errno_name(errno));
	printf("connected=%d\n", n);
	getchar();
	for (i = 0; i < n; i++) {
		len = sizeof(peer);
		getpeername(fds[i], &peer.sa, &len);
		addr_text(&peer, text);
		snprintf(want, sizeof(want), "od=%s\n", text);
		memset(line, 0, sizeof(line));
		told += write(fds[i], "hello\n", 6) == 6 &&
			read(fds[i], line, sizeof(line) - 1) > 0 && strstr(line, want);
	}
	printf("told=%d\n", told);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "", *more = argc > 3 ? argv[3] : NULL;
	union addr to;

	if (argc < 3)
		errx(2, "usage: e2e_ugly HOW HOST:PORT [MORE]");
	setlinebuf(stdout);
	to = parse(argv[2]);
	if (!strcmp(how, "fastopen"))
		fastopen(&to);
	else if (!strcmp(how, "fastopen-connect"))
		fastopen_connect(&to);
	else if (!strcmp(how, "mptcp"))
		dial(&to, IPPROTO_MPTCP, NULL);
	else if (!strcmp(how, "device"))
		dial(&to, 0, more);
	else if (!strcmp(how, "uring"))
		uring(&to);
	else if (!strcmp(how, "passed"))
		passed(&to, atoi(more));
	else if (!strcmp(how, "wait"))
		wait_then_dial(&to);
	else if (!strcmp(how, "many"))
		many(to, atoi(more));
	else
		errx(2, "%s: unknown", how);
	return 0;
}
