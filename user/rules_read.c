/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lines of iptables-save and iptables -S. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "rules_impl.h"

enum { PREROUTING = 1, INPUT = 2, FORWARD = 4, OUTPUT = 8, POSTROUTING = 16 };

/* Which table it is can be told from its chains, and -S says it in no other way. */
static const struct {
	unsigned int hooks;
	enum rule_table name;
} tables_by_hooks[] = {
	{ PREROUTING | OUTPUT, TABLE_RAW },
	{ PREROUTING | INPUT | FORWARD | OUTPUT | POSTROUTING, TABLE_MANGLE },
	{ PREROUTING | INPUT | OUTPUT | POSTROUTING, TABLE_NAT },
	{ PREROUTING | OUTPUT | POSTROUTING, TABLE_NAT },
	{ INPUT | FORWARD | OUTPUT, TABLE_FILTER },
};

struct reader {
	struct rules *r;
	struct st_err *e;
	int line;
	int open;	       /* the last table takes more lines */
	int listing;	       /* it is of iptables -S: its name follows from its policies */
	unsigned int hooks;    /* those that had a policy so far */
	enum rule_family hint; /* of the next table */
};

static struct table *last_table(struct reader *rd)
{
	return &rd->r->tables[rd->r->nr - 1];
}

static int open_table(struct reader *rd, enum rule_table name, int listing)
{
	struct table *t = rules_new_table(rd->r);

	if (!t)
		return err_sys(rd->e, ENOMEM, "rules", NULL);
	t->name = name;
	t->line = rd->line;
	t->listed = listing;
	t->family = rd->hint;
	t->told = rd->hint != FAMILY_UNKNOWN;
	rd->hint = FAMILY_UNKNOWN;
	rd->open = 1;
	rd->listing = listing;
	rd->hooks = 0;
	return 0;
}

/* All policies of a table of iptables -S were there. */
static void name_table(struct reader *rd)
{
	struct table *t;
	size_t i;

	if (!rd->open || !rd->listing)
		return;
	t = last_table(rd);
	for (i = 0; i < sizeof(tables_by_hooks) / sizeof(tables_by_hooks[0]); i++)
		if (tables_by_hooks[i].hooks == rd->hooks)
			t->name = tables_by_hooks[i].name;
}

/* A table of iptables -S ends where something else begins, one of iptables-save says so itself. */
static int close_table(struct reader *rd)
{
	char what[32];

	name_table(rd);
	if (rd->open && !rd->listing) {
		snprintf(what, sizeof(what), "line %d", last_table(rd)->line);
		return err_set(rd->e, EINVAL, what, NULL,
			       "no COMMIT behind this table: the text was cut off");
	}
	rd->open = 0;
	return 0;
}

static int set_policy(struct reader *rd, const char *name, const char *policy, const char *text)
{
	struct chain *c = table_get_chain(last_table(rd), name);

	if (!c)
		return err_sys(rd->e, ENOMEM, "rules", NULL);
	free(c->policy_text);
	c->policy_text = strdup(text);
	if (!c->policy_text)
		return err_sys(rd->e, ENOMEM, "rules", NULL);
	c->accepts = !strcmp(policy, "ACCEPT");
	c->line = rd->line;
	return 0;
}

/* -P CHAIN POLICY: one that does not come after the last one's hook begins a new table. */
static int take_policy(struct reader *rd, const struct words *w, const char *text)
{
	int err, hook = w->nr < 3 ? -1 : rules_hook(w->v[1]);

	if (hook < 0)
		return line_refused(rd->e, rd->line, text, "no policy of a chain of the kernel's");
	if (!rd->open ||
	    (rd->listing && (rd->hooks >> hook || last_table(rd)->name != TABLE_UNKNOWN))) {
		err = close_table(rd) ?: open_table(rd, TABLE_UNKNOWN, 1);
		if (err)
			return err;
	}
	rd->hooks |= 1U << hook;
	return set_policy(rd, w->v[1], w->v[2], text);
}

/* :CHAIN POLICY [0:0], - being the policy of a chain that is not the kernel's */
static int take_chain(struct reader *rd, const struct words *w, const char *text)
{
	const char *name = w->v[0] + 1;

	if (!rd->open || rd->listing || w->nr < 2 || !*name)
		return line_refused(rd->e, rd->line, text, "not a chain of a table");
	if (!strcmp(w->v[1], "-"))
		return table_get_chain(last_table(rd), name)
			       ? 0
			       : err_sys(rd->e, ENOMEM, "rules", NULL);
	if (rules_hook(name) < 0)
		return line_refused(rd->e, rd->line, text, "no policy of a chain of the kernel's");
	return set_policy(rd, name, w->v[1], text);
}

