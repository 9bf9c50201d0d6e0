/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 400
#define NEXT (-1) /* no verdict: on to the next rule */

struct packet {
	const struct flow *flow;
	struct addr src;
	const char *in, *out; /* interfaces */
};

/* What stands in quotes is one word, and no rule's matter: comments and prefixes of log lines. */
static void blank_quotes(char *line)
{
	int quoted = 0;

	for (; *line; line++) {
		if (*line == '\\' && quoted && line[1])
			*line++ = '_';
		else if (*line == '"')
			quoted = !quoted;
		if (quoted || *line == '"')
			*line = '_';
	}
}

static void add_rule(struct walk_rules *rules, const char *rule)
{
	rules->v = realloc(rules->v, (rules->nr + 1) * sizeof(*rules->v));
	assert_non_null(rules->v);
	rules->v[rules->nr++] = strdup(rule);
}

static int is_v6(const char *section)
{
	const char *end = strstr(section, "\nCOMMIT"), *colons = strstr(section, "::");

	return colons && (!end || colons < end);
}

void walk_read(const char *text, struct walk *ret)
{
	char *copy = strdup(text), *rest = copy, *line;
	struct walk_rules *to = NULL;
	int v6;

	*ret = (struct walk){ 0 };
	while ((line = strsep(&rest, "\n"))) {
		v6 = *line == '*' && is_v6(text + (line - copy));
		if (*line == '[')
			line += strcspn(line, " ") + 1;
		blank_quotes(line);
		if (!strcmp(line, "*nat"))
			to = &ret->nat[v6];
		else if (!strcmp(line, "*mangle"))
			to = &ret->mangle[v6];
		else if (*line == '*')
			to = NULL;
		else if (to && !strncmp(line, "-A ", 3))
			add_rule(to, line + 3);
	}
	free(copy);
}

static void free_rules(struct walk_rules *rules)
{
	size_t i;

	for (i = 0; i < rules->nr; i++)
		free(rules->v[i]);
	free(rules->v);
}

void walk_free(struct walk *w)
{
	free_rules(&w->nat[0]);
	free_rules(&w->nat[1]);
	free_rules(&w->mangle[0]);
	free_rules(&w->mangle[1]);
}

static int in_cidr(const struct addr *a, const char *text)
{
	const __u8 *x = (const __u8 *)a->w, *y;
	struct prefix p;
	int i;

	assert_null(prefix_parse(text, &p, NULL));
	y = (const __u8 *)p.addr.w;
	for (i = 0; i < p.len; i++)
		if ((x[i / 8] ^ y[i / 8]) >> (7 - i % 8) & 1)
			return 0;
	return 1;
}

static int has_number(const char *list, __u32 n)
{
	char *end;

	for (;; list = end + 1) {
		if (strtoul(list, &end, 0) == n)
			return 1;
		if (*end != ',')
			return 0;
	}
}

static int is_iface(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	return pattern[n - 1] == '+' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name);
}

/* 1 or 0, NEXT if the word is no match. A new connection has no mark, and no owner matches
 * (__u32)-1.
 */
static int match(const char *word, const char *value, const struct packet *p)
{
	const struct flow *f = p->flow;

	if (!strcmp(word, "-s"))
		return in_cidr(&p->src, value);
	if (!strcmp(word, "-d"))
		return in_cidr(&f->dst, value);
	if (!strcmp(word, "-i"))
		return is_iface(value, p->in);
	if (!strcmp(word, "-o"))
		return is_iface(value, p->out);
	if (!strcmp(word, "-p"))
		return f->proto == (strcmp(value, "tcp") ? ST_UDP : ST_TCP);
	if (!strcmp(word, "--dport") || !strcmp(word, "--dports"))
		return has_number(value, f->dport);
	if (!strcmp(word, "--uid-owner"))
		return f->uid != (__u32)-1 && has_number(value, f->uid);
	if (!strcmp(word, "--gid-owner"))
		return f->uid != (__u32)-1 && has_number(value, f->gid);
	if (!strcmp(word, "--mark"))
		return has_number(value, 0);
	if (!strcmp(word, "--ctstate"))
		return strstr(value, "NEW") != NULL;
	return NEXT;
}

