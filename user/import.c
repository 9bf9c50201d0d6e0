/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "istio_rules.h"
#include "options.h"

/* The first rule of a table that is not what it should be. */
struct mismatch {
	const char *chain;	     /* NULL: there is none */
	const struct rule *rule;     /* that is there, or NULL: one is missing */
	const struct rule *expected; /* NULL: none */
	const struct rule *after;    /* the last one that is right, if one is missing; or NULL */
};

static const char *const table_names[] = { [TABLE_RAW] = "raw",
					   [TABLE_MANGLE] = "mangle",
					   [TABLE_NAT] = "nat",
					   [TABLE_FILTER] = "filter",
					   [TABLE_UNKNOWN] = "?" };

/* A rule that is wrong says more than one that is missing, which may only have moved. */
static int comes_before(const struct mismatch *a, const struct mismatch *b)
{
	const struct rule *x = a->rule ?: a->after, *y = b->rule ?: b->after;

	if (!a->rule != !b->rule)
		return a->rule != NULL;
	return x && (!y || x->line < y->line);
}

/* Adds to *fitting how many rules are right, and to *m if it comes first. */
static void compare_rules(const char *chain, const struct effective *is,
			  const struct effective *should, struct mismatch *m, size_t *fitting)
{
	struct mismatch here = { .chain = chain };
	size_t i;

	for (i = 0; i < is->nr && i < should->nr; i++)
		if (is->v[i]->odd || strcmp(is->v[i]->spec, should->v[i]->spec))
			break;
	*fitting += i;
	if (i == is->nr && i == should->nr)
		return;
	here.rule = i < is->nr ? is->v[i] : NULL;
	here.expected = i < should->nr ? should->v[i] : NULL;
	here.after = i ? is->v[i - 1] : NULL;
	if (!m->chain || comes_before(&here, m))
		*m = here;
}

static int compare_chain(const struct table *is, const struct table *should, const char *name,
			 struct mismatch *m, size_t *fitting, struct st_err *e)
{
	struct effective left, right = { 0 };
	int err = chain_effective(is, table_chain(is, name), &left);

	err = err ?: chain_effective(should, table_chain(should, name), &right);
	if (err)
		err_sys(e, -err, "rules", NULL);
	else
		compare_rules(name, &left, &right, m, fitting);
	free(left.v);
	free(right.v);
	return err;
}

/* All chains that Istio makes, and of the others those that traffic comes to by itself: how the rest
 * is reached has been compared then.
 */
static int compare_tables(const struct table *is, const struct table *should, struct mismatch *m,
			  size_t *fitting, struct st_err *e)
{
	const char *name;
	int err = 0;
	size_t i;

	*m = (struct mismatch){ 0 };
	*fitting = 0;
	for (i = 0; !err && i < should->nr; i++)
		err = compare_chain(is, should, should->chains[i].name, m, fitting, e);
	for (i = 0; !err && i < is->nr; i++) {
		name = is->chains[i].name;
		if (chain_is_hook(name) && !table_chain(should, name))
			err = compare_chain(is, should, name, m, fitting, e);
	}
	return err;
}

/* By the interface that it comes in by, and not because of -c. */
static int is_forwarding(const struct table *t, const struct mismatch *m)
{
	return t->name == TABLE_NAT && !strcmp(m->chain, "PREROUTING") && !m->rule->odd &&
	       strstr(m->rule->spec, "-i ");
}

