// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Policies and flows at random, the same again for the same seed:
 *
 *	diff_random policy SEED			the flags of one, quoted as in a shell
 *	diff_random flows SEED COUNT FLAG...	flows for a policy, in the form of emit.h
 */
#include "emit.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/draw.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct world world;

static void print_policy(struct draw *d)
{
	struct draw_line line;
	const char *text;
	int i;

	draw_policy(d, &line);
	for (i = 1; i < line.argc; i++) {
		text = line.argv[i];
		if (text[strcspn(text, "*")])
			printf("%s'%s'", i > 1 ? " " : "", text);
		else
			printf("%s%s", i > 1 ? " " : "", text);
	}
	putchar('\n');
}

static struct who any_who(struct draw *d)
{
	const struct config *c = &world.config;
	struct who who = { draw_id(d), draw_id(d), 0, 0 };

	if (!draw(d, 3))
		who.uid = c->uids.v[draw(d, c->uids.nr)];
	if (!draw(d, 3))
		who.uid = who.gid = 1000;
	who.user_uid = who.uid;
	who.user_gid = who.gid;
	if (!draw(d, 6))
		who.user_uid = draw_id(d);
	return who;
}

static struct addr any_place(struct draw *d, int v6)
{
	struct addr a;

	do
		a = draw_addr(d, &world.config, v6);
	while (!world_reaches(&world, &a));
	return a;
}

static const struct addr *any_source(struct draw *d, int v6, struct addr *ret)
{
	static const char *const sources[][4] = {
		{ "10.77.0.2", "10.77.0.9", "127.0.0.1", "127.0.0.6" },
		{ "fd77::2", "fd77::9", "::1", "::6" },
	};

	if (draw(d, 5) || addr_parse(sources[v6][draw(d, 4)], ret))
		return NULL;
	return ret;
}

static void put_outbound(struct draw *d)
{
	struct out_flow f = { .proto = draw(d, 3) ? ST_TCP : ST_UDP, .v6 = draw(d, 2) };
	struct addr src;

	f.who = any_who(d);
	f.src = any_source(d, f.v6, &src);
	if (draw(d, 16))
		f.dst = any_place(d, f.v6);
	f.port = draw(d, 3) ? draw_port(d) : 53;
	f.how = f.proto == ST_UDP ? draw(d, 2) : draw(d, 8) ? BY_CONNECT : BY_NBCONNECT;
	if (!f.v6 && !draw(d, 4))
		f.mapped = f.v6 = 1;
	emit_outbound(&world, &f);
}

static void put_inbound(struct draw *d)
{
	static const char *const own[] = { "fd77::2",	"fd77::9",   "fd78::2",
					   "10.77.0.2", "10.77.0.9", "10.78.0.2" };
	struct addr to;

	addr_parse(own[draw(d, world.v6_only ? 3 : LENGTH(own))], &to);
	emit_inbound(&world, draw(d, 5) ? ST_TCP : ST_UDP, &to, draw_port(d));
}

static int is_own(const struct addr *a)
{
	size_t i;

	for (i = 0; i < world.pod.nr_local; i++) {
		if (addr_equal(a, &world.pod.local[i].addr))
			return 1;
	}
	return addr_is_loopback(a) || addr_is_passthrough(a);
}

/* One socket, several destinations. Those of UDP are outside: a resolver in the pod is asked from
 * another source address than one outside, and a UDP socket keeps the first one it had; which that
 * is differs by design between a socket that is redirected and packets that are.
 */
static void put_steps(struct draw *d)
{
	static const char *const tcp[] = { "connect", "unspec", "connect", "unspec", "connect" };
	int udp = draw(d, 2), v6 = draw(d, 2), i, nr = 2 + draw(d, 2);
	char steps[5][PREFIX_TEXT_MAX + 32], text[PREFIX_TEXT_MAX], protocol[5];
	struct who who = any_who(d);
	struct addr a;
	const char *verb;

	snprintf(protocol, sizeof(protocol), "%s%c", udp ? "udp" : "tcp", "46"[v6]);
	for (i = 0; i < 5; i++) {
		do
			a = any_place(d, v6);
		while (udp && is_own(&a));
		addr_print(&a, text);
		verb = !udp ? tcp[i] : draw(d, 2) ? "connect" : "send";
		snprintf(steps[i], sizeof(steps[i]), v6 ? "%s=[%s]:%u" : "%s=%s:%u", verb, text,
			 draw(d, 2) ? 53 : draw_port(d));
		if (!strcmp(verb, "unspec"))
			strcpy(steps[i], verb);
	}
	if (!udp)
		nr = 2 * nr - 1;
	emit_steps(&who, protocol, steps[0], steps[1], nr > 2 ? steps[2] : NULL,
		   nr > 3 ? steps[3] : NULL, steps[4], NULL);
}

int main(int argc, char **argv)
{
	struct draw d = { 0 };
	int i, n;

	if (argc < 3)
		errx(2, "usage: diff_random policy SEED | flows SEED COUNT FLAG...");
	d.seed = strtoull(argv[2], NULL, 10);
	if (!strcmp(argv[1], "policy")) {
		print_policy(&d);
		return 0;
	}
	n = argc > 3 ? atoi(argv[3]) : 0;
	world_init(&world, argc - 3, argv + 3);
	d.seed += 0x5eed; /* not the numbers of the policy once more */
	for (i = 0; i < n; i++) {
		if (!draw(&d, 5))
			put_inbound(&d);
		else if (!draw(&d, 8))
			put_steps(&d);
		else
			put_outbound(&d);
	}
	return 0;
}
