// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads a row of the flow matrix; see row.h for the language. */
#include "row.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PORT 32768
#define LAST_PORT 60999

/* The addresses that pod_make in tests/lib.sh gives to every pod, and what is local anyway. */
static const struct place {
	const char *name, *v4, *v6;
} places[] = {
	{ "outside", "10.77.0.3", "fd77::3" },
	{ "outside2", "10.77.0.4", "fd77::4" },
	{ "svc", "10.96.0.10", "fd96::a" },
	{ "svc2", "10.96.0.11", "fd96::b" },
	{ "pod", "10.77.0.2", "fd77::2" },
	{ "pod2", "10.77.0.9", "fd77::9" },
	{ "lo", "127.0.0.1", "::1" },
	{ "lo2", "127.0.0.2", NULL },
	{ "lo6", "127.0.0.6", "::6" },
	{ "any", "0.0.0.0", "::" },
	/* real IPv6 where the row's family is m */
	{ "outside6", "fd77::3", "fd77::3" },
	{ "svc6", "fd96::a", "fd96::a" },
};

static const struct protocol {
	const char *name;
	int family, type;
	bool mapped;
} protocols[] = {
	{ "tcp4", AF_INET, SOCK_STREAM, false },  { "udp4", AF_INET, SOCK_DGRAM, false },
	{ "tcp6", AF_INET6, SOCK_STREAM, false }, { "udp6", AF_INET6, SOCK_DGRAM, false },
	{ "tcpm", AF_INET6, SOCK_STREAM, true },  { "udpm", AF_INET6, SOCK_DGRAM, true },
};

static void parse_protocol(struct row *row, const char *word)
{
	for (size_t i = 0; word && i < sizeof(protocols) / sizeof(*protocols); i++) {
		const struct protocol *p = &protocols[i];

		if (strcmp(p->name, word))
			continue;
		row->family = p->family;
		row->type = p->type;
		row->mapped = p->mapped;
		return;
	}
	errx(2, "row '%s': unknown protocol '%s'", row->text, word ? word : "");
}

/* A place's address, or the address that word is; it ends at end. */
static const char *find_host(const struct row *row, const char *word, const char *end, bool is_bind)
{
	static char literal[ADDR_TEXT];
	bool mapped = row->mapped;
	size_t len = end - word;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		const struct place *p = &places[i];

		if (strlen(p->name) != len || strncmp(p->name, word, len))
			continue;
		/* a dual-stack socket binds the wildcard as "::", there is no mapped one to bind */
		if (is_bind && !strcmp(p->name, "any"))
			mapped = false;
		return row->family == AF_INET || mapped ? p->v4 : p->v6;
	}
	if (*word == '[') {
		word++;
		len -= 2;
	}
	snprintf(literal, sizeof(literal), "%.*s", (int)len, word);
	return literal;
}

/* PLACE:PORT, 10.1.2.3:PORT or [fd00::1]:PORT */
static void parse_target(const struct row *row, const char *word, bool is_bind, union addr *to)
{
	const char *colon = strrchr(word, ':'), *host;
	const char *port = colon ? colon + 1 : "";
	in_port_t number = strcmp(port, "fixed") ? atoi(port) : row->fixed;

	host = colon ? find_host(row, word, colon, is_bind) : NULL;
	if (host && addr_parse(to, host, number, row->mapped) && to->sa.sa_family == row->family)
		return;
	errx(2, "row '%s': no such target: '%s'", row->text, word);
}

static void parse_step(struct row *row, char *word)
{
	struct step *step = &row->steps[row->nr_steps++];
	char *targets = strchr(word, '='), *rest = NULL, *target;
	bool is_bind;

	if (targets)
		*targets++ = '\0';
	step->verb = word;
	is_bind = !strcmp(word, "bind");
	target = targets ? strtok_r(targets, ",", &rest) : NULL;
	for (int i = 0; target && i < 2; i++) {
		parse_target(row, target, is_bind, &step->to[i]);
		target = strtok_r(NULL, ",", &rest);
	}
}

/*
 * The row's ports, out of the default ip_local_port_range. None is used twice before all were used:
 * iptables would still know the first connection and rewrite the port of the second one.
 */
static in_port_t take_ports(int steps)
{
	static unsigned int next = FIRST_PORT;
	in_port_t first;

	if (next + 1 + steps > LAST_PORT)
		next = FIRST_PORT;
	first = next;
	next += 1 + steps;
	return first;
}

void row_parse(struct row *row, const char *text)
{
	static char *words; /* to which the steps point */
	char *rest = NULL, *word;

	words = strdup(text);
	*row = (struct row){ .text = strdup(text) };
	if (!words || !row->text)
		err(1, "row");
	for (word = words; (word = strchr(word, ' ')); word++)
		row->nr_steps++;
	row->fixed = take_ports(row->nr_steps);
	row->nr_steps = 0;
	word = strtok_r(words, " ", &rest);
	row->owner = owner_find(word ? word : "");
	if (!row->owner)
		errx(2, "row '%s': unknown owner", row->text);
	parse_protocol(row, strtok_r(NULL, " ", &rest));
	while ((word = strtok_r(NULL, " ", &rest)) && row->nr_steps < MAX_STEPS)
		parse_step(row, word);
	if (word || !row->nr_steps)
		errx(2, "row '%s': needs 1 to %d steps", row->text, MAX_STEPS);
}