static int split(char *text, char **words)
{
	int nr = 0;

	while (nr < WORDS_MAX && (words[nr] = strsep(&text, " ")))
		nr += *words[nr] != '\0';
	assert_true(nr < WORDS_MAX);
	return nr;
}

/* The words from -j on if the rule fits, else NULL. */
static char **target_of(char **words, int nr, const struct packet *p)
{
	int i, fits, negated = 0;

	for (i = 1; i < nr; i++) {
		if (!strcmp(words[i], "-j"))
			return words + i;
		if (!strcmp(words[i], "!")) {
			negated = 1;
			continue;
		}
		fits = i + 1 < nr ? match(words[i], words[i + 1], p) : NEXT;
		if (fits == NEXT)
			continue;
		if (fits == negated)
			return NULL;
		negated = 0;
		i++;
	}
	return NULL;
}

static int walk(const struct walk_rules *rules, const char *chain, const struct packet *p)
{
	char *words[WORDS_MAX + 1], **target, *copy;
	int verdict = NEXT, nr;
	size_t i, n = strlen(chain);

	for (i = 0; verdict == NEXT && i < rules->nr; i++) {
		if (strncmp(rules->v[i], chain, n) || rules->v[i][n] != ' ')
			continue;
		copy = strdup(rules->v[i]);
		nr = split(copy, words);
		target = target_of(words, nr, p);
		if (!target || !strcmp(target[1], "RETURN")) {
			free(copy);
			if (target)
				return NEXT;
			continue;
		}
		if (!strcmp(target[1], "ACCEPT") || !strcmp(target[1], "DROP"))
			verdict = 0;
		else if (!strcmp(target[1], "REDIRECT") || !strcmp(target[1], "TPROXY"))
			verdict = atoi(target[3]);
		else
			verdict = walk(rules, target[1], p);
		free(copy);
	}
	return verdict;
}

static int is_local(const struct pod_facts *pod, const struct addr *a)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	if (addr_is_v4(a) ? in_cidr(a, "127.0.0.0/8") : in_cidr(a, "::1") || in_cidr(a, "::6"))
		return 1;
	for (i = 0; i < pod->nr_local; i++) {
		prefix_print(&pod->local[i], text);
		if (in_cidr(a, text))
			return 1;
	}
	return 0;
}

static int is_unicast(const struct pod_facts *pod, const struct addr *a)
{
	size_t i;

	for (i = 0; i < pod->nr_routes; i++)
		if (pod->routes[i].broadcast && addr_equal(&pod->routes[i].dst.addr, a))
			return 0;
	return addr_is_v4(a) ? !in_cidr(a, "224.0.0.0/4") && !in_cidr(a, "255.255.255.255/32")
			     : !in_cidr(a, "ff00::/8");
}

__u16 walk_outbound(const struct walk *w, const struct pod_facts *pod, const struct flow *f)
{
	int v6 = !addr_is_v4(&f->dst), lo = is_local(pod, &f->dst);
	struct packet p = { .flow = f, .src = f->src, .in = "?", .out = lo ? "lo" : "?" };
	int port;

	/* There is no such packet: connect() refuses. */
	if (f->proto == ST_TCP && !is_unicast(pod, &f->dst))
		return 0;
	/* There is no such packet: nothing routes from 127.0.0.0/8 to elsewhere. */
	if (!lo && !v6 && in_cidr(&f->src, "127.0.0.0/8"))
		return 0;
	/* An unbound socket calls a local IPv6 address from that address. */
	if (lo && v6 && addr_is_zero(&f->src))
		p.src = f->dst;
	port = walk(&w->nat[v6], "OUTPUT", &p);
	return port == NEXT ? 0 : port;
}

__u16 walk_inbound(const struct walk *w, const struct pod_facts *pod, const struct flow *f)
{
	int v6 = !addr_is_v4(&f->dst);
	struct packet p = { .flow = f, .src = f->src, .in = "?", .out = "?" };
	int port;

	/* Over lo nat's PREROUTING is skipped, and mangle's rules return what has no mark. */
	if (is_local(pod, &f->src))
		return 0;
	port = walk(&w->mangle[v6], "PREROUTING", &p);
	if (port <= 0)
		port = walk(&w->nat[v6], "PREROUTING", &p);
	return port == NEXT ? 0 : port;
}
