/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Between rules.c, rules_read.c, rule.c and rule_form.c. */
#ifndef SOCKTABLES_RULES_IMPL_H
#define SOCKTABLES_RULES_IMPL_H

#include "rules.h"

struct words {
	char **v;
	size_t nr;
	char *buffer; /* they stand here */
};

/* Splits like iptables-restore: at blanks, "..." groups, \ in it takes the next byte as it is.
 * Returns 0, -EINVAL if a quote is left open, or -ENOMEM; then there is nothing to free.
 */
int words_split(const char *text, struct words *ret);
void words_free(struct words *w);

/* Parses what follows -A CHAIN, from w->v[first] on. *family has to be unknown, and becomes that of
 * the addresses, if there are any. text and line are left to the caller. Returns 0 or -ENOMEM.
 */
int rule_parse(const struct words *w, size_t first, enum rule_family *family, struct rule *ret);
void rule_free(struct rule *r);

/* The number of the kernel's chain of that name, in the order in which iptables -S prints them, or
 * -1.
 */
int rules_hook(const char *name);

/* New elements. Return NULL without memory. */
struct table *rules_new_table(struct rules *r);
struct chain *table_get_chain(struct table *t, const char *name);

/* Adds a rule. w: its line, w->v[at] being the chain. */
int table_add_words(struct table *t, const struct words *w, size_t at, int line, const char *text,
		    struct st_err *e);

/* words_split() of a line. */
int line_split(const char *text, int line, struct words *ret, struct st_err *e);

/* When all tables are there: finds the family of those that do not tell. */
int rules_place(struct rules *r, struct st_err *e);

/* rule_form.c */

#define FORM_MAX 128 /* bytes of a value in the one form */

/* Where an option stands in the one form; the order is iptables' own. */
enum rank {
	RANK_SOURCE,
	RANK_DESTINATION,
	RANK_IN,
	RANK_OUT,
	RANK_PROTOCOL,
	RANK_SPORT,
	RANK_DPORT,
	RANK_DPORTS,
	RANK_STATE,
	RANK_MARK,
	RANK_CONNMARK,
	RANK_OWNER, /* may be there several times */
	RANK_TARGET,
	RANK_ARGUMENT, /* of the target, several */
	RANK_TPROXY_MARK,
};

struct option_form {
	const char *names[3];
	const char *module; /* what it belongs to, if its name is not its own; of -m or -j */
	const char *print;  /* its name in the one form; NULL: it says nothing of traffic */
	enum rank rank;
	/* Brings a value into the one form. Returns NULL, or why it is not known here; an empty ret
	 * means that the option matches everything. NULL: it takes no value.
	 */
	const char *(*value)(const char *text, char ret[FORM_MAX]);
};

/* An option of these modules (or NULL), or NULL if it is not known here. */
const struct option_form *option_form(const char *name, const char *match, const char *target);

/* 1 if -m of that name brings no option but those above. */
int match_known(const char *name);

#endif
