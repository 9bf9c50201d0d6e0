/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy and a pod at random, and flows in it: does include/verdict.h say what the rules say? For
 * the unit test, which draws from a seed, and for the fuzzer.
 */
#ifndef SOCKTABLES_TRIAL_H
#define SOCKTABLES_TRIAL_H

#include "draw.h"
#include "oracle.h"

struct trial {
	struct draw_line line;
	struct config config;
	struct draw_pod pod;
	struct ruleset rs;
	struct oracle rules[2];
};

/* Returns 0, or -1 after it said on stderr what is wrong. */
int trial_init(struct trial *t, struct draw *d);
void trial_free(struct trial *t);

/* One more flow. Returns as trial_init(). */
int trial_flow(const struct trial *t, struct draw *d);

#endif
