/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy as its flags say it, and the pod that world_make (world.sh) makes for it, as data: what
 * the programs need that print rules and flows of any policy.
 */
#ifndef DIFF_WORLD_H
#define DIFF_WORLD_H

#include "../unit/oracle.h"

struct world {
	struct config config;
	struct pod_facts pod;
	struct oracle rules[2]; /* of IPv4 and IPv6 */
	int v6_only;		/* the pod has no IPv4 address but those of lo */
};

/* From argv[1..]: policy flags as for attach; --istio: the defaults of istio-iptables instead of
 * those of attach; --v6-only. Takes all of them, or ends the program.
 */
void world_init(struct world *w, int argc, char **argv);

/* Whether somebody is there: no broadcast or multicast address, nor one of a link that no host has. */
int world_reaches(const struct world *w, const struct addr *a);

#endif