static int refuse(const struct table *t, const struct mismatch *m, struct st_err *e)
{
	const char *table = table_names[t->name],
		   *family = t->family == FAMILY_V6 ? "IPv6" : "IPv4";

	if (m->rule && is_forwarding(t, m)) {
		err_hint(e, "keep Istio's iptables rules in pods with virtual machines");
		return line_refused(e, m->rule->line, m->rule->text,
				    "an interface of virtual machines: forwarded traffic has no "
				    "socket that could be redirected");
	}
	if (m->rule && m->rule->target && !strcmp(m->rule->target, "ISTIO_PRERT"))
		return line_refused(e, m->rule->line, m->rule->text,
				    "of Istio's ambient mode, in which a pod has no proxy");
	if (m->rule && m->rule->odd)
		return line_refused(e, m->rule->line, m->rule->text, "cannot be expressed: %s",
				    m->rule->odd);
	if (m->rule && m->expected)
		return line_refused(e, m->rule->line, m->rule->text,
				    "cannot be expressed: Istio has '%.200s' in its place",
				    m->expected->text);
	if (m->rule)
		return line_refused(e, m->rule->line, m->rule->text,
				    "cannot be expressed: Istio has no such rule there");
	if (m->after)
		return line_refused(e, m->after->line, m->after->text,
				    "Istio has '%.200s' behind it, which is missing",
				    m->expected->text);
	return err_set(e, EINVAL, "table", table, "%s: '%.200s' is missing", family,
		       m->expected->text);
}

/* One table in the form that fits, or that comes closest. *ret_form: which. */
static int check_table(const struct config *c, const struct table *t, int expected, int *ret_form,
		       struct st_err *e)
{
	struct mismatch m = { 0 }, best = { 0 };
	struct table should[ISTIO_FORMS_MAX] = { 0 };
	size_t fitting, most = 0;
	int err = 0, form, forms = expected ? istio_forms(t->name) : 1;

	for (form = 0; !err && form < forms; form++) {
		if (expected)
			err = istio_rules(c, t->family == FAMILY_V6, t->name, form, &should[form],
					  e);
		if (!err)
			err = compare_tables(t, &should[form], &m, &fitting, e);
		if (!err && (!form || !m.chain || fitting > most)) {
			best = m;
			most = fitting;
			*ret_form = form;
		}
		if (!m.chain)
			break;
	}
	if (!err && best.chain)
		err = refuse(t, &best, e);
	for (form = 0; form < forms; form++)
		table_free(&should[form]);
	return err;
}

static int check_policies(const struct table *t, struct st_err *e)
{
	const struct chain *c;
	size_t i;

	for (i = 0; i < t->nr; i++) {
		c = &t->chains[i];
		if (c->policy_text && !c->accepts)
			return line_refused(e, c->line, c->policy_text,
					    "cannot be expressed: Istio's policies are ACCEPT");
	}
	return 0;
}

static const struct rule *find_udp_dns(const struct table *t)
{
	const struct rule *r;
	size_t i, j;

	for (i = 0; i < t->nr; i++) {
		for (j = 0; j < t->chains[i].nr; j++) {
			r = &t->chains[i].rules[j];
			if (!r->odd && strstr(r->spec, "-p udp --dport 53 -j REDIRECT"))
				return r;
		}
	}
	return NULL;
}

/* Where DNS over UDP is redirected between the other rules matters, and is the same for both families.
 * The port that is excluded there is excluded for both protocols, but for TCP alone in rules that do
 * not have them side by side.
 */
static int check_udp_dns(const struct config *c, const struct table *t, int form, struct st_err *e)
{
	const struct rule *r = find_udp_dns(t);
	const char *why = NULL;
	size_t i;

	if (!r)
		return 0;
	if (form != (int)c->udp_dns)
		why = "at another place than for the other family";
	for (i = 0; form != UDP_DNS_BESIDE && i < c->out_exclude.nr; i++)
		if (c->out_exclude.v[i] == 53)
			why = "even though port 53 is excluded for TCP";
	return why ? line_refused(e, r->line, r->text,
				  "cannot be expressed: redirects DNS over UDP %s", why)
		   : 0;
}

/* 1 if the text may hold but this table of its family: iptables -S and -t print one. */
static int stands_alone(const struct rules *r, const struct table *t)
{
	size_t i;

	for (i = 0; !t->listed && i < r->nr; i++)
		if (r->tables[i].name != t->name && r->tables[i].family == t->family)
			return 0;
	return 1;
}

