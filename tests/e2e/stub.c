// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server that tells whom it sees, for every part that the suites need one for: the proxy, its DNS
 * agent, the application, the outside world.
 *
 *	e2e_stub [-n COPIES] [-r] [-m] [-4 ADDRESS] [-6 ADDRESS] [-o SOCKET] [-c NAME]
 *		TAG MODE:ADDRESS:PORT...
 *	e2e_stub -t SOCKET TAG
 *
 * MODE	line	answers whatever it reads with one line, in HTTP if it was asked in HTTP
 *	first	says that line before it reads anything
 *	dns	answers DNS over UDP and TCP: A with -4's address, AAAA with -6's or with nothing
 *	hold	listens with the smallest backlog and never accepts
 * ADDRESS	IPv4, [IPv6] (then V6ONLY), or * for a dual-stack [::]
 * COPIES	how many SO_REUSEPORT sockets there are of each; with -r one may have it, too; -m: MPTCP
 * NAME	what the process calls itself
 * SOCKET	an abstract Unix socket: -t takes from it the listeners that -o gives away there at SIGUSR2, and
 *		says "took N"
 *
 * The line is "TAG copy=N peer=A:P local=A:P od=A:P", od being SO_ORIGINAL_DST as a proxy asks for
 * it. stdout gets "ready PID" when everything listens, and one line for each DNS query. SIGUSR1
 * closes the listeners of the lowest copy that is left and says "closed N".
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
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_LISTENERS 1024
#define MAX_GIVEN 16
#define DNS_HEADER 12

enum mode { LINE, FIRST, DNS, HOLD };

/* What epoll hands back: a listener, a UDP socket, an accepted connection, the signal, or what -t waits
 * for.
 */
struct spot {
	enum { LISTENER, DATAGRAMS, CONNECTION, SIGNAL, HERITAGE } kind;
	enum mode mode;
	int fd, copy;
};

static const char *tag, *heir;
static bool reuseport, mptcp;
static struct in_addr answer4;
static struct in6_addr answer6;
static bool have6;
static struct spot *listeners[MAX_LISTENERS];
static int nr_listeners, epfd;

static struct spot *watch(int kind, enum mode mode, int fd, int copy)
{
	struct spot *spot = malloc(sizeof(*spot));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = spot };

	if (!spot)
		err(1, "malloc");
	*spot = (struct spot){ kind, mode, fd, copy };
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		err(1, "epoll_ctl");
	return spot;
}

/* Not by close() alone: another process may have the listener, too. */
static void forget(struct spot *spot)
{
	epoll_ctl(epfd, EPOLL_CTL_DEL, spot->fd, NULL);
	close(spot->fd);
	free(spot);
}

static void turn_on(int fd, int level, int option)
{
	int one = 1;

	if (setsockopt(fd, level, option, &one, sizeof(one)))
		err(1, "setsockopt %d %d", level, option);
}

static void open_socket(enum mode mode, int type, const union addr *at, bool dual, int copy,
			bool shared)
{
	int fd = socket(at->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
			mptcp && type == SOCK_STREAM ? IPPROTO_MPTCP : 0);
	char text[ADDR_TEXT];

	if (fd < 0)
		err(1, "socket");
	turn_on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (shared)
		turn_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (at->sa.sa_family == AF_INET6 && !dual)
		turn_on(fd, SOL_IPV6, IPV6_V6ONLY);
	addr_text(at, text);
	if (bind(fd, &at->sa, addr_len(at)))
		err(1, "bind %s", text);
	if (type == SOCK_STREAM && listen(fd, mode == HOLD ? 0 : 1024))
		err(1, "listen %s", text);
	if (nr_listeners == MAX_LISTENERS)
		errx(1, "too many listeners");
	if (mode != HOLD)
		listeners[nr_listeners++] =
			watch(type == SOCK_STREAM ? LISTENER : DATAGRAMS, mode, fd, copy);
}

