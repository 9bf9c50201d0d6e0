// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The steps of a row, one function per verb, and how what they saw is written down.
 *
 * What the client saw goes by the names of the calls (connect, sockname, peername, origdst, from);
 * what the receiver told is behind "to" (sink.c). From the second step on, keys start with its number.
 *
 * Ports that differ from run to run are replaced: "*" is the client's own port as its getsockname
 * gives it, "fixed" the port that is the row's own; where the receiver sees the client come from
 * any other port, that is "other".
 */
#define _GNU_SOURCE
#include "row.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3 */
#endif
#define PATIENCE 2 /* seconds until a step that gets no answer is a "timeout" */

struct flow {
	const struct row *row;
	int fd;
	int step;	    /* the number of the step being taken; binding is not counted */
	const char *prefix; /* of keys, for verbs with two answers */
	in_port_t bound;    /* the port number the row asked for */
	char *out;
	size_t size;
};

struct verb {
	const char *name;
	bool asks;
	void (*run)(struct flow *f, const struct step *step);
};

/* --- writing down ---------------------------------------------------------------------------- */

static void put(struct flow *f, const char *key, const char *format, ...)
{
	size_t used = strlen(f->out);
	char number[16] = "";
	va_list args;

	if (f->step > 1)
		snprintf(number, sizeof(number), "%d.", f->step);
	snprintf(f->out + used, f->size - used, "\t%s%s%s=", number, f->prefix, key);
	used = strlen(f->out);
	va_start(args, format);
	vsnprintf(f->out + used, f->size - used, format, args);
	va_end(args);
}

static void put_result(struct flow *f, const char *key, int ret)
{
	put(f, key, "%s", ret >= 0 ? "ok" : errno == EAGAIN ? "timeout" : errno_name(errno));
}

/* An address with its port replaced where that is not comparable; of_client: whose address it is */
static void put_addr(struct flow *f, const char *key, const char *text, bool of_client)
{
	const char *colon = strrchr(text, ':');
	in_port_t port = colon ? atoi(colon + 1) : 0, fixed = f->row->fixed;
	union addr own = {};
	socklen_t len = sizeof(own);

	getsockname(f->fd, &own.sa, &len);
	if (!port || (port == f->bound && port != fixed))
		put(f, key, "%s", text);
	else if (port == fixed)
		put(f, key, "%.*s:fixed", (int)(colon - text), text);
	else if (port == addr_port(&own))
		put(f, key, "%.*s:*", (int)(colon - text), text);
	else if (of_client)
		put(f, key, "%.*s:other", (int)(colon - text), text);
	else
		put(f, key, "%s", text);
}

static void put_sockaddr(struct flow *f, const char *key, const union addr *a, bool of_client)
{
	char text[ADDR_TEXT];

	addr_text(a, text);
	put_addr(f, key, text, of_client);
}

static void put_names(struct flow *f)
{
	union addr name = {};
	socklen_t len = sizeof(name);
	char text[ADDR_TEXT];

	getsockname(f->fd, &name.sa, &len);
	put_sockaddr(f, "sockname", &name, true);
	len = sizeof(name);
	if (getpeername(f->fd, &name.sa, &len))
		put(f, "peername", "%s", errno_name(errno));
	else
		put_sockaddr(f, "peername", &name, false);
	if (f->row->type != SOCK_STREAM)
		return;
	origdst_text(f->fd, f->row->family == AF_INET || f->row->mapped ? SOL_IP : SOL_IPV6, text);
	put_addr(f, "origdst", text, false);
}

