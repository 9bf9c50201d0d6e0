// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whether what becomes of connections is what long lists of CIDRs say.
 *
 *	e2e_cidrs ask COUNT INCLUDE EXCLUDE
 *		prints some destinations, and "redirect" or "pass" as the lists have it
 *	e2e_cidrs dial INCLUDE EXCLUDE
 *		connects to all of them, which are of every CIDR the first and the last address,
 *		that before and that behind; says what became of them, and which are wrong
 *
 * It is its own proxy: a connection is redirected if it arrives at port 15001, with what was dialled
 * as its SO_ORIGINAL_DST. All others have to fail, so the pod needs to be without any route. What
 * should happen is found by searching sorted ranges of addresses, families apart.
 */
#define _GNU_SOURCE
#include "cidrs.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PROXY 15001
#define DIALLED 7777 /* nobody listens there */
#define PATIENCE 10  /* seconds; nothing takes any time unless it is broken */
#define WRONG_SHOWN 20

struct list {
	struct cidr v[COUNT + 1];
	int nr;
	struct range ranges[2][COUNT + 1]; /* of IPv4 and IPv6: sorted, apart from each other */
	int nr_ranges[2];
};

static struct list include, exclude;
static struct host own[64]; /* the pod's addresses beside 127.0.0.0/8 */
static int nr_own;
static u128 broadcasts[64]; /* of the subnets of these, and of 127.0.0.0/8 */
static int nr_broadcasts;

static struct host host_of(const union addr *a)
{
	struct host h = { .v6 = a->sa.sa_family == AF_INET6 };
	int i;

	if (!h.v6)
		h.n = ntohl(a->in.sin_addr.s_addr);
	for (i = 0; i < 16 && h.v6; i++)
		h.n = h.n << 8 | a->in6.sin6_addr.s6_addr[i];
	return h;
}

/* An IPv4 address that is written as IPv6 follows the rules of IPv4. */
static struct host unmapped(struct host h)
{
	if (h.v6 && h.n >> 32 == 0xffff)
		return (struct host){ false, (uint32_t)h.n };
	return h;
}

/* --- what the lists say -------------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void sort_ranges(struct list *l, bool v6)
{
	struct range *r = l->ranges[v6];
	int i, nr = 0;

	for (i = 0; i < l->nr; i++)
		if (l->v[i].host.v6 == v6)
			r[nr++] = range_of(&l->v[i]);
	qsort(r, nr, sizeof(*r), compare_ranges);
	for (i = 0; i < nr; i++) {
		struct range *before = &r[l->nr_ranges[v6] - 1];

		if (!l->nr_ranges[v6] || r[i].first > before->last)
			r[l->nr_ranges[v6]++] = r[i];
		else if (r[i].last > before->last)
			before->last = r[i].last;
	}
}

static void read_list(const char *path, struct list *l)
{
	FILE *f = fopen(path, "r");
	char line[128], *slash;
	union addr a;

	if (!f)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, " #\n")] = '\0';
		if (!*line)
			continue;
		slash = strchr(line, '/');
		if (slash)
			*slash++ = '\0';
		if (l->nr > COUNT || !addr_parse(&a, line, 0, false))
			errx(1, "%s: '%s': not an address, or one too many", path, line);
		l->v[l->nr].host = host_of(&a);
		l->v[l->nr].len = slash ? atoi(slash) : bits(l->v[l->nr].host.v6);
		l->nr++;
	}
	fclose(f);
	sort_ranges(l, false);
	sort_ranges(l, true);
}

static bool listed(const struct list *l, struct host h)
{
	const struct range *r = l->ranges[h.v6];
	int low = 0, high = l->nr_ranges[h.v6], middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (r[middle].last < h.n)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->nr_ranges[h.v6] && r[low].first <= h.n;
}

static bool is_own(struct host h)
{
	int i;

	for (i = 0; i < nr_own; i++)
		if (own[i].v6 == h.v6 && own[i].n == h.n)
			return true;
	return is_loopback(h);
}

/* Nobody can be connected to there. */
static bool is_group(struct host h)
{
	int i;

	for (i = 0; i < nr_broadcasts; i++)
		if (!h.v6 && broadcasts[i] == h.n)
			return true;
	return h.v6 ? h.n >> 120 == 0xff : h.n >> 28 == 0xe || h.n == UINT32_MAX;
}

/* Istio's rules for TCP of an app: own addresses pass, unless a CIDR that is written as a loopback
 * one is included; then come loopback, -x and -i.
 */
static bool is_redirected(struct host h)
{
	static int loopback = -1;
	int i;

	if (loopback < 0)
		for (loopback = 0, i = 0; i < include.nr; i++)
			loopback |= is_loopback(include.v[i].host);
	h = unmapped(h);
	if (!h.n) /* the kernel takes 0.0.0.0 and :: for it */
		h.n = h.v6 ? 1 : 0x7f000001;
	if (is_group(h))
		return false;
	if ((is_own(h) && !loopback) || h.n == (h.v6 ? 1 : 0x7f000001))
		return false;
	if (h.v6 && h.n == 6) /* then it is the source, too, as of a proxy that calls the app */
		return false;
	return !listed(&exclude, h) && listed(&include, h);
}

