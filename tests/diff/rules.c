// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Prints Istio's rules for any policy: diff_rules v4|v6 [--istio] [--v6-only] [POLICY FLAG]...
 * The text is for iptables-restore or ip6tables-restore; lines "# ip ..." are what Istio has ip do.
 * With "proxy" instead of v4 or v6 it prints who has to receive what they redirect, as arguments for
 * diff_sink.
 */
#include "world.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

static void print_proxy(const struct config *c)
{
	__u32 uid = c->uids.v[0], gid = c->gids.nr ? c->gids.v[0] : uid;

	printf("proxy=%u:%u agent=%u:%u proxy.tcp=%u,%u proxy.transparent=%d\n", uid, gid, uid, gid,
	       c->outbound_port, c->inbound_port, c->tproxy);
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "v4", "v6", "proxy" };
	struct world w;
	int mode = 0;

	while (argc > 1 && mode < 3 && strcmp(argv[1], modes[mode]))
		mode++;
	if (argc < 2 || mode == 3)
		errx(2, "usage: diff_rules v4|v6|proxy [--istio] [--v6-only] [POLICY FLAG]...");
	world_init(&w, argc - 1, argv + 1);
	if (mode == 2)
		print_proxy(&w.config);
	else
		oracle_print(stdout, &w.rules[mode]);
	return 0;
}
