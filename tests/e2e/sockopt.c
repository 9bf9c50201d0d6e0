// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What getsockopt() answers, in every detail, one line for each question.
 *
 *	e2e_sockopt serve HOST:PORT...	accepts, asks for the original destination, tells the client
 *	e2e_sockopt dial HOST:PORT...	the same from the other end, and what the server told
 *	e2e_sockopt reset HOST:PORT	connects and resets before the server has asked; the server
 *					tells stdout
 *	e2e_sockopt states		the original destination of sockets without a connection
 *	e2e_sockopt options		all other options, all lengths, all kinds of sockets
 *
 * Of the original destination: "WHO ip|ipv6 LENGTH ADDRESS length=N" or "WHO ip|ipv6 LENGTH ERRNO";
 * of other options: "SOCKET OPTION LENGTH/MEMORY ERRNO LENGTH HASH BYTES". A HOST of * is a
 * dual-stack [::], another IPv6 listener is V6ONLY.
 */
#define _GNU_SOURCE
#include "../diff/addr.h"

#include <err.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80
#define UNKNOWN_OPTION 9999
#define MAX_LISTENERS 16
#define MAX_MEMORY 65536
#define FILL 0xa5 /* what getsockopt has not written */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static uint8_t *memory_end; /* behind it nothing can be read or written */

static void memory_make(void)
{
	uint8_t *p = mmap(NULL, 2 * MAX_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (p == MAP_FAILED || mprotect(p + MAX_MEMORY, MAX_MEMORY, PROT_NONE))
		err(1, "memory");
	memory_end = p + MAX_MEMORY;
}

/* That many bytes, and none behind them. */
static uint8_t *memory(size_t size)
{
	memset(memory_end - size, FILL, size);
	return memory_end - size;
}

static bool all(const uint8_t *p, size_t size, uint8_t value)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (p[i] != value)
			return false;
	}
	return true;
}

static int new_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

/* --- the original destination --- */

/* All bytes of the answer count: those of the address and none behind it. */
static void tell_address(FILE *out, const uint8_t *buf, int len, socklen_t answered)
{
	char text[ADDR_TEXT];
	union addr a = {};
	int size;

	memcpy(&a, buf, len < (int)sizeof(a) ? len : (int)sizeof(a));
	size = addr_len(&a);
	addr_text(&a, text);
	fprintf(out, "%s length=%u", text, answered);
	if (len < size || !all(buf + size, len - size, FILL))
		fprintf(out, " wrote-%s-address", len < size ? "part-of" : "behind");
	if (a.sa.sa_family == AF_INET && !all(a.in.sin_zero, sizeof(a.in.sin_zero), 0))
		fprintf(out, " sin_zero-is-not");
	if (a.sa.sa_family == AF_INET6 && (a.in6.sin6_flowinfo || a.in6.sin6_scope_id))
		fprintf(out, " flow-or-scope");
}

static void tell_original(FILE *out, const char *who, int fd)
{
	static const int lengths[] = { 15, 16, 20, 28, 112, 128, 4096, 8192, 65536 };
	static const int levels[] = { SOL_IP, SOL_IPV6 };
	size_t level, i;

	for (level = 0; level < ARRAY_SIZE(levels); level++) {
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			uint8_t *buf = memory(lengths[i]);
			socklen_t len = lengths[i];

			fprintf(out, "%s %s %d ", who, level ? "ipv6" : "ip", lengths[i]);
			if (!getsockopt(fd, levels[level], SO_ORIGINAL_DST, buf, &len)) {
				tell_address(out, buf, lengths[i], len);
			} else {
				fprintf(out, "%s", errno_name(errno));
				if (len != (socklen_t)lengths[i] || !all(buf, len, FILL))
					fprintf(out, " wrote-something");
			}
			fprintf(out, "\n");
		}
	}
}

static union addr parse(const char *text, bool *dual)
{
	char host[ADDR_TEXT], *colon, *start = host;
	union addr a;

	snprintf(host, sizeof(host), "%s", text);
	colon = strrchr(host, ':');
	if (!colon || colon == host)
		errx(2, "%s: not HOST:PORT", text);
	*colon = '\0';
	*dual = !strcmp(host, "*");
	if (*host == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		start++;
	}
	if (!addr_parse(&a, *dual ? "::" : start, atoi(colon + 1), false))
		errx(2, "%s: not HOST:PORT", text);
	return a;
}

