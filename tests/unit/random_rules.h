/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random policies, as the rules that Istio would write for them, faults in such rules, and packets
 * for them; made of few values, so that they meet.
 */
#ifndef SOCKTABLES_RANDOM_RULES_H
#define SOCKTABLES_RANDOM_RULES_H

#include "draw.h"

#define RULES_MAX 65536 /* bytes of a text */

/* What follows is drawn from here; set it again to repeat some. */
extern struct draw random_draw;

/* A policy through the parser of flags; *ret_text: as it was given, 8192 bytes. */
void random_policy(struct config *c, char *ret_text);

/* Its rules in iptables-save's form, with comments, counters and log rules among them. */
void random_rules(const struct config *c, char text[RULES_MAX]);

/* One rule is dropped, doubled, moved or made another one, or another one comes before it. */
void random_fault(char *text);

/* src may be left unbound if it is not inbound. */
struct flow random_flow(const struct config *c, int v6, int inbound);

/* 1 if DNS rules are among them. */
int random_has_dns(const struct config *c);

#endif
