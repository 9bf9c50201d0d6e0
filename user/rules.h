/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What iptables-save and iptables -S print, as tables, chains and rules. Every rule is brought into
 * one form, however it was written, so that rules that say the same are equal strings. Knows
 * nothing of Istio, guesses nothing: a line that is not understood is an error, a rule that is not
 * says so.
 */
#ifndef SOCKTABLES_RULES_H
#define SOCKTABLES_RULES_H

#include <stdio.h>

#include "err.h"

enum rule_family { FAMILY_UNKNOWN, FAMILY_V4, FAMILY_V6 };
enum rule_table { TABLE_RAW, TABLE_MANGLE, TABLE_NAT, TABLE_FILTER, TABLE_UNKNOWN };

struct rule {
	int line;   /* of the text, from 1 */
	char *text; /* as it was written */
	/* The one form: iptables' own order, without -m, comments, counters and what matches all:
	 * "! -d 127.0.0.1 -o lo -p tcp --uid-owner 1337 -j ISTIO_IN_REDIRECT". Not all if odd.
	 */
	char *spec;
	char *odd;    /* what of the rule is not known here, or NULL */
	char *target; /* of -j or -g, or NULL: the rule only counts packets */
	int is_goto;  /* it is -g */
};

struct chain {
	char *name;
	int line; /* of its policy, 0 if it has none: then it is no chain of the kernel's */
	char *policy_text; /* as it was written, or NULL */
	int accepts;	   /* 1: its policy is ACCEPT */
	struct rule *rules;
	size_t nr, max;
};

struct table {
	enum rule_table name; /* security counts as filter: both can only drop */
	enum rule_family family;
	int told;   /* 1: the text says which family, not only the rules do */
	int listed; /* 1: by iptables -S, one table of many */
	int line;
	struct chain *chains;
	size_t nr, max;
};

struct rules {
	struct table *tables;
	size_t nr, max;
};

/* Reads until the end of f. Empty lines, comments and the fences of Markdown are skipped. Returns
 * 0, -EINVAL, -ENOMEM or what reading f failed with, e being filled. rules_free() may follow in any case.
 */
int rules_read(FILE *f, struct rules *ret, struct st_err *e);
void rules_free(struct rules *r);

/* The table of that family, or NULL. No other table than filter is there twice. */
const struct table *rules_table(const struct rules *r, enum rule_table name, int v6);

/* 1 if the table has rules. */
int table_has_rules(const struct table *t);

/* Adds "-A CHAIN ..." of that line. Returns 0, or -EINVAL or -ENOMEM with e filled. */
int table_add(struct table *t, int line, const char *text, struct st_err *e);
void table_free(struct table *t);

/* NULL if there is none of that name. */
const struct chain *table_chain(const struct table *t, const char *name);

/* 1 if it is a chain of the kernel's: traffic comes there by itself. */
int chain_is_hook(const char *name);

/* rules_effect.c */

/* The rules of a chain that do something to traffic: without those that only count or log, that
 * lead to chains without such rules, or that accept what a table that can only drop would let pass
 * anyway; and without a RETURN at the end.
 */
struct effective {
	const struct rule **v;
	size_t nr;
};

/* t and c may be NULL: not there. Returns 0 or -ENOMEM. Free v. */
int chain_effective(const struct table *t, const struct chain *c, struct effective *ret);

/* err_set() for a line of the text. Returns -EINVAL. */
int line_refused(struct st_err *e, int line, const char *text, const char *why, ...)
	__attribute__((format(printf, 4, 5)));

#endif