/* MODE:ADDRESS:PORT */
static void open_spec(const char *spec, int copies)
{
	static const char *const modes[] = { "line", "first", "dns", "hold" };
	char *text = strdup(spec), *host = strchr(text, ':'), *port = strrchr(text, ':');
	unsigned int mode = 0;
	union addr at;
	bool dual;
	int copy;

	if (!host || host == port)
		errx(2, "%s: not MODE:ADDRESS:PORT", spec);
	*host++ = '\0';
	*port++ = '\0';
	while (mode < 4 && strcmp(text, modes[mode]))
		mode++;
	dual = !strcmp(host, "*");
	if (dual)
		host = "::";
	if (*host == '[') {
		host++;
		port[-2] = '\0';
	}
	if (mode == 4 || !addr_parse(&at, host, atoi(port), false))
		errx(2, "%s: not MODE:ADDRESS:PORT", spec);
	for (copy = 1; copy <= copies; copy++) {
		open_socket(mode, SOCK_STREAM, &at, dual, copy, reuseport || copies > 1);
		if (mode == DNS)
			open_socket(mode, SOCK_DGRAM, &at, dual, copy, reuseport || copies > 1);
	}
	free(text);
}

static int tell(int fd, int copy, char *line, size_t size)
{
	char peer_text[ADDR_TEXT], local_text[ADDR_TEXT], od[ADDR_TEXT];
	union addr peer = {}, local = {};
	socklen_t len = sizeof(peer);

	getpeername(fd, &peer.sa, &len);
	len = sizeof(local);
	getsockname(fd, &local.sa, &len);
	addr_text(&peer, peer_text);
	addr_text(&local, local_text);
	origdst_text(fd,
		     local.sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&local.in6.sin6_addr)
			     ? SOL_IPV6
			     : SOL_IP,
		     od);
	return snprintf(line, size, "%s copy=%d peer=%s local=%s od=%s\n", tag, copy, peer_text,
			local_text, od);
}

/* Makes the answer out of the query in place and returns its length, 0 if it is no query. */
static size_t dns_answer(uint8_t *msg, size_t len, const union addr *peer, const char *proto)
{
	static const uint8_t fixed[] = { 0xc0, DNS_HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 0 };
	char seen[ADDR_TEXT];
	size_t end = DNS_HEADER;
	const void *data = NULL;
	int type;

	while (end < len && msg[end])
		end += msg[end] + 1;
	end += 5;
	if (end > len || end > 400)
		return 0;
	type = msg[end - 4] << 8 | msg[end - 3];
	addr_text(peer, seen);
	printf("%s dns %s peer=%s type=%d\n", tag, proto, seen, type);
	if (type == 1)
		data = &answer4;
	else if (type == 28 && have6)
		data = &answer6;
	msg[2] = 0x85; /* response, authoritative, recursion as asked: desired */
	msg[3] = 0x80;
	memset(msg + 4, 0, 8);
	msg[5] = 1;
	if (!data)
		return end;
	msg[7] = 1;
	memcpy(msg + end, fixed, sizeof(fixed));
	msg[end + 3] = type;
	msg[end + 11] = type == 1 ? 4 : 16;
	memcpy(msg + end + sizeof(fixed), data, msg[end + 11]);
	return end + sizeof(fixed) + msg[end + 11];
}

static void answer_datagram(const struct spot *spot)
{
	uint8_t msg[512];
	union addr peer;
	socklen_t plen = sizeof(peer);
	ssize_t len = recvfrom(spot->fd, msg, sizeof(msg), 0, &peer.sa, &plen);

	if (len <= 0)
		return;
	len = dns_answer(msg, len, &peer, "udp");
	if (len && sendto(spot->fd, msg, len, 0, &peer.sa, plen) < 0)
		warn("answer");
}

static void answer_dns_stream(const struct spot *spot, uint8_t *buf, ssize_t len)
{
	union addr peer = {};
	socklen_t plen = sizeof(peer);

	getpeername(spot->fd, &peer.sa, &plen);
	len = len > 2 ? dns_answer(buf + 2, len - 2, &peer, "tcp") : 0;
	buf[0] = len >> 8;
	buf[1] = len;
	if (len && write(spot->fd, buf, len + 2) < 0)
		warn("answer");
}

static void answer_line(const struct spot *spot, const char *asked)
{
	char line[256];
	int len = tell(spot->fd, spot->copy, line, sizeof(line));

	if (strncmp(asked, "GET ", 4))
		dprintf(spot->fd, "%s", line);
	else
		dprintf(spot->fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len, line);
}

static void serve_connection(struct spot *spot)
{
	char buf[2048];
	ssize_t len = read(spot->fd, buf, sizeof(buf) - 1);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0) {
		forget(spot);
		return;
	}
	buf[len] = '\0';
	if (spot->mode == DNS)
		answer_dns_stream(spot, (uint8_t *)buf, len);
	else
		answer_line(spot, buf);
}