/* Tables that are missing do not matter, but TPROXY captures by the rules of mangle, and those of
 * nat look the same then as without inbound capture.
 */
static int check_presence(const struct config *c, const struct rules *r, struct st_err *e)
{
	int v6, inbound = c->in_include.all || c->in_include.nr;

	for (v6 = 0; v6 <= (c->ipv6 == IPV6_ON); v6++)
		if ((c->tproxy || (!inbound && stands_alone(r, rules_table(r, TABLE_NAT, v6)))) &&
		    !rules_table(r, TABLE_MANGLE, v6)) {
			err_hint(e, "add what '%s -S -t mangle' prints",
				 v6 ? "ip6tables" : "iptables");
			return err_set(e, EINVAL, "table", "mangle",
				       "not there, though %s could be captured by it",
				       v6 ? "inbound IPv6" : "inbound traffic");
		}
	return 0;
}

static int check_rules(const struct config *c, const struct rules *r, const struct table *t,
		       struct st_err *e)
{
	int v6 = t->family == FAMILY_V6, form = 0, err;
	int expected = (!v6 || c->ipv6 == IPV6_ON) && t->name < TABLE_FILTER;

	if (t->name < TABLE_FILTER && t != rules_table(r, t->name, v6))
		return 0; /* another one has rules, this one has none */
	err = check_table(c, t, expected, &form, e);
	return err || t->name != TABLE_NAT ? err : check_udp_dns(c, t, form, e);
}

/* Table nat first: the others follow from what it says. */
static int check(const struct config *c, const struct rules *r, struct st_err *e)
{
	int nat, err = check_presence(c, r, e);
	size_t i;

	for (i = 0; !err && i < r->nr; i++)
		err = check_policies(&r->tables[i], e);
	for (nat = 1; nat >= 0; nat--)
		for (i = 0; !err && i < r->nr; i++)
			if ((r->tables[i].name == TABLE_NAT) == nat)
				err = check_rules(c, r, &r->tables[i], e);
	return err;
}

static int parse_flags(struct import *i, struct st_err *e)
{
	struct option_table table = { "policy", config_options, &i->config };
	int err = config_init(&i->config, e);
	char **argv;
	size_t n;

	if (err)
		return err;
	argv = calloc(i->nr + 2, sizeof(*argv));
	if (!argv)
		return err_sys(e, ENOMEM, "flags", NULL);
	argv[0] = "import";
	for (n = 0; n < i->nr; n++)
		argv[n + 1] = i->flags[n];
	err = options_parse("attach", &table, 1, i->nr + 1, argv, e);
	free(argv);
	return err;
}

int import_read(FILE *f, struct import *ret, struct st_err *e)
{
	const struct table *nat;
	struct rules r;
	int err;

	*ret = (struct import){ 0 };
	err = rules_read(f, &r, e);
	nat = err ? NULL : rules_table(&r, TABLE_NAT, 0);
	if (!err && (!nat || !table_chain(nat, "ISTIO_OUTPUT"))) {
		err_hint(e, "take all that iptables-save prints; 'iptables -S' alone is table "
			    "filter");
		err = err_set(e, EINVAL, "table", "nat",
			      "no chain ISTIO_OUTPUT of IPv4: not the rules of an Istio sidecar");
	}
	if (!err && import_guess(&r, ret))
		err = err_sys(e, ENOMEM, "flags", NULL);
	err = err ?: parse_flags(ret, e);
	err = err ?: check(&ret->config, &r, e);
	rules_free(&r);
	return err;
}

void import_free(struct import *i)
{
	size_t n;

	for (n = 0; n < i->nr; n++)
		free(i->flags[n]);
	free(i->flags);
	config_free(&i->config);
	*i = (struct import){ 0 };
}

void import_print(FILE *f, const struct import *i)
{
	size_t n;

	for (n = 0; n < i->nr; n++) {
		if (n)
			putc(' ', f);
		word_print(f, i->flags[n]);
	}
	putc('\n', f);
}