static void list_own(void)
{
	struct ifaddrs *all, *i;
	u128 mask;

	if (getifaddrs(&all))
		err(1, "getifaddrs");
	for (i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		if (nr_own == sizeof(own) / sizeof(*own))
			errx(1, "too many addresses");
		own[nr_own] = host_of((union addr *)i->ifa_addr);
		mask = host_of((union addr *)i->ifa_netmask).n;
		if (!own[nr_own].v6 && mask < UINT32_MAX - 1)
			broadcasts[nr_broadcasts++] = own[nr_own].n | (uint32_t)~mask;
		nr_own++;
	}
	freeifaddrs(all);
}

/* Destination N, for all N below 4 for each CIDR; false if there is no such address. */
static bool destination(int n, struct host *ret)
{
	const struct cidr *c =
		n / 4 < include.nr ? &include.v[n / 4] : &exclude.v[n / 4 - include.nr];
	struct range r = range_of(c);
	u128 last = host_bits(&(struct cidr){ c->host, 0 });

	*ret = (struct host){ c->host.v6, n % 4 < 2 ? r.first : r.last };
	if ((n % 4 == 1 && r.first == 0) || (n % 4 == 3 && r.last == last))
		return false;
	ret->n += n % 4 == 3;
	ret->n -= n % 4 == 1;
	return true;
}

/* --- asking and dialling ------------------------------------------------------------------------- */

static void ask(int count)
{
	int all = 4 * (include.nr + exclude.nr), i;
	char text[ADDR_TEXT];
	struct host h;
	union addr a;

	for (i = 0; i < count; i++) {
		if (!destination((int64_t)all * i / count + i % 4, &h))
			continue;
		h = unmapped(h);
		host_address(&h, DIALLED, &a);
		addr_text(&a, text);
		printf("%s %s\n", text, is_redirected(h) ? "redirect" : "pass");
	}
}

static int listen_on(bool v6)
{
	struct timeval patience = { .tv_sec = PATIENCE };
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	union addr any = {};

	addr_parse(&any, v6 ? "::" : "0.0.0.0", PROXY, false);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    (v6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(fd, &any.sa, addr_len(&any)) || listen(fd, 16))
		err(1, "listen on %d", PROXY);
	return fd;
}

/* Nothing of it stays, not even as TIME_WAIT. */
static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* What became of the connection: "redirect", "pass", or what should never be. */
static const char *outcome(int listener, const struct host *h, int error)
{
	static char text[2 * ADDR_TEXT];
	char dialled[ADDR_TEXT];
	struct host plain = unmapped(*h);
	union addr to;
	int fd;

	/* Only an own address refuses: for others there is no route. */
	if (error == EINPROGRESS || error == ETIMEDOUT ||
	    (error == ECONNREFUSED && plain.n && !is_own(plain)))
		return errno_name(error);
	if (error)
		return "pass";
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return "connected, but not to the proxy";
	origdst_text(fd, plain.v6 ? SOL_IPV6 : SOL_IP, text);
	reset(fd);
	host_address(&plain, DIALLED, &to);
	addr_text(&to, dialled);
	return strcmp(text, dialled) ? text : "redirect";
}

static const char *dial(const int listeners[2], const struct host *h)
{
	struct timeval patience = { .tv_sec = PATIENCE };
	const char *what;
	union addr to;
	int fd, error = 0;

	host_address(h, DIALLED, &to);
	fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, &to.sa, addr_len(&to)))
		error = errno;
	what = outcome(listeners[unmapped(*h).v6], h, error);
	reset(fd);
	return what;
}

static int dial_all(void)
{
	int listeners[] = { listen_on(false), listen_on(true) };
	int i, redirected[2] = {}, passed[2] = {}, wrong = 0;
	const char *want, *got;
	char text[ADDR_TEXT];
	struct host h;
	union addr to;

	for (i = 0; i < 4 * (include.nr + exclude.nr); i++) {
		if (!destination(i, &h))
			continue;
		want = is_redirected(h) ? "redirect" : "pass";
		got = dial(listeners, &h);
		(*want == 'r' ? redirected : passed)[h.v6]++;
		if (!strcmp(want, got))
			continue;
		host_address(&h, DIALLED, &to);
		addr_text(&to, text);
		if (wrong++ < WRONG_SHOWN)
			printf("%s: want %s, got %s\n", text, want, got);
	}
	printf("IPv4: %d redirected %d passed\nIPv6: %d redirected %d passed\n%d wrong\n",
	       redirected[0], passed[0], redirected[1], passed[1], wrong);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";

	if (!(!strcmp(what, "ask") && argc == 5) && !(!strcmp(what, "dial") && argc == 4))
		errx(2, "usage: e2e_cidrs ask COUNT INCLUDE EXCLUDE\n"
			"       e2e_cidrs dial INCLUDE EXCLUDE");
	list_own();
	read_list(argv[argc - 2], &include);
	read_list(argv[argc - 1], &exclude);
	if (!strcmp(what, "dial"))
		return dial_all();
	ask(atoi(argv[2]));
	return 0;
}
