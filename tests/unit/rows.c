/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/values.h"
#include "../../user/why.h"
#include "twin.h"

enum column { NAME, FLAGS, DIRECTION, PROTO, OWNER, SOURCE, DEST, PORT, ACTION, REASON, COLUMNS };

#define WORDS_MAX 64

struct pod_facts rows_pod(const struct config *c)
{
	static const char *const own[] = { "10.77.0.2", "10.77.0.9", "fd77::2", "fd77::9" };
	static struct prefix local[4];
	static struct addr resolvers[2];
	static struct route broadcast = { .iface = 2, .broadcast = 1 };
	int i;

	for (i = 0; i < 4; i++)
		prefix_parse(own[i], &local[i], NULL);
	prefix_parse("10.77.0.255", &broadcast.dst, NULL);
	broadcast.src = local[0].addr;
	addr_parse("10.96.0.10", &resolvers[0]);
	addr_parse("fd96::a", &resolvers[1]);
	return (struct pod_facts){
		.local = local,
		.nr_local = 4,
		.routes = &broadcast,
		.nr_routes = 1,
		.src4 = local[0].addr,
		.src6 = local[2].addr,
		.resolvers = resolvers,
		.nr_resolvers = 2,
		.ipv6 = c->dual_stack,
		.spread = 1,
	};
}

/* Splits at blanks; single quotes only group, so that flags read as in a shell. */
static int split_words(char *text, char **words)
{
	char *to = text;
	int nr = 0, quoted = 0;

	for (;;) {
		while (*text == ' ')
			text++;
		if (!*text || nr == WORDS_MAX)
			return *text ? -1 : nr;
		words[nr++] = to = text;
		for (; *text && (quoted || *text != ' '); text++) {
			if (*text == '\'')
				quoted = !quoted;
			else
				*to++ = *text;
		}
		if (*text)
			text++;
		*to = '\0';
	}
}

static int parse_flags(char *text, struct config *c, struct st_err *e)
{
	struct option_table table = { "Policy", config_options, c };
	char *words[WORDS_MAX + 2] = { "row" };
	int err, nr = 0;

	err = config_init(c, e);
	if (err)
		return err;
	if (strcmp(text, "-"))
		nr = split_words(text, words + 1);
	if (nr < 0)
		return err_set(e, EINVAL, "flags", NULL, "too many");
	words[nr + 1] = NULL;
	err = options_parse("row", &table, 1, nr + 1, words, e);
	return err > 0 ? err_set(e, EINVAL, "flags", words[nr], "not a flag") : err;
}

static int parse_owner(char *text, struct flow *f)
{
	char *gid = strchr(text, ':');

	f->uid = f->gid = -1;
	if (!strcmp(text, "-"))
		return 0;
	if (!gid)
		return -1;
	*gid++ = '\0';
	return id_parse(text, &f->uid) || id_parse(gid, &f->gid) ? -1 : 0;
}

/* As the kernel: no destination is the own source, without one loopback (ip_route_output_key_hash,
 * ip6_datagram_connect).
 */
static void fill_no_dest(struct flow *f)
{
	struct addr v6_loopback = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 1) } };

	if (addr_is_zero(&f->dst))
		f->dst = addr_is_zero(&f->src) ? v6_loopback : f->src;
	else if (addr_is_v4(&f->dst) && !f->dst.w[3] && addr_is_zero(&f->src))
		f->dst.w[3] = ST_V4(127, 0, 0, 1);
	else if (addr_is_v4(&f->dst) && !f->dst.w[3])
		f->dst = f->src;
}

static const char *parse_flow(char **col, struct row *r)
{
	struct flow *f = &r->raw;

	r->inbound = !strcmp(col[DIRECTION], "in");
	if (!r->inbound && strcmp(col[DIRECTION], "out"))
		return "direction is neither in nor out";
	f->proto = !strcmp(col[PROTO], "udp") ? ST_UDP : ST_TCP;
	if (f->proto == ST_TCP && strcmp(col[PROTO], "tcp"))
		return "protocol is neither tcp nor udp";
	if (parse_owner(col[OWNER], f))
		return "owner is not UID:GID";
	if (strcmp(col[SOURCE], "-") && addr_parse(col[SOURCE], &f->src))
		return "source is not an address";
	if (addr_parse(col[DEST], &f->dst))
		return "destination is not an address";
	if (port_parse(col[PORT], &f->dport))
		return "port is not a port";
	fill_no_dest(f);
	return NULL;
}