static void serve_listener(const struct spot *spot)
{
	int fd = accept4(spot->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return; /* gone again */
	watch(CONNECTION, spot->mode, fd, spot->copy);
	if (spot->mode ==
	    FIRST) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll hands it back */
		answer_line(&(struct spot){ .fd = fd, .copy = spot->copy }, "");
}

static void close_one_copy(void)
{
	int i, copy = 0;

	for (i = 0; i < nr_listeners; i++) {
		if (listeners[i] && (!copy || listeners[i]->copy < copy))
			copy = listeners[i]->copy;
	}
	for (i = 0; i < nr_listeners; i++) {
		if (!listeners[i] || listeners[i]->copy != copy)
			continue;
		forget(listeners[i]);
		listeners[i] = NULL;
	}
	printf("closed %d\n", copy);
}

static socklen_t abstract(struct sockaddr_un *un, const char *name)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "%s", name);
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

/* One message: all listeners, which are of mode LINE; then they are closed here. */
static void give_away(void)
{
	char control[CMSG_SPACE(MAX_GIVEN * sizeof(int))] = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct sockaddr_un to;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), i;
	struct cmsghdr *c;

	msg.msg_name = &to;
	msg.msg_namelen = abstract(&to, heir);
	msg.msg_controllen = CMSG_SPACE(nr_listeners * sizeof(int));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr_listeners * sizeof(int));
	for (i = 0; i < nr_listeners; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &listeners[i]->fd, sizeof(int));
	if (fd < 0 || sendmsg(fd, &msg, 0) < 0)
		err(1, "giving listeners away");
	close(fd);
	for (i = 0; i < nr_listeners; i++)
		forget(listeners[i]);
	nr_listeners = 0;
}

static void take_over(int from)
{
	char control[CMSG_SPACE(MAX_GIVEN * sizeof(int))], x;
	struct iovec iov = { &x, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd, i, nr;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) < 0 || !(c = CMSG_FIRSTHDR(&msg)))
		errx(1, "no listeners came");
	nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < nr; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		listeners[nr_listeners++] = watch(LISTENER, LINE, fd, 1);
	}
	printf("took %d\n", nr);
}

static void wait_for_heritage(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;
	socklen_t len = abstract(&at, name);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len))
		err(1, "%s", name);
	watch(HERITAGE, LINE, fd, 0);
} /* NOLINT(clang-analyzer-unix.Malloc): epoll has it */

static void on_signal(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		close_one_copy();
	else if (heir)
		give_away();
}

static _Noreturn void serve(void)
{
	struct epoll_event ev;

	for (;;) {
		struct spot *spot;

		/* One at a time: what SIGUSR1 closes must not be among further events. */
		if (epoll_wait(epfd, &ev, 1, -1) != 1)
			continue;
		spot = ev.data.ptr;
		if (spot->kind == LISTENER)
			serve_listener(spot);
		else if (spot->kind == DATAGRAMS)
			answer_datagram(spot);
		else if (spot->kind == SIGNAL)
			on_signal(spot->fd);
		else if (spot->kind == HERITAGE)
			take_over(spot->fd);
		else
			serve_connection(spot);
	}
}

static void open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	watch(SIGNAL, LINE, signalfd(-1, &set, SFD_CLOEXEC), 0);
} /* NOLINT(clang-analyzer-unix.Malloc): epoll has it */

int main(int argc, char **argv)
{
	const char *heritage = NULL;
	int c, copies = 1;

	while ((c = getopt(argc, argv, "n:rm4:6:o:t:c:")) != -1) {
		if (c == 'n')
			copies = atoi(optarg);
		else if (c == 'r')
			reuseport = true;
		else if (c == 'm')
			mptcp = true;
		else if (c == 'o')
			heir = optarg;
		else if (c == 't')
			heritage = optarg;
		else if (c == 'c')
			prctl(PR_SET_NAME, optarg);
		else if (c == '4' && inet_pton(AF_INET, optarg, &answer4) == 1)
			continue;
		else if (c == '6' && inet_pton(AF_INET6, optarg, &answer6) == 1)
			have6 = true;
		else
			errx(2, "usage: e2e_stub [OPTION]... TAG SPEC...; its source tells more");
	}
	tag = argv[optind++];
	if (!tag || (optind == argc) != !!heritage)
		errx(2, "a tag and what to listen on are needed");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	setlinebuf(stdout);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	for (; optind < argc; optind++)
		open_spec(argv[optind], copies);
	if (heritage)
		wait_for_heritage(heritage);
	open_signals();
	printf("ready %d\n", getpid());
	serve();
}
