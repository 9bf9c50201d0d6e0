/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One attempt, and what to make of it. Where the socket really went is read from the kernel's list of
 * sockets, where no hook shows it as something else.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "socktab.h"
#include "why.h"

#define TCP_PATIENCE 1000 /* milliseconds */
#define DNS_PATIENCE 2000

union address {
	struct sockaddr sa;
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;
};

/* What came of it. */
struct trace {
	int error;	  /* errno of connect() or of what followed; 0: none */
	int found;	  /* 1 if the kernel's list has it, with: */
	struct addr peer; /* right after the call */
	__u16 peer_port;
	int answered;	/* UDP: a reply came, */
	int from_asked; /* from whom was asked */
	int counted;	/* the programs counted the reason that the verdict names */
	int listens;	/* something gets what comes to the port that it is to go to */
};

static socklen_t to_sockaddr(const struct flow *f, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(&f->dst)) {
		ret->sin.sin_family = AF_INET;
		ret->sin.sin_port = htons(f->dport);
		memcpy(&ret->sin.sin_addr, &f->dst.w[3], 4);
		return sizeof(ret->sin);
	}
	ret->sin6.sin6_family = AF_INET6;
	ret->sin6.sin6_port = htons(f->dport);
	memcpy(&ret->sin6.sin6_addr, f->dst.w, 16);
	return sizeof(ret->sin6);
}

/* Root's saved uid keeps the way back open. A change of ids makes the kernel forget whose death we are
 * to follow.
 */
static int become(__u32 uid, __u32 gid)
{
	if (setresuid(0, 0, 0) || setresgid(gid, gid, 0) || setresuid(uid, uid, 0))
		return -errno;
	return prctl(PR_SET_PDEATHSIG, SIGKILL) ? -errno : 0;
}

/* How often the reason was counted until now. */
static __u64 counted(const struct datapath *dp, __u64 cookie, const struct attempt *a)
{
	struct counters c;

	if (pod_counters(dp, cookie, &c))
		return 0;
	return c.n[a->want.why][!addr_is_v4(&a->flow.dst)];
}

static void note_place(int fd, const struct flow *f, struct trace *t)
{
	struct stat st;

	if (t->found || fstat(fd, &st))
		return;
	t->found =
		socktab_peer(f->proto, addr_is_v4(&f->dst), st.st_ino, &t->peer, &t->peer_port) > 0;
}

static int wait_for(int fd, int events, int patience)
{
	struct pollfd p = { fd, events, 0 };

	return poll(&p, 1, patience) > 0;
}

static void try_tcp(int fd, const struct flow *f, struct trace *t)
{
	const struct linger reset = { .l_onoff = 1 };
	socklen_t size = sizeof(t->error);
	union address to;
	socklen_t len = to_sockaddr(f, &to);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	t->error = connect(fd, &to.sa, len) ? errno : 0;
	note_place(fd, f, t);
	if (t->error != EINPROGRESS)
		return;
	/* What went to nobody may take long to find that out: only the proxy is waited for. */
	if (t->found && addr_equal(&t->peer, &f->dst))
		return;
	if (wait_for(fd, POLLOUT, TCP_PATIENCE))
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &t->error, &size);
}

/* A for socktables-check.invalid, which nobody has (RFC 6761). */
static const __u8 query[] = "\x53\x54\1\0\0\1\0\0\0\0\0\0\x10socktables-check\7invalid\0\0\1\0";

static void await_reply(int fd, const union address *asked, struct trace *t)
{
	union address from = {};
	socklen_t len = sizeof(from);
	__u8 reply[512];

	if (!wait_for(fd, POLLIN, t->listens ? DNS_PATIENCE : DNS_PATIENCE / 8)) {
		t->error = ETIMEDOUT;
		return;
	}
	if (recvfrom(fd, reply, sizeof(reply), 0, &from.sa, &len) < 0) {
		t->error = errno;
		return;
	}
	t->answered = 1;
	t->from_asked = asked->sa.sa_family == AF_INET
				? !memcmp(&from.sin, &asked->sin, 8) /* without the padding */
				: from.sin6.sin6_port == asked->sin6.sin6_port &&
					  !memcmp(&from.sin6.sin6_addr, &asked->sin6.sin6_addr, 16);
}

/* What is to pass is only connected, which sends nothing. */
static void try_udp(int fd, const struct attempt *a, struct trace *t)
{
	union address to;
	socklen_t len = to_sockaddr(&a->flow, &to);
	ssize_t sent = sizeof(query);

	if (!a->unconnected || a->want.action == ACTION_PASS) {
		t->error = connect(fd, &to.sa, len) ? errno : 0;
		note_place(fd, &a->flow, t);
		if (t->error || a->want.action == ACTION_PASS)
			return;
		sent = send(fd, query, sizeof(query), 0);
	} else {
		sent = sendto(fd, query, sizeof(query), 0, &to.sa, len);
	}
	if (sent < 0)
		t->error = errno;
	else
		await_reply(fd, &to, t);
}

