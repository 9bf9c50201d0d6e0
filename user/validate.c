/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* After tools/istio-iptables/pkg/validation of Istio: the same listeners, the same address and port
 * dialled from the same source, a try each second.
 */
#define _GNU_SOURCE
#include "validate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* <linux/netfilter_ipv4.h> quarrels with <netinet/in.h> */
#endif

#define TRY_EVERY 1000 /* milliseconds */
#define NR_LISTENERS 2

/* 127.0.0.6 and ::6 are local, but not what the rules call loopback: for the proxy they are its own
 * pod, to be reached by its inbound listener.
 */
static const struct family {
	int af, level;
	const char *name, *loopback, *dialled;
} families[] = {
	{ AF_INET, IPPROTO_IP, "IPv4", "127.0.0.1", "127.0.0.6" },
	{ AF_INET6, IPPROTO_IPV6, "IPv6", "::1", "::6" },
};

#define NR_FAMILIES (sizeof(families) / sizeof(*families))

/* One family while it is tried. */
struct trial {
	const struct family *family; /* NULL: not to be tried, or passed */
	int client;
	int listeners[NR_LISTENERS];
};

union address {
	struct sockaddr sa;
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;
};

static socklen_t address(const struct family *f, const char *text, __u16 port, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sa.sa_family = f->af;
	if (f->af == AF_INET) {
		ret->sin.sin_port = htons(port);
		inet_pton(AF_INET, text, &ret->sin.sin_addr);
		return sizeof(ret->sin);
	}
	ret->sin6.sin6_port = htons(port);
	inet_pton(AF_INET6, text, &ret->sin6.sin6_addr);
	return sizeof(ret->sin6);
}

static int open_socket(const struct family *f)
{
	return socket(f->af, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* SO_REUSEPORT: beside the proxy's own listeners, should they be there already. */
static int listen_at(const struct family *f, __u16 port)
{
	int fd = open_socket(f), on = 1;
	union address a;
	socklen_t len = address(f, f->loopback, port, &a);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (!bind(fd, &a.sa, len) && !listen(fd, 16))
		return fd;
	on = -errno;
	close(fd);
	return on;
}

/* One listener is enough, as in Istio. */
static int trial_open(struct trial *t, const struct family *f, const struct validation *v,
		      struct st_err *e)
{
	const __u16 ports[NR_LISTENERS] = { v->outbound_port, v->inbound_port };
	int i, nr = 0;

	t->family = f;
	for (i = 0; i < NR_LISTENERS; i++) {
		t->listeners[i] = listen_at(f, ports[i]);
		nr += t->listeners[i] >= 0;
	}
	if (nr)
		return 0;
	return err_set(e, -t->listeners[0], "validation", f->loopback,
		       "cannot listen on ports %u and %u: %s", ports[0], ports[1],
		       strerror(-t->listeners[1]));
}

static void trial_close(struct trial *t)
{
	int i;

	for (i = 0; i < NR_LISTENERS; i++) {
		if (t->listeners[i] >= 0)
			close(t->listeners[i]);
		t->listeners[i] = -1;
	}
	if (t->client >= 0)
		close(t->client);
	t->client = -1;
	t->family = NULL;
}

/* Dials once more; how that goes shows at the listeners. */
static void trial_dial(struct trial *t, __u16 port)
{
	union address from, to;
	socklen_t len;

	if (t->client >= 0)
		close(t->client);
	t->client = open_socket(t->family);
	if (t->client < 0)
		return;
	len = address(t->family, t->family->loopback, 0, &from);
	address(t->family, t->family->dialled, port, &to);
	if (!bind(t->client, &from.sa, len))
		(void)connect(t->client, &to.sa, len);
}

/* Whether a connection at this listener is the one that was dialled. */
static int is_redirected(const struct family *f, int listener, __u16 port)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	union address a = {};
	socklen_t len = sizeof(a);
	int err;

	if (fd < 0)
		return 0;
	err = getsockopt(fd, f->level, SO_ORIGINAL_DST, &a, &len);
	close(fd);
	return !err && ntohs(f->af == AF_INET ? a.sin.sin_port : a.sin6.sin6_port) == port;
}

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

/* Waits for connections until the time given; what has passed is closed. Returns how many trials
 * are left.
 */
static int wait_until(struct trial trials[NR_FAMILIES], __u16 port, __u64 until)
{
	struct pollfd fds[NR_FAMILIES * NR_LISTENERS];
	__u64 t = now();
	size_t i, n;
	int left = 0;

	for (i = 0; i < NR_FAMILIES * NR_LISTENERS; i++)
		fds[i] = (struct pollfd){ trials[i / NR_LISTENERS].listeners[i % NR_LISTENERS],
					  POLLIN, 0 };
	if (poll(fds, i, t < until ? until - t : 0) < 0)
		return 1; /* a signal: the caller comes again */
	for (i = 0; i < NR_FAMILIES; i++) {
		for (n = 0; n < NR_LISTENERS && trials[i].family; n++)
			if (fds[i * NR_LISTENERS + n].revents &&
			    is_redirected(trials[i].family, trials[i].listeners[n], port))
				trial_close(&trials[i]);
		left += !!trials[i].family;
	}
	return left;
}

static int try_all(struct trial trials[NR_FAMILIES], const struct validation *v)
{
	__u64 end = now() + v->timeout, next = 0;
	size_t i;

	do {
		if (now() >= next) {
			for (i = 0; i < NR_FAMILIES; i++)
				if (trials[i].family)
					trial_dial(&trials[i], v->probe_port);
			next = now() + TRY_EVERY;
		}
		if (!wait_until(trials, v->probe_port, next < end ? next : end))
			return 0;
	} while (now() < end);
	return -ETIMEDOUT;
}

static int timed_out(const struct family *f, const struct validation *v, struct st_err *e)
{
	err_hint(e, "is the pod attached, and is this process in its cgroup?");
	return err_set(e, ETIMEDOUT, "validation", f->name,
		       "no connection to port %u of %s came back to %s within %u ms", v->probe_port,
		       f->dialled, f->loopback, v->timeout);
}

int validate(const struct validation *v, struct st_err *e)
{
	const int wanted[NR_FAMILIES] = { v->v4, v->v6 };
	struct trial trials[NR_FAMILIES];
	size_t i;
	int err = 0;

	for (i = 0; i < NR_FAMILIES; i++)
		trials[i] = (struct trial){ NULL, -1, { -1, -1 } };
	for (i = 0; i < NR_FAMILIES && !err; i++)
		err = wanted[i] ? trial_open(&trials[i], &families[i], v, e) : 0;
	err = err ?: try_all(trials, v);
	for (i = 0; i < NR_FAMILIES; i++) {
		if (err == -ETIMEDOUT && trials[i].family)
			timed_out(trials[i].family, v, e);
		trial_close(&trials[i]);
	}
	return err;
}

int validate_as(__u32 uid, __u32 gid, struct st_err *e)
{
	if (geteuid())
		return 0;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return err_sys(e, errno, "becoming the proxy's user for the validation", NULL);
	return 0;
}
