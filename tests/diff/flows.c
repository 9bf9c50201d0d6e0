// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Prints the flows that exercise a policy: diff_flows [--istio] [--v6-only] [POLICY FLAG]...
 * Every owner it names goes to every kind of place, every port it names is used and so is the next
 * one, and both ends of every CIDR are reached from either side. The form is that of emit.h.
 */
#include "emit.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/draw.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MOST 64 /* of each: what a policy of the table names is less */

static struct world world;
static struct who whos[MOST];
static __u16 ports[2 * MOST];
static struct addr ends[4 * MOST];
static size_t nr_whos, nr_ports, nr_ends;

/* --- what the policy names -------------------------------------------------------------------- */

static const struct who app = { 1000, 1000, 1000, 1000 };

static struct who proxy(void)
{
	const struct config *c = &world.config;
	__u32 uid = c->uids.v[0], gid = c->gids.nr ? c->gids.v[0] : uid;

	return (struct who){ uid, gid, uid, gid };
}

static void add_who(__u32 uid, __u32 gid)
{
	size_t i;

	for (i = 0; i < nr_whos; i++)
		if (whos[i].uid == uid && whos[i].gid == gid)
			return;
	if (nr_whos == MOST)
		errx(1, "more owners than %d", MOST);
	whos[nr_whos++] = (struct who){ uid, gid, uid, gid };
}

static void find_whos(void)
{
	const struct config *c = &world.config;
	const struct id_list *gids = c->gids.nr ? &c->gids : &c->uids;
	struct who first = proxy();
	size_t i;

	add_who(app.uid, app.gid);
	add_who(first.uid, first.gid);
	add_who(first.uid + 1, first.gid + 1);
	add_who(0, 0);
	add_who(0, first.gid);
	for (i = 0; i < c->uids.nr; i++)
		add_who(c->uids.v[i], app.gid);
	for (i = 0; i < gids->nr; i++)
		add_who(app.uid, gids->v[i]);
	if (c->uids.nr > 1)
		add_who(c->uids.v[1], gids->v[gids->nr - 1]);
	for (i = 0; i < c->groups.nr; i++)
		add_who(app.uid, c->groups.v[i].gid);
	for (i = 0; i < c->groups_exclude.nr; i++)
		add_who(app.uid, c->groups_exclude.v[i].gid);
}

static void add_port(__u32 port)
{
	size_t i;

	for (i = 0; i < nr_ports; i++)
		if (ports[i] == port)
			return;
	if (port == 0 || port > 65535)
		return;
	if (nr_ports == LENGTH(ports))
		errx(1, "more ports than %zu", LENGTH(ports));
	ports[nr_ports++] = port;
}

static void find_ports(void)
{
	const struct config *c = &world.config;
	const struct port_list *lists[] = { &c->in_include, &c->in_exclude, &c->out_include,
					    &c->out_exclude };
	size_t i, j;

	add_port(80);
	add_port(53);
	add_port(22);
	add_port(c->tunnel_port);
	add_port(c->tunnel_port + 1);
	add_port(15008);
	add_port(c->outbound_port);
	add_port(c->inbound_port);
	add_port(15053);
	for (i = 0; i < LENGTH(lists); i++) {
		for (j = 0; j < lists[i]->nr; j++) {
			add_port(lists[i]->v[j]);
			add_port(lists[i]->v[j] + 1);
		}
	}
}

static void add_ends(const struct prefix *p)
{
	struct addr a;
	int i;

	for (i = 0; i < NR_ENDS; i++) {
		if (!prefix_end(p, i, &a) || !world_reaches(&world, &a))
			continue;
		if (nr_ends == LENGTH(ends))
			errx(1, "more addresses than %zu", LENGTH(ends));
		ends[nr_ends++] = a;
	}
}

