/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Policies, pods and flows at random, of few values, so that they meet. From a seed, or from the
 * bytes of a fuzzer.
 */
#ifndef SOCKTABLES_DRAW_H
#define SOCKTABLES_DRAW_H

#include <stdio.h>

#include "../../user/ruleset.h"

struct draw {
	__u64 seed;
	const __u8 *bytes; /* instead of the seed, if not NULL; zeros behind the last one */
	size_t left;
};

/* 0 to n - 1 */
__u32 draw(struct draw *d, __u32 n);

/* A policy as a command line, so that the parser takes part. argv[0] is a program's name. */
#define DRAW_FLAGS 24
#define DRAW_TEXT 512
struct draw_line {
	char text[DRAW_FLAGS][DRAW_TEXT];
	char *argv[DRAW_FLAGS + 2];
	int argc;
};

/* For a pod whose interfaces are lo, eth0 and eth1. */
void draw_policy(struct draw *d, struct draw_line *ret);

/* A pod with the addresses of rows_pod(), more local prefixes, interfaces and routes. */
struct draw_pod {
	struct pod_facts facts; /* points into the arrays */
	struct prefix local[8];
	struct route routes[8];
	struct iface ifaces[3];
	struct addr resolvers[4];
};

void draw_pod(struct draw *d, const struct config *c, struct draw_pod *ret);

/* One of the values that policies are made of, or an end of one of the policy's CIDRs. */
struct addr draw_addr(struct draw *d, const struct config *c, int v6);
__u16 draw_port(struct draw *d);
__u32 draw_id(struct draw *d);

/* Not classified; no interface. */
struct flow draw_flow(struct draw *d, const struct config *c, int v6, int inbound);

/* One line that tells a flow, without its end. */
void flow_print(FILE *f, const struct flow *flow, int inbound);

/* The addresses at both ends of a prefix. */
enum prefix_end { END_BEFORE, END_FIRST, END_LAST, END_AFTER };
#define NR_ENDS 4

/* Returns 0 if there is none, as before 0.0.0.0, else 1. */
int prefix_end(const struct prefix *p, enum prefix_end end, struct addr *ret);

#endif