/* The receiver's line, KEY=VALUE by KEY=VALUE */
static void put_receiver(struct flow *f, char *line)
{
	char *rest = NULL, *field;

	line[strcspn(line, "\n")] = '\0';
	for (field = strtok_r(line, "\t", &rest); field; field = strtok_r(NULL, "\t", &rest)) {
		char *value = strchr(field, '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(field, "to"))
			put(f, field, "%s", value);
		else
			put_addr(f, field, value, !strncmp(field, "peer", 4));
	}
}

/* --- asking ---------------------------------------------------------------------------------- */

static void read_line(struct flow *f)
{
	char line[1024];
	size_t used = 0;
	ssize_t len = 0;

	while (used < sizeof(line) - 1 && !memchr(line, '\n', used)) {
		len = recv(f->fd, line + used, sizeof(line) - 1 - used, 0);
		if (len <= 0)
			break;
		used += len;
	}
	line[used] = '\0';
	if (len > 0)
		put_receiver(f, line);
	else if (len)
		put_result(f, "to", -1);
	else
		put(f, "to", "closed");
}

/* One datagram; the receiver put the query's text at the head of its answer. */
static void read_reply(struct flow *f, const char *query)
{
	char line[1024];
	union addr from = {};
	socklen_t size = sizeof(from);
	ssize_t len = recvfrom(f->fd, line, sizeof(line) - 1, 0, &from.sa, &size);

	if (len < 0) {
		put_result(f, "to", -1);
		return;
	}
	line[len] = '\0';
	if (strncmp(line, query, strlen(query)))
		put(f, "answers", "%.*s", (int)strcspn(line, "\t"), line);
	put_sockaddr(f, "from", &from, false);
	put_receiver(f, line);
}

/* --- the verbs --------------------------------------------------------------------------------- */

static void step_bind(struct flow *f, const struct step *step)
{
	int one = 1;

	/* For fixed ports: rows that share one run one after the other, and so do two sockets of a row. */
	if (addr_port(&step->to[0]))
		setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	f->bound = addr_port(&step->to[0]);
	put_result(f, "bind", bind(f->fd, &step->to[0].sa, addr_len(&step->to[0])));
}

static void step_noport(struct flow *f, const struct step *step)
{
	int one = 1;

	(void)step;
	put_result(f, "noport",
		   setsockopt(f->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)));
}

/* As a proxy makes itself able to call the app with its client's address, in TPROXY mode: from any
 * source, with the mark that leads the answers to lo. That takes a privilege for a moment.
 */
static void step_transparent(struct flow *f, const struct step *step)
{
	bool v4 = f->row->family == AF_INET;
	int one = 1, mark = 1337;
	uid_t uid = geteuid();

	(void)step;
	if (seteuid(0) ||
	    setsockopt(f->fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
		       sizeof(one)) ||
	    setsockopt(f->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) || seteuid(uid))
		err(1, "transparent");
}

static int dial(struct flow *f, const char *key, const union addr *to)
{
	int ret = connect(f->fd, &to->sa, addr_len(to));

	if (ret && errno == EINPROGRESS)
		errno = EAGAIN; /* what a blocking connect says when its time is up */
	put_result(f, key, ret);
	return ret;
}

static void step_connect(struct flow *f, const struct step *step)
{
	char query[16];
	int ret = dial(f, "connect", &step->to[0]);

	put_names(f);
	if (ret)
		return;
	if (f->row->type == SOCK_STREAM) {
		read_line(f);
		return;
	}
	snprintf(query, sizeof(query), "q%d", f->step);
	ret = send(f->fd, query, strlen(query), 0);
	if (ret < 0)
		put_result(f, "send", ret);
	else
		read_reply(f, query);
}

/* Without blocking: connect, and again once the socket is writable, and again */
static void step_nbconnect(struct flow *f, const struct step *step)
{
	struct pollfd poller = { f->fd, POLLOUT, 0 };
	int flags = fcntl(f->fd, F_GETFL), error = 0;
	static const char *const keys[] = { "first", "second", "third" };

	fcntl(f->fd, F_SETFL, flags | O_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		error = connect(f->fd, &step->to[0].sa, addr_len(&step->to[0])) ? errno : 0;
		put(f, keys[i], "%s", error ? errno_name(error) : "ok");
		poll(&poller, 1, PATIENCE * 1000);
	}
	fcntl(f->fd, F_SETFL, flags);
	put_names(f);
	if (!error || error == EISCONN)
		read_line(f);
}

static void step_unspec(struct flow *f, const struct step *step)
{
	const union addr nothing = { .sa.sa_family = AF_UNSPEC };

	(void)step;
	put_result(f, "unspec", connect(f->fd, &nothing.sa, sizeof(nothing.sa)));
	put_names(f);
}

static int ask(struct flow *f, const char *query, const union addr *to)
{
	int ret = sendto(f->fd, query, strlen(query), 0, &to->sa, addr_len(to));

	if (ret < 0)
		put_result(f, "send", ret);
	return ret;
}

static void step_send(struct flow *f, const struct step *step)
{
	char query[16];

	snprintf(query, sizeof(query), "q%d", f->step);
	if (ask(f, query, &step->to[0]) > 0)
		read_reply(f, query);
	put_names(f);
}