static const char *parse_want(char **col, struct verdict *want)
{
	int i;

	if (!strncmp(col[ACTION], "redirect:", 9)) {
		want->action = ACTION_REDIRECT;
		if (port_parse(col[ACTION] + 9, &want->port))
			return "not redirect:PORT";
	} else if (strcmp(col[ACTION], "pass")) {
		return "neither pass nor redirect:PORT";
	}
	for (i = 0; i < WHY_COUNT; i++) {
		if (!strcmp(col[REASON], why_name(i))) {
			want->why = i;
			return NULL;
		}
	}
	return "no such reason";
}

static int finish_row(struct row *r, struct st_err *e)
{
	struct pod_facts pod = rows_pod(&r->config);
	int err = ruleset_make(&r->config, &pod, &r->rs, e);

	if (err)
		return err;
	r->flow = r->raw;
	ruleset_classify(&r->rs, &r->flow, r->inbound);
	return 0;
}

static struct row *new_row(struct rows *rows, const char *name, const char *suffix, int line)
{
	struct row *bigger = reallocarray(rows->v, rows->nr + 1, sizeof(*bigger)), *r;
	size_t size = strlen(name) + strlen(suffix) + 1;

	if (!bigger)
		return NULL;
	rows->v = bigger;
	r = &bigger[rows->nr];
	*r = (struct row){ .name = malloc(size), .line = line };
	if (!r->name)
		return NULL;
	snprintf(r->name, size, "%s%s", name, suffix);
	rows->nr++;
	return r;
}

/* The twin of the row that was added last. */
static int add_twin(struct rows *rows, const char *name, char *flags, struct st_err *e)
{
	struct row *twin = new_row(rows, name, " (v6)", rows->v[rows->nr - 1].line), *r;
	int err;

	if (!twin)
		return err_sys(e, ENOMEM, name, NULL);
	r = twin - 1;
	err = parse_flags(flags, &twin->config, e);
	if (err)
		return err;
	twin->inbound = r->inbound;
	twin->want = r->want;
	twin->raw = r->raw;
	twin_make(&twin->config, &twin->raw);
	return finish_row(twin, e);
}

static int add_row(struct rows *rows, char **col, int line, struct st_err *e)
{
	struct row *r = new_row(rows, col[NAME], "", line);
	char *flags = strdup(col[FLAGS]); /* parsing cuts them into words */
	const char *why;
	int err;

	if (!r || !flags) {
		free(flags);
		return err_sys(e, ENOMEM, col[NAME], NULL);
	}
	err = parse_flags(col[FLAGS], &r->config, e);
	why = parse_flow(col, r);
	if (!why)
		why = parse_want(col, &r->want);
	if (why)
		err = err_set(e, EINVAL, "row", col[NAME], "%s", why);
	if (!err)
		err = finish_row(r, e);
	if (!err && r->want.why != WHY_OUT_SOURCE_LOOPBACK && r->want.why != WHY_OUT_NOT_UNICAST &&
	    twin_exists(&r->config, &r->raw))
		err = add_twin(rows, col[NAME], flags, e);
	free(flags);
	return err;
}

static int add_line(struct rows *rows, char *line, int number, struct st_err *e)
{
	char *col[COLUMNS], *rest = line;
	int i;

	line[strcspn(line, "\n")] = '\0';
	if (!*line || *line == '#')
		return 0;
	for (i = 0; i < COLUMNS; i++) {
		col[i] = strsep(&rest, "\t");
		if (!col[i] || !*col[i])
			return err_set(e, EINVAL, "row", line, "%d columns are needed", COLUMNS);
	}
	if (rest)
		return err_set(e, EINVAL, "row", line, "more than %d columns", COLUMNS);
	return add_row(rows, col, number, e);
}

int rows_read(const char *path, struct rows *ret, struct st_err *e)
{
	FILE *f = fopen(path, "re");
	char *line = NULL, where[256];
	int number = 0, err = 0;
	struct st_err inner = { 0 };
	size_t size = 0;

	*ret = (struct rows){ 0 };
	if (!f)
		return err_sys(e, errno, "rows", path);
	while (!err && getline(&line, &size, f) != -1)
		err = add_line(ret, line, ++number, &inner);
	free(line);
	fclose(f);
	if (!err)
		return 0;
	rows_free(ret);
	snprintf(where, sizeof(where), "%s:%d", path, number);
	return err_set(e, -err, where, NULL, "%s", inner.text);
}

void rows_free(struct rows *rows)
{
	size_t i;

	for (i = 0; i < rows->nr; i++) {
		free(rows->v[i].name);
		config_free(&rows->v[i].config);
		ruleset_free(&rows->v[i].rs);
	}
	free(rows->v);
	*rows = (struct rows){ 0 };
}
