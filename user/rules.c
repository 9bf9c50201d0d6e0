/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables, chains and rules. */
#include "rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rules_impl.h"
#include "values.h"

#define WHY_MAX 400

int rules_hook(const char *name)
{
	static const char *const hooks[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
					     "POSTROUTING" };
	size_t i;

	for (i = 0; i < sizeof(hooks) / sizeof(*hooks); i++)
		if (!strcmp(hooks[i], name))
			return i;
	return -1;
}

int chain_is_hook(const char *name)
{
	return rules_hook(name) >= 0;
}

int line_refused(struct st_err *e, int line, const char *text, const char *why, ...)
{
	char what[32], formatted[WHY_MAX];
	va_list ap;

	va_start(ap, why);
	vsnprintf(formatted, sizeof(formatted), why, ap);
	va_end(ap);
	snprintf(what, sizeof(what), "line %d", line);
	return value_refused(e, what, text, formatted);
}

/* Room for one more element. Returns it, zeroed, or NULL. */
static void *grow(void **array, size_t *nr, size_t *max, size_t size)
{
	void *bigger;

	if (*nr == *max) {
		bigger = reallocarray(*array, *max * 2 + 8, size);
		if (!bigger)
			return NULL;
		*array = bigger;
		*max = *max * 2 + 8;
	}
	return memset((char *)*array + (*nr)++ * size, 0, size);
}

#define GROW(p, array) grow((void **)&(p)->array, &(p)->nr, &(p)->max, sizeof(*(p)->array))

const struct chain *table_chain(const struct table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->nr; i++)
		if (!strcmp(t->chains[i].name, name))
			return &t->chains[i];
	return NULL;
}

struct chain *table_get_chain(struct table *t, const char *name)
{
	struct chain *c = (struct chain *)table_chain(t, name);

	if (c)
		return c;
	c = GROW(t, chains);
	if (c && !(c->name = strdup(name))) {
		t->nr--;
		return NULL;
	}
	return c;
}

int table_has_rules(const struct table *t)
{
	size_t i, nr = 0;

	for (i = 0; i < t->nr; i++)
		nr += t->chains[i].nr;
	return nr > 0;
}

static int set_family(struct table *t, enum rule_family family, int line, const char *text,
		      struct st_err *e)
{
	static const char *const names[] = { [FAMILY_V4] = "IPv4", [FAMILY_V6] = "IPv6" };

	if (family == FAMILY_UNKNOWN || t->family == family)
		return 0;
	if (t->family != FAMILY_UNKNOWN)
		return line_refused(e, line, text, "an %s address in a table of %s", names[family],
				    names[t->family]);
	t->family = family;
	return 0;
}

int table_add_words(struct table *t, const struct words *w, size_t at, int line, const char *text,
		    struct st_err *e)
{
	enum rule_family family = FAMILY_UNKNOWN;
	struct rule rule, *to;
	struct chain *c;

	if (at >= w->nr)
		return line_refused(e, line, text, "names no chain");
	if (rule_parse(w, at + 1, &family, &rule))
		return err_sys(e, ENOMEM, "rules", NULL);
	rule.line = line;
	rule.text = strdup(text);
	c = table_get_chain(t, w->v[at]);
	to = c && rule.text ? GROW(c, rules) : NULL;
	if (!to) {
		rule_free(&rule);
		return err_sys(e, ENOMEM, "rules", NULL);
	}
	*to = rule;
	return set_family(t, family, line, text, e);
}

int line_split(const char *text, int line, struct words *ret, struct st_err *e)
{
	int err = words_split(text, ret);

	if (err == -EINVAL)
		return line_refused(e, line, text, "a quote is left open");
	return err ? err_sys(e, -err, "rules", NULL) : 0;
}

int table_add(struct table *t, int line, const char *text, struct st_err *e)
{
	struct words w = { 0 };
	int err = line_split(text, line, &w, e);

	if (err)
		return err;
	err = table_add_words(t, &w, 1, line, text, e);
	words_free(&w);
	return err;
}