static void find_ends(void)
{
	const struct config *c = &world.config;
	struct addr_list servers = { world.pod.resolvers, world.pod.nr_resolvers };
	size_t i;

	if (config_given(c, "dns-servers"))
		servers = c->dns_servers;
	for (i = 0; i < c->include.nr; i++)
		add_ends(&c->include.v[i]);
	for (i = 0; i < c->exclude.nr; i++)
		add_ends(&c->exclude.v[i]);
	for (i = 0; i < servers.nr; i++)
		add_ends(&(struct prefix){ servers.v[i], 128 });
	add_ends(&c->loopback);
	for (i = 0; i < world.pod.nr_routes; i++)
		if (c->ifaces.nr)
			add_ends(&world.pod.routes[i].dst);
}

/* --- flows ------------------------------------------------------------------------------------ */

static struct addr place(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a))
		errx(1, "not an address: %s", text);
	return a;
}

static void out(const struct who *who, int proto, enum how how, const char *src, struct addr dst,
		__u16 port)
{
	struct addr from = src ? place(src) : (struct addr){};
	struct out_flow f = { .who = *who,
			      .proto = proto,
			      .how = how,
			      .src = src ? &from : NULL,
			      .dst = dst,
			      .v6 = !addr_is_v4(&dst),
			      .port = port };

	if (world_reaches(&world, &dst))
		emit_outbound(&world, &f);
}

static void out_any(const struct who *who, __u16 port)
{
	struct out_flow f = { .who = *who, .proto = ST_TCP, .port = port };

	emit_outbound(&world, &f);
	f.v6 = 1;
	emit_outbound(&world, &f);
	f.mapped = 1;
	emit_outbound(&world, &f);
}

static void out_mapped(const struct who *who, int proto, enum how how, struct addr dst, __u16 port)
{
	struct out_flow f = { .who = *who,
			      .proto = proto,
			      .mapped = 1,
			      .v6 = 1,
			      .how = how,
			      .dst = dst,
			      .port = port };

	if (addr_is_v4(&dst) && world_reaches(&world, &dst))
		emit_outbound(&world, &f);
}

/* Every owner to a place of every kind. */
static void owners(void)
{
	static const char *const places[] = { "10.77.0.3", "10.96.0.10", "10.77.0.2",
					      "127.0.0.1", "127.0.0.2",	 "fd77::3",
					      "fd96::a",   "fd77::2",	 "::1" };
	const __u16 tunnel = world.config.tunnel_port;
	size_t i, j;

	for (i = 0; i < nr_whos; i++) {
		for (j = 0; j < LENGTH(places); j++) {
			out(&whos[i], ST_TCP, BY_CONNECT, NULL, place(places[j]), 80);
			out(&whos[i], ST_TCP, BY_CONNECT, NULL, place(places[j]), 53);
			out(&whos[i], ST_UDP, i % 2 ? BY_SEND : BY_CONNECT, NULL, place(places[j]),
			    53);
		}
		out(&whos[i], ST_TCP, BY_CONNECT, NULL, place("10.77.0.2"), tunnel);
		out(&whos[i], ST_TCP, BY_CONNECT, NULL, place("fd77::9"), tunnel);
		out(&whos[i], ST_TCP, BY_CONNECT, "127.0.0.6", place("10.77.0.2"), 80);
		out(&whos[i], ST_TCP, BY_CONNECT, "::6", place("fd77::2"), 80);
		out_mapped(&whos[i], ST_TCP, BY_CONNECT, place("10.77.0.3"), 80);
		out_mapped(&whos[i], ST_UDP, BY_SEND, place("10.96.0.10"), 53);
		out_any(&whos[i], 80);
	}
}

/* Both ends of every CIDR, and every resolver and its neighbours. */
static void destinations(void)
{
	struct who first = proxy();
	size_t i;

	for (i = 0; i < nr_ends; i++) {
		out(&app, ST_TCP, BY_CONNECT, NULL, ends[i], 80);
		out(&app, ST_TCP, BY_CONNECT, NULL, ends[i], 53);
		out(&app, ST_UDP, BY_SEND, NULL, ends[i], 53);
		out(&app, ST_UDP, BY_CONNECT, NULL, ends[i], 53);
		out_mapped(&app, ST_TCP, BY_NBCONNECT, ends[i], 80);
		out_mapped(&app, ST_UDP, BY_SEND, ends[i], 53);
		out(&first, ST_TCP, BY_CONNECT, NULL, ends[i], 80);
		out(&first, ST_UDP, BY_SEND, NULL, ends[i], 53);
	}
}

