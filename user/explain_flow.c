/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The grammar of FLOW. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explain_cmd.h"
#include "values.h"

/* One of the parsers that return why a text is refused. */
#define PARSE(what, text, parser, ret) \
	((parser)(text, ret) ? err_set(e, EINVAL, what, text, "%s", (parser)(text, ret)) : 0)

/* ADDR:PORT or [ADDR]:PORT */
static int parse_target(const char *text, struct flow *f, struct st_err *e)
{
	char host[PREFIX_TEXT_MAX];
	const char *colon = strrchr(text, ':'), *start = text;
	size_t n;

	if (!colon)
		return err_set(e, EINVAL, "destination", text, "not ADDRESS:PORT");
	n = colon - text;
	if (*text == '[') {
		if (n < 2 || text[n - 1] != ']')
			return err_set(e, EINVAL, "destination", text, "not [ADDRESS]:PORT");
		start++;
		n -= 2;
	} else if (memchr(text, ':', n)) {
		return err_set(e, EINVAL, "destination", text, "write IPv6 as [ADDRESS]:PORT");
	}
	if (n >= sizeof(host))
		return err_set(e, EINVAL, "destination", text, "neither IPv4 nor IPv6");
	snprintf(host, sizeof(host), "%.*s", (int)n, start);
	return PARSE("port", colon + 1, port_parse, &f->dport)
		       ?: PARSE("address", host, addr_parse, &f->dst);
}

/* What the kernel makes of 0.0.0.0 and ::, before any hook of ours or rule of iptables is asked. */
static void fill_no_destination(struct flow *f)
{
	const struct addr any4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
	const struct addr loopback4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(127, 0, 0, 1) } };
	const struct addr loopback6 = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 1) } };

	if (addr_equal(&f->dst, &any4))
		f->dst = addr_is_zero(&f->src) ? loopback4 : f->src;
	else if (addr_is_zero(&f->dst))
		f->dst = loopback6;
}

static int parse_flags(struct question *q, struct st_err *e)
{
	struct flow *f = &q->flow;
	int err = 0;

	f->uid = f->gid = -1;
	if (q->uid)
		err = PARSE("uid", q->uid, id_parse, &f->uid);
	f->gid = f->uid;
	if (!err && q->gid)
		err = PARSE("gid", q->gid, id_parse, &f->gid);
	if (!err && q->from)
		err = PARSE("address", q->from, addr_parse, &f->src);
	if (!err && q->from && addr_is_v4(&f->src) != addr_is_v4(&f->dst))
		err = err_set(e, EINVAL, "--from", q->from, "not of the destination's family");
	if (!err && q->mark_text && number_parse(q->mark_text, 0, 0xffffffff, &q->mark))
		err = err_set(e, EINVAL, "--mark", q->mark_text,
			      "not a number from 0 to 4294967295");
	return err;
}

int question_parse(struct question *q, int n, char **words, struct st_err *e)
{
	struct flow *f = &q->flow;
	int err;

	if (n != 3)
		return err_set(e, EINVAL, "flow", NULL, "must be: out|in tcp|udp ADDRESS:PORT");
	if (strcmp(words[0], "in") && strcmp(words[0], "out"))
		return err_set(e, EINVAL, "direction", words[0], "neither 'in' nor 'out'");
	q->inbound = !strcmp(words[0], "in");
	if (strcmp(words[1], "tcp") && strcmp(words[1], "udp"))
		return err_set(e, EINVAL, "protocol", words[1], "neither 'tcp' nor 'udp'");
	f->proto = strcmp(words[1], "tcp") ? ST_UDP : ST_TCP;
	err = parse_target(words[2], f, e);
	err = err ?: parse_flags(q, e);
	if (!err && !q->inbound)
		fill_no_destination(f);
	return err;
}