/* Two queries under way on one socket: whose answer is whose? */
static void step_send2(struct flow *f, const struct step *step)
{
	static const char *const queries[] = { "a", "b" };
	int sent = 0;

	for (int i = 0; i < 2; i++)
		sent += ask(f, queries[i], &step->to[i]) > 0;
	for (int i = 0; i < sent; i++) {
		char first = 0;

		/* the answers may overtake each other: look which one is next */
		recv(f->fd, &first, 1, MSG_PEEK);
		f->prefix = first == 'b' ? "b." : "a.";
		read_reply(f, first == 'b' ? queries[1] : queries[0]);
	}
	f->prefix = "";
	put_names(f);
}

static void prepare(struct flow *f);

static void bind_fixed(struct flow *f)
{
	struct step from = { .verb = "bind" };

	addr_parse(&from.to[0], f->row->family == AF_INET ? "0.0.0.0" : "::", f->row->fixed, false);
	step_bind(f, &from);
}

/* Two connections from the row's fixed port, open at the same time */
static void step_twice(struct flow *f, const struct step *step)
{
	static const char *const prefixes[] = { "a.", "b." };
	int first = f->fd;

	for (int i = 0; i < 2; i++) {
		const struct step to = { .verb = "connect", .to = { step->to[i] } };

		if (i) {
			f->fd = owner_socket(f->row);
			prepare(f);
		}
		f->prefix = prefixes[i];
		bind_fixed(f);
		step_connect(f, &to);
	}
	f->fd = first;
	f->prefix = "";
}

/* A query from the port from which the proxy (for the proxy's: the application) asked the same before */
static void step_follow(struct flow *f, const struct step *step)
{
	struct row other = *f->row;
	struct flow before = *f;
	pid_t pid = fork();

	if (!pid) {
		other.owner = owner_find(strcmp(other.owner->name, "app") ? "app" : "proxy");
		before.row = &other;
		before.fd = owner_socket(&other);
		prepare(&before);
		bind_fixed(&before);
		step_send(&before, step);
		_exit(0); /* it has rows of its own elsewhere */
	}
	waitpid(pid, NULL, 0);
	bind_fixed(f);
	step_send(f, step);
}

static const struct verb verbs[] = {
	{ "bind", false, step_bind },
	{ "noport", false, step_noport },
	{ "transparent", false, step_transparent },
	{ "connect", true, step_connect },
	{ "nbconnect", true, step_nbconnect },
	{ "unspec", true, step_unspec },
	{ "send", true, step_send },
	{ "send2", true, step_send2 },
	{ "twice", true, step_twice },
	{ "follow", true, step_follow },
};

/* Limits every wait, and makes it as short as possible. */
static void prepare(struct flow *f)
{
	const char *last = f->row->steps[f->row->nr_steps - 1].verb;
	const struct timeval patience = { PATIENCE, 0 };
	const struct linger reset = { 1, 0 };
	int one = 1;

	setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (f->row->type == SOCK_STREAM) {
		/* leave no TIME_WAIT, the next engine's flow must not be refused by it */
		setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	} else if (strcmp(last, "connect")) {
		/* else nobody tells an unconnected socket that its port is closed */
		setsockopt(f->fd, SOL_IP, IP_RECVERR, &one, sizeof(one));
		setsockopt(f->fd, SOL_IPV6, IPV6_RECVERR, &one, sizeof(one));
	}
}

/* The next ephemeral port of the socket is one that no other step of no other row uses. */
static void choose_port(struct flow *f, int step)
{
	uint32_t port = f->row->fixed + 1 + step, range = port | port << 16;

	setsockopt(f->fd, SOL_IP, IP_LOCAL_PORT_RANGE, &range,
		   sizeof(range)); /* older kernels: any */
}

void row_run(const struct row *row, char *out, size_t size)
{
	struct flow f = { .row = row, .out = out, .size = size, .prefix = "" };

	f.fd = owner_socket(row);
	prepare(&f);
	for (int i = 0; i < row->nr_steps; i++) {
		const struct step *step = &row->steps[i];
		size_t v = 0;

		while (v < sizeof(verbs) / sizeof(*verbs) && strcmp(verbs[v].name, step->verb))
			v++;
		if (v == sizeof(verbs) / sizeof(*verbs))
			errx(2, "row '%s': unknown verb '%s'", row->text, step->verb);
		f.step += verbs[v].asks;
		choose_port(&f, i);
		verbs[v].run(&f, step);
	}
}
