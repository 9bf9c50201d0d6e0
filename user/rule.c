/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One rule of iptables: from words to the one form that rules.h tells of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules_impl.h"

#define ODD_MAX 200

struct part {
	enum rank rank;
	char text[FORM_MAX + 32];
};

struct parser {
	const struct words *w;
	size_t at;
	const char *match;  /* of the last -m */
	const char *target; /* of -j */
	int is_goto;
	int negated;
	struct part *parts;
	size_t nr, max;
	enum rule_family *family;
	char odd[ODD_MAX];
	int err;
};

/* The first reason counts. Words may hold anything, a message is one line of plain text. */
static void odd(struct parser *p, const char *word, const char *why)
{
	char *c;

	if (p->odd[0])
		return;
	snprintf(p->odd, sizeof(p->odd), "'%.60s' is %s", word, why);
	for (c = p->odd; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
}

static struct part *add_part(struct parser *p, enum rank rank)
{
	struct part *bigger;

	if (p->nr == p->max) {
		bigger = reallocarray(p->parts, p->max * 2 + 8, sizeof(*bigger));
		if (!bigger) {
			p->err = -ENOMEM;
			return NULL;
		}
		p->parts = bigger;
		p->max = p->max * 2 + 8;
	}
	p->parts[p->nr].rank = rank;
	return &p->parts[p->nr++];
}

/* A '!' in front of a value is the old way to negate the option. */
static void take_negation(struct parser *p)
{
	if (p->at < p->w->nr && !strcmp(p->w->v[p->at], "!")) {
		p->at++;
		p->negated++;
	}
}

/* The next word, or NULL: then the rule is odd, since an option needs one. */
static const char *next_value(struct parser *p, const char *option)
{
	if (p->at < p->w->nr)
		return p->w->v[p->at++];
	odd(p, option, "without a value");
	return NULL;
}

static const char *note_family(struct parser *p, const char *cidr)
{
	enum rule_family family = strchr(cidr, ':') ? FAMILY_V6 : FAMILY_V4;

	if (*p->family != FAMILY_UNKNOWN && *p->family != family)
		return "of another family than the other address";
	*p->family = family;
	return NULL;
}

static void take_option(struct parser *p, const struct option_form *o, const char *name)
{
	char value[FORM_MAX] = "", shown[64];
	const char *text = "", *why = NULL;
	struct part *part;

	if (o->value) {
		if (o->print)
			take_negation(p);
		text = next_value(p, name);
		if (!text)
			return;
		why = o->value(text, value);
		if (!why && o->rank <= RANK_DESTINATION)
			why = note_family(p, text);
		if (!why && o->print && !*value && p->negated)
			why = "negated, and so matches nothing";
	}
	if (p->negated > 1 || (p->negated && (!o->print || o->rank >= RANK_TARGET)))
		why = "negated, which means nothing";
	snprintf(shown, sizeof(shown), "%s%s%s", name, *text ? " " : "", text);
	if (why)
		odd(p, shown, why);
	if (why || !o->print || (o->value && !*value))
		return;
	part = add_part(p, o->rank);
	if (part)
		snprintf(part->text, sizeof(part->text), "%s%s%s%s", p->negated ? "! " : "",
			 o->print, *value ? " " : "", value);
}

static void take_target(struct parser *p, const char *name)
{
	const char *value = next_value(p, name);
	struct part *part;

	if (!value)
		return;
	if (p->target || p->negated || strlen(value) >= FORM_MAX || strpbrk(value, " \t")) {
		odd(p, name, "not one target");
		p->target = "?";
		return;
	}
	p->is_goto = name[1] == 'g' || !strcmp(name, "--goto");
	p->target = value;
	part = add_part(p, RANK_TARGET);
	if (part)
		snprintf(part->text, sizeof(part->text), "%.2s %s",
			 name[1] == '-' ? name + 1 : name, value);
}

static void take_word(struct parser *p, const char *word)
{
	const struct option_form *o;

	if (!strcmp(word, "-m") || !strcmp(word, "--match")) {
		p->match = next_value(p, word);
		if (p->match && (p->negated || !match_known(p->match)))
			odd(p, p->match, "a match that is not known here");
	} else if (!strcmp(word, "-j") || !strcmp(word, "--jump") || !strcmp(word, "-g") ||
		   !strcmp(word, "--goto")) {
		take_target(p, word);
	} else if (!strcmp(word, "-c") || !strcmp(word, "--set-counters")) {
		next_value(p, word);
		next_value(p, word);
	} else if ((o = option_form(word, p->match, p->target))) {
		take_option(p, o, word);
	} else {
		odd(p, word, "not known here");
	}
}

/* Part by part in the order of ranks; within one as they came. */
static char *join_parts(struct parser *p)
{
	char *spec = malloc(p->nr * sizeof(struct part) + 1), *end = spec;
	const struct part *part, *last = NULL;
	enum rank rank;
	size_t i;

	if (!spec)
		return NULL;
	*end = '\0';
	for (rank = RANK_SOURCE; rank <= RANK_TPROXY_MARK; rank++) {
		for (i = 0; i < p->nr; i++) {
			part = &p->parts[i];
			if (part->rank != rank)
				continue;
			if (last && last->rank == rank && rank != RANK_OWNER &&
			    rank != RANK_ARGUMENT)
				odd(p, part->text, "there twice");
			end += sprintf(end, "%s%s", last ? " " : "", part->text);
			last = part;
		}
	}
	return spec;
}

void rule_free(struct rule *r)
{
	free(r->text);
	free(r->spec);
	free(r->odd);
	free(r->target);
	*r = (struct rule){ 0 };
}

int rule_parse(const struct words *w, size_t first, enum rule_family *family, struct rule *ret)
{
	struct parser p = { .w = w, .at = first, .family = family };

	while (p.at < w->nr && !p.err) {
		p.negated = 0;
		take_negation(&p);
		if (p.at < w->nr)
			take_word(&p, w->v[p.at++]);
		else
			odd(&p, "!", "without anything to negate");
	}
	*ret = (struct rule){ .is_goto = p.is_goto };
	ret->spec = join_parts(&p);
	ret->target = p.target ? strdup(p.target) : NULL;
	ret->odd = p.odd[0] ? strdup(p.odd) : NULL;
	if (!ret->spec || (p.target && !ret->target) || (p.odd[0] && !ret->odd))
		p.err = -ENOMEM;
	free(p.parts);
	if (p.err)
		rule_free(ret);
	return p.err;
}