static void out_ports(void)
{
	static const char *const places[] = { "10.77.0.3", "10.77.0.2", "fd77::3", "fd77::2" };
	struct who first = proxy();
	size_t i, j;

	for (i = 0; i < nr_ports; i++) {
		for (j = 0; j < LENGTH(places); j++) {
			out(&app, ST_TCP, BY_CONNECT, NULL, place(places[j]), ports[i]);
			out(&first, ST_TCP, BY_CONNECT, NULL, place(places[j]), ports[i]);
			out(&app, ST_UDP, BY_CONNECT, NULL, place(places[j]), ports[i]);
		}
		out(&app, ST_TCP, BY_CONNECT, NULL, place("127.0.0.1"), ports[i]);
		for (j = 0; j < 4 && j < nr_ends; j++)
			out(&app, ST_TCP, BY_CONNECT, NULL, ends[j], ports[i]);
	}
}

static void inbound(void)
{
	static const char *const places[] = { "10.77.0.2", "10.77.0.9", "10.78.0.2",
					      "fd77::2",   "fd77::9",	"fd78::2" };
	struct addr to;
	size_t i, j;

	for (j = 0; j < LENGTH(places); j++) {
		to = place(places[j]);
		if (addr_is_v4(&to) && world.v6_only)
			continue;
		for (i = 0; i < nr_ports; i++)
			if (i < 4 || j % 3 == 0)
				emit_inbound(&world, ST_TCP, &to, ports[i]);
		emit_inbound(&world, ST_UDP, &to, 53);
		emit_inbound(&world, ST_UDP, &to, 5353);
	}
}

/* Sockets of one user that another one uses, that are bound, and that are used again. */
static void sockets(void)
{
	static const char *const bound[] = { "10.77.0.9", "fd77::9", "127.0.0.1", "::1" };
	struct who first = proxy(), used_by_app = first, used_by_proxy = app;
	size_t i;

	used_by_app.user_uid = used_by_app.user_gid = 1000;
	used_by_proxy.user_uid = first.uid;
	used_by_proxy.user_gid = first.gid;
	for (i = 0; i < LENGTH(bound); i++) {
		const char *to = i % 2 ? "fd77::3" : "10.77.0.3",
			   *pod = i % 2 ? "fd77::2" : "10.77.0.2";

		out(&used_by_app, ST_TCP, BY_CONNECT, NULL, place(to), 80);
		out(&used_by_proxy, ST_TCP, BY_CONNECT, NULL, place(to), 80);
		out(&used_by_app, ST_UDP, BY_SEND, NULL, place(to), 53);
		out(&used_by_proxy, ST_UDP, BY_SEND, NULL, place(to), 53);
		out(&app, ST_TCP, BY_CONNECT, bound[i], place(pod), 80);
		out(&first, ST_TCP, BY_CONNECT, bound[i], place(pod), 80);
		if (i < 2 && !(world.v6_only && i == 0)) {
			out(&app, ST_TCP, BY_CONNECT, bound[i], place(to), 80);
			out(&app, ST_UDP, BY_SEND, bound[i], place(to), 53);
		}
	}
	if (world.v6_only)
		return;
	emit_steps(&app, "tcp4", "connect=outside:80", "unspec", "connect=pod:80", "unspec",
		   "connect=outside:15020", NULL);
	emit_steps(&app, "tcp6", "connect=outside:15020", "unspec", "connect=outside:80", NULL);
	emit_steps(&app, "udp4", "send=svc:53", "send=outside:5353", "send=outside:53", NULL);
	emit_steps(&app, "udp6", "connect=svc:53", "connect=outside:5353", "connect=pod:53", NULL);
	emit_steps(&app, "udpm", "send2=svc:53,outside2:53", NULL);
}

int main(int argc, char **argv)
{
	world_init(&world, argc, argv);
	find_whos();
	find_ports();
	find_ends();
	owners();
	destinations();
	out_ports();
	inbound();
	sockets();
	return 0;
}