static int open_listener(const char *text)
{
	bool dual;
	union addr at = parse(text, &dual);
	int fd = new_socket(at.sa.sa_family, SOCK_STREAM), one = 1, v6only = !dual;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (at.sa.sa_family == AF_INET6)
		setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (bind(fd, &at.sa, addr_len(&at)) || listen(fd, 16))
		err(1, "%s", text);
	return fd;
}

/* The client says one byte when it wants to be told; if it resets instead, stdout is told. */
static void serve_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	static int resets;
	FILE *out;
	char c;

	if (fd < 0)
		err(1, "accept");
	if (read(fd, &c, 1) == 1) {
		out = fdopen(fd, "w");
		tell_original(out, "accepted", fd);
		fclose(out);
	} else {
		tell_original(stdout, "reset", fd);
		printf("done %d\n", ++resets);
		close(fd);
	}
}

static _Noreturn void serve(char **at)
{
	struct pollfd listeners[MAX_LISTENERS];
	int n, i;

	for (n = 0; n < MAX_LISTENERS && at[n]; n++)
		listeners[n] = (struct pollfd){ .fd = open_listener(at[n]), .events = POLLIN };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	printf("ready %d\n", getpid());
	for (;;) {
		if (poll(listeners, n, -1) < 0)
			err(1, "poll");
		for (i = 0; i < n; i++) {
			if (listeners[i].revents)
				serve_one(listeners[i].fd);
		}
	}
}

static int open_connection(const char *text)
{
	bool dual;
	union addr to = parse(text, &dual);
	int fd = new_socket(to.sa.sa_family, SOCK_STREAM);

	if (connect(fd, &to.sa, addr_len(&to)))
		err(1, "%s", text);
	return fd;
}

static void dial(const char *text)
{
	int fd = open_connection(text);
	char line[256];
	FILE *in;

	tell_original(stdout, "client", fd);
	if (write(fd, "?", 1) != 1)
		err(1, "write");
	in = fdopen(fd, "r");
	while (fgets(line, sizeof(line), in))
		fputs(line, stdout);
	fclose(in);
}