static int take_table(struct reader *rd, const char *text)
{
	static const struct {
		const char *text;
		enum rule_table name;
	} names[] = { { "raw", TABLE_RAW },
		      { "mangle", TABLE_MANGLE },
		      { "nat", TABLE_NAT },
		      { "filter", TABLE_FILTER },
		      { "security", TABLE_FILTER } };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(text + 1, names[i].text)) {
			return close_table(rd) ?: open_table(rd, names[i].name, 0);
		}
	}
	return line_refused(rd->e, rd->line, text, "not a table of iptables");
}

/* -A, with counters in front of it or not, and -N */
static int take_rule(struct reader *rd, const struct words *w, size_t at, const char *text)
{
	int is_new = !strcmp(w->v[at], "-N") || !strcmp(w->v[at], "--new-chain");

	if (rd->open && rd->listing && last_table(rd)->name == TABLE_UNKNOWN)
		name_table(rd);
	if (!rd->open || last_table(rd)->name == TABLE_UNKNOWN) {
		err_hint(rd->e,
			 "take all that iptables-save prints, or whole tables of iptables -S");
		return line_refused(rd->e, rd->line, text,
				    "the lines before it do not tell its table");
	}
	if (!is_new)
		return table_add_words(last_table(rd), w, at + 1, rd->line, text, rd->e);
	if (at + 2 != w->nr)
		return line_refused(rd->e, rd->line, text, "names no chain");
	return table_get_chain(last_table(rd), w->v[at + 1])
		       ? 0
		       : err_sys(rd->e, ENOMEM, "rules", NULL);
}

static int take_words(struct reader *rd, const struct words *w, const char *text)
{
	size_t at = w->v[0][0] == '[' && w->nr > 1;

	if (w->v[0][0] == ':')
		return take_chain(rd, w, text);
	if (!strcmp(w->v[0], "-P") || !strcmp(w->v[0], "--policy"))
		return take_policy(rd, w, text);
	if (!strcmp(w->v[at], "-A") || !strcmp(w->v[at], "--append") || !strcmp(w->v[at], "-N") ||
	    !strcmp(w->v[at], "--new-chain"))
		return take_rule(rd, w, at, text);
	err_hint(rd->e, "take what iptables-save prints");
	return line_refused(rd->e, rd->line, text, "not a line of iptables-save or iptables -S");
}

/* "# Generated by ip6tables-save ..." and what people write above a dump: which family is next. */
static int take_comment(struct reader *rd, const char *text)
{
	/* iptables-nft about rules that were not made by it */
	if (strstr(text, "is incompatible, use 'nft' tool"))
		return line_refused(rd->e, rd->line, text,
				    "there are rules that iptables cannot show");
	if (!strstr(text, "-save") && !strstr(text, " -S"))
		return 0;
	if (strstr(text, "ip6tables"))
		rd->hint = FAMILY_V6;
	else if (strstr(text, "iptables"))
		rd->hint = FAMILY_V4;
	return 0;
}

static int take_line(struct reader *rd, const char *text)
{
	struct words w;
	int err;

	if (!*text)
		return 0;
	if (*text == '#')
		return take_comment(rd, text);
	if (!strcmp(text, "COMMIT") && rd->open && !rd->listing) {
		rd->open = 0;
		return 0;
	}
	if (!strncmp(text, "```", 3))
		return close_table(rd);
	if (*text == '*')
		return take_table(rd, text);
	err = line_split(text, rd->line, &w, rd->e);
	if (err)
		return err;
	err = take_words(rd, &w, text);
	words_free(&w);
	return err;
}

static int read_lines(struct reader *rd, FILE *f)
{
	char *line = NULL, *text;
	size_t size = 0, n;
	ssize_t got;
	int err = 0;

	while (!err && (got = getline(&line, &size, f)) != -1) {
		rd->line++;
		n = strlen(line);
		text = line + strspn(line, " \t");
		if (n != (size_t)got)
			err = line_refused(rd->e, rd->line, text, "a NUL byte is in it");
		while (n && strchr(" \t\r\n", line[n - 1]))
			line[--n] = '\0';
		text = line + strspn(line, " \t");
		err = err ?: take_line(rd, text);
	}
	if (!err && !feof(f)) /* without memory getline() sets no error indicator */
		err = err_sys(rd->e, errno, "rules", NULL);
	free(line);
	return err ?: close_table(rd);
}

int rules_read(FILE *f, struct rules *ret, struct st_err *e)
{
	struct reader rd = { .r = ret, .e = e };
	int err;

	*ret = (struct rules){ 0 };
	err = read_lines(&rd, f);
	return err ? err : rules_place(ret, e);
}
