/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads tests/cases.tsv: what has to happen to whom, one row each. */
#ifndef SOCKTABLES_ROWS_H
#define SOCKTABLES_ROWS_H

#include "../../user/ruleset.h"

/* The pod of all rows: 10.77.0.2, 10.77.0.9, fd77::2, fd77::9 are its own, 10.96.0.10 and fd96::a
 * its resolvers, 10.77.0.255 is a broadcast address. --ipv6=auto is off, with --dual-stack on, as its first address is IPv4.
 */
struct pod_facts rows_pod(const struct config *c);

struct row {
	char *name; /* with " (v6)" behind it for a twin */
	int line;   /* of the file, from 1 */
	int inbound;
	struct config config;
	struct ruleset rs;
	struct flow raw;  /* as a hook fills it before any list is asked */
	struct flow flow; /* classified */
	struct verdict want;
};

struct rows {
	struct row *v;
	size_t nr;
};

/* Rows that say the same of IPv6 get a twin right behind them: addresses and CIDRs translated by
 *   127.0.0.1 -> ::1         127.0.0.6 -> ::6          10.96.0.10 -> fd96::a
 *   10.77.0.2 -> fd77::2     10.77.0.9 -> fd77::9      0.0.0.0/0  -> ::/0
 *   any other a.b.c.d/n -> fd00::a.b.c.d/(96 + n)
 * and --ipv6=on. No twin: rows with --ipv6 or --ipv4-loopback-cidr or an IPv6 address, the rest of
 * 127.0.0.0/8 (IPv6 has but ::1), CIDRs that hold one of the addresses above and more, and rows
 * of out-source-loopback, which IPv6 does not know, and of out-not-unicast, whose addresses differ.
 * Returns 0, or -errno with e filled: 'FILE:LINE: what is wrong'. Free with rows_free().
 */
int rows_read(const char *path, struct rows *ret, struct st_err *e);
void rows_free(struct rows *rows);

#endif