static void reset(const char *text)
{
	struct linger now = { .l_onoff = 1 };
	int fd = open_connection(text);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void states(void)
{
	static char any4[] = "0.0.0.0:7001", any6[] = "[::]:7002", both[] = "*:7003";
	bool dual;
	union addr to4 = parse("127.0.0.1:53", &dual), to6 = parse("[::1]:53", &dual);
	int udp4 = new_socket(AF_INET, SOCK_DGRAM), udp6 = new_socket(AF_INET6, SOCK_DGRAM);

	tell_original(stdout, "listener4", open_listener(any4));
	tell_original(stdout, "listener6", open_listener(any6));
	tell_original(stdout, "dual", open_listener(both));
	tell_original(stdout, "new4", new_socket(AF_INET, SOCK_STREAM));
	tell_original(stdout, "new6", new_socket(AF_INET6, SOCK_STREAM));
	tell_original(stdout, "udp4", udp4);
	tell_original(stdout, "udp6", udp6);
	if (connect(udp4, &to4.sa, addr_len(&to4)) || connect(udp6, &to6.sa, addr_len(&to6)))
		err(1, "connect");
	tell_original(stdout, "udp4connected", udp4);
	tell_original(stdout, "udp6connected", udp6);
}

/* --- all other options --- */

static const int lengths[] = { 0, 1, 4, 8, 16, 104, 256, 4096, 4097, 8192, 65536 };

#define OPTION(level, name)        \
	{                          \
		level, name, #name \
	}
static const struct option {
	int level, option;
	const char *name;
} options[] = {
	OPTION(SOL_SOCKET, SO_ERROR),
	OPTION(SOL_SOCKET, SO_RCVBUF),
	OPTION(SOL_SOCKET, SO_TYPE),
	OPTION(SOL_SOCKET, SO_PEERCRED),
	OPTION(SOL_SOCKET, SO_LINGER),
	OPTION(SOL_SOCKET, SO_RCVTIMEO),
	OPTION(SOL_SOCKET, SO_DOMAIN),
	OPTION(SOL_SOCKET, SO_BINDTODEVICE),
	OPTION(SOL_SOCKET, SO_MEMINFO),
	OPTION(SOL_SOCKET, UNKNOWN_OPTION),
	OPTION(SOL_TCP, TCP_INFO),
	OPTION(SOL_TCP, TCP_CONGESTION),
	OPTION(SOL_TCP, TCP_NODELAY),
	OPTION(SOL_TCP, TCP_ZEROCOPY_RECEIVE),
	OPTION(SOL_TCP, TCP_MAXSEG),
	OPTION(SOL_TCP, UNKNOWN_OPTION),
	OPTION(SOL_IP, IP_TOS),
	OPTION(SOL_IP, IP_OPTIONS),
	OPTION(SOL_IP, IP_MTU),
	OPTION(SOL_IP, IP_RETOPTS),
	OPTION(SOL_IP, UNKNOWN_OPTION),
	OPTION(SOL_IPV6, IPV6_V6ONLY),
	OPTION(SOL_IPV6, IPV6_TCLASS),
	OPTION(SOL_IPV6, IPV6_MTU),
	OPTION(SOL_IPV6, IPV6_RTHDR),
	OPTION(SOL_IPV6, UNKNOWN_OPTION),
	OPTION(SOL_UDP, UDP_SEGMENT),
	OPTION(UNKNOWN_OPTION, UNKNOWN_OPTION),
	/* the number of SO_ORIGINAL_DST where it is none */
	OPTION(SOL_SOCKET, SO_ORIGINAL_DST),
	OPTION(SOL_TCP, SO_ORIGINAL_DST),
	OPTION(SOL_UDP, SO_ORIGINAL_DST),
};

/* What differs from one moment, and one process, to the next. */
static void mask(const struct option *o, uint8_t *buf, size_t size)
{
	static const size_t last = offsetof(struct tcp_info, tcpi_last_data_sent);
	static const size_t pmtu = offsetof(struct tcp_info, tcpi_pmtu);
	pid_t self = getpid();
	size_t i;

	if (o->level == SOL_TCP && o->option == TCP_INFO) {
		for (i = last; i < pmtu && i < size; i++)
			buf[i] = 0;
	}
	if (o->level == SOL_SOCKET && o->option == SO_PEERCRED && size &&
	    !memcmp(buf, &self, size < sizeof(self) ? size : sizeof(self)))
		memset(buf, 0, size < sizeof(self) ? size : sizeof(self));
}

/* LENGTH is what the kernel is told, SIZE what is there. */
static void ask(const char *socket, int fd, const struct option *o, int length, size_t size)
{
	uint8_t *buf = memory(size);
	socklen_t len = length;
	uint32_t hash = 2166136261u;
	size_t i;
	int error;

	error = getsockopt(fd, o->level, o->option, buf, &len) ? errno : 0;
	mask(o, buf, size);
	for (i = 0; i < size; i++)
		hash = (hash ^ buf[i]) * 16777619u;
	printf("%s %d:%s %d/%zu %s %d %08x ", socket, o->level, o->name, length, size,
	       error ? errno_name(error) : "ok", (int)len, hash);
	for (i = 0; i < size && i < 8; i++)
		printf("%02x", buf[i]);
	printf("\n");
}

static void ask_all(const char *socket, int fd)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths); j++) {
			int length = lengths[j];

			ask(socket, fd, &options[i], length, length);
			if (length > 512)
				ask(socket, fd, &options[i], length, 512);
		}
	}
}

/* The error of a connection that failed is told once, whatever the length. */
static void ask_error(const char *socket, const char *closed)
{
	bool dual;
	union addr to = parse(closed, &dual);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		int fd = new_socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK);
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (!connect(fd, &to.sa, addr_len(&to)) || errno != EINPROGRESS)
			err(1, "connect");
		poll(&p, 1, -1);
		ask(socket, fd, &options[0], lengths[i], lengths[i]);
		ask(socket, fd, &options[0], sizeof(int), sizeof(int));
		close(fd);
	}
}

static void all_options(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	ask_all("tcp4", new_socket(AF_INET, SOCK_STREAM));
	ask_all("tcp6", new_socket(AF_INET6, SOCK_STREAM));
	ask_all("udp4", new_socket(AF_INET, SOCK_DGRAM));
	ask_all("udp6", new_socket(AF_INET6, SOCK_DGRAM));
	ask_all("unix", pair[0]);
	ask_error("failed4", "127.0.0.1:1");
	ask_error("failed6", "[::1]:1");
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	int i;

	setlinebuf(stdout);
	memory_make();
	if (!strcmp(verb, "serve"))
		serve(argv + 2);
	else if (!strcmp(verb, "states"))
		states();
	else if (!strcmp(verb, "options"))
		all_options();
	else if (strcmp(verb, "dial") && strcmp(verb, "reset"))
		errx(2, "usage: e2e_sockopt serve|dial|reset|states|options [HOST:PORT...]");
	for (i = 2; i < argc; i++) {
		if (!strcmp(verb, "dial"))
			dial(argv[i]);
		else
			reset(argv[i]);
	}
	return 0;
}