struct table *rules_new_table(struct rules *r)
{
	return GROW(r, tables);
}

const struct table *rules_table(const struct rules *r, enum rule_table name, int v6)
{
	const struct table *t, *found = NULL;
	size_t i;

	for (i = 0; i < r->nr; i++) {
		t = &r->tables[i];
		if (t->name == name && t->family == (v6 ? FAMILY_V6 : FAMILY_V4) &&
		    (!found || table_has_rules(t)))
			found = t;
	}
	return found;
}

/* What names no address reads the same in both families, which come one after the other. */
static int place_table(const struct rules *r, struct table *t, struct st_err *e)
{
	static const char *const names[] = {
		[TABLE_RAW] = "raw", [TABLE_MANGLE] = "mangle", [TABLE_NAT] = "nat"
	};
	const struct table *other = rules_table(r, t->name, 0);
	size_t i;

	if (t->family == FAMILY_UNKNOWN)
		t->family = other && table_has_rules(other) ? FAMILY_V6 : FAMILY_V4;
	for (i = 0; i < r->nr; i++) {
		other = &r->tables[i];
		if (other != t && other->name == t->name && other->family == t->family &&
		    table_has_rules(other))
			return err_set(e, EINVAL, "table", names[t->name],
				       "there twice for %s, the second time from line %d on",
				       t->family == FAMILY_V6 ? "IPv6" : "IPv4",
				       t->line > other->line ? t->line : other->line);
	}
	return 0;
}

static void place_empty_table(const struct rules *r, struct table *t)
{
	if (t->family == FAMILY_UNKNOWN)
		t->family = rules_table(r, t->name, 0) ? FAMILY_V6 : FAMILY_V4;
}

int rules_place(struct rules *r, struct st_err *e)
{
	int neutral, err = 0;
	struct table *t;
	size_t i;

	for (neutral = 0; neutral < 2; neutral++) {
		for (i = 0; !err && i < r->nr; i++) {
			t = &r->tables[i];
			if (t->name < TABLE_FILTER && table_has_rules(t) &&
			    (t->family == FAMILY_UNKNOWN) == neutral)
				err = place_table(r, t, e);
		}
	}
	for (i = 0; i < r->nr; i++)
		if (!table_has_rules(&r->tables[i]))
			place_empty_table(r, &r->tables[i]);
	return err;
}

static void chain_free(struct chain *c)
{
	size_t i;

	for (i = 0; i < c->nr; i++)
		rule_free(&c->rules[i]);
	free(c->rules);
	free(c->name);
	free(c->policy_text);
}

void table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->nr; i++)
		chain_free(&t->chains[i]);
	free(t->chains);
	*t = (struct table){ 0 };
}

void rules_free(struct rules *r)
{
	size_t i;

	for (i = 0; i < r->nr; i++)
		table_free(&r->tables[i]);
	free(r->tables);
	*r = (struct rules){ 0 };
}

int words_split(const char *text, struct words *ret)
{
	size_t max = strlen(text) / 2 + 1;
	struct words w = { calloc(max, sizeof(*w.v)), 0, malloc(strlen(text) + 1) };
	char *to = w.buffer;
	int quoted = 0;

	if (!w.v || !w.buffer) {
		words_free(&w);
		return -ENOMEM;
	}
	for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
		w.v[w.nr++] = to;
		for (; *text && (quoted || (*text != ' ' && *text != '\t')); text++) {
			if (*text == '"')
				quoted = !quoted;
			else if (quoted && *text == '\\' && text[1])
				*to++ = *++text;
			else
				*to++ = *text;
		}
		*to++ = '\0';
	}
	if (quoted) {
		words_free(&w);
		return -EINVAL;
	}
	*ret = w;
	return 0;
}

void words_free(struct words *w)
{
	free(w->v);
	free(w->buffer);
	*w = (struct words){ 0 };
}