/* --- what to make of it -------------------------------------------------------------------------- */

static const char *listens_there(const struct attempt *a)
{
	return a->want.port == ST_DNS_PORT ? "the DNS agent" : "the proxy";
}

static int is_at(const struct trace *t, const struct attempt *a)
{
	return t->found && addr_equal(&t->peer, &a->flow.dst) && t->peer_port == a->flow.dport;
}

static void judge_pass(struct attempt *a, const struct trace *t)
{
	if (t->found && !is_at(t, a))
		check_told(a, OUTCOME_FAILED,
			   "went to port %u of the pod, not where it was sent (it should pass: %s)",
			   t->peer_port, why_name(a->want.why));
	else if (is_at(t, a))
		check_told(a, OUTCOME_OK, "direct: %s", why_name(a->want.why));
	else if (t->error == ENETUNREACH || t->error == EHOSTUNREACH || t->error == EADDRNOTAVAIL)
		check_told(a, OUTCOME_OK, "direct, where no route leads: %s",
			   why_name(a->want.why));
	else if (t->counted && t->error == ECONNREFUSED)
		check_told(a, OUTCOME_OK, "direct, and refused there: %s", why_name(a->want.why));
	else
		check_told(a, OUTCOME_FAILED, "%s (it should pass: %s)", strerror(t->error),
			   why_name(a->want.why));
}

/* It went to the proxy's port, or must have, as the programs say. */
static void judge_arrived(struct attempt *a, const struct trace *t)
{
	int udp = a->flow.proto == ST_UDP;

	if (udp && t->answered && !t->from_asked)
		check_told(a, OUTCOME_FAILED, "the reply came from another address");
	else if (udp ? t->answered : !t->error)
		check_told(a, OUTCOME_OK, "%s on port %u %s", listens_there(a), a->want.port,
			   udp ? "answered" : "got it");
	else if (!t->listens)
		check_told(a, OUTCOME_FAILED,
			   "redirected, but nothing listens on port %u: is %s down?", a->want.port,
			   listens_there(a));
	else if (udp || t->error == EINPROGRESS)
		check_told(a, OUTCOME_FAILED, "redirected, but what listens on port %u %s",
			   a->want.port, udp ? "does not answer" : "does not accept");
	else if (t->error == ECONNRESET)
		check_told(a, OUTCOME_OK, "%s on port %u got it, and closed it", listens_there(a),
			   a->want.port);
	else
		check_told(a, OUTCOME_FAILED, "redirected to port %u: %s", a->want.port,
			   strerror(t->error));
}

static void judge_redirect(struct attempt *a, const struct trace *t)
{
	if (is_at(t, a))
		check_told(a, OUTCOME_FAILED,
			   "not captured: went to its destination, not to port %u (%s)",
			   a->want.port, why_name(a->want.why));
	else if (t->found && t->peer_port != a->want.port &&
		 (a->flow.proto == ST_TCP || t->peer_port))
		check_told(a, OUTCOME_FAILED, "went to port %u, not to port %u (%s)", t->peer_port,
			   a->want.port, why_name(a->want.why));
	else if (t->found || t->counted)
		judge_arrived(a, t);
	else
		check_told(a, OUTCOME_FAILED,
			   "not captured: %s, and the programs saw nothing of it",
			   t->answered ? "answered" : strerror(t->error));
}

/* What could not be looked at is taken to be there. */
static int is_served(const struct health *h, const struct attempt *a)
{
	return !h->has_listening || listening_serves(&h->listening, a->flow.proto, a->want.port,
						     !addr_is_v4(&a->flow.dst));
}

void check_try(const struct datapath *dp, __u64 cookie, const struct health *h, struct attempt *a)
{
	const struct flow *f = &a->flow;
	int v4 = addr_is_v4(&f->dst), fd, err;
	__u64 before = counted(dp, cookie, a);
	struct trace t = { .listens = is_served(h, a) };

	err = become(f->uid, f->gid);
	fd = err ? -1
		 : socket(v4 ? AF_INET : AF_INET6,
			  (f->proto == ST_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK |
				  SOCK_CLOEXEC,
			  0);
	if (fd < 0) {
		check_told(a, OUTCOME_NOT_TRIED,
			   err ? "as uid %u, gid %u: %s" : "a socket of uid %u, gid %u: %s", f->uid,
			   f->gid, strerror(err ? -err : errno));
		become(0, 0);
		return;
	}
	if (f->proto == ST_TCP)
		try_tcp(fd, f, &t);
	else
		try_udp(fd, a, &t);
	become(0, 0);
	t.counted = counted(dp, cookie, a) > before;
	close(fd);
	if (a->want.action == ACTION_PASS)
		judge_pass(a, &t);
	else
		judge_redirect(a, &t);
}
