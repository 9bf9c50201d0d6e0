/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "values.h"

#define FIRST_VAL 256 /* getopt's values of long flags, above every letter */
#define HELP_VAL 255

/* What getopt_long wants, and the way back from its values to our rows. */
struct parser {
	struct option *longs;
	char *shorts;
	struct flag {
		const struct option_row *row;
		void *ctx;
	} * flags;
	size_t nr;
};

static size_t count_rows(const struct option_table *tables, size_t nr_tables)
{
	const struct option_row *row;
	size_t i, nr = 0;

	for (i = 0; i < nr_tables; i++) {
		for (row = tables[i].rows; row->name; row++)
			nr++;
	}
	return nr;
}

static int needs_value(const struct option_row *row)
{
	return row->metavar && *row->metavar != '[';
}

static void parser_add(struct parser *p, const struct option_row *row, void *ctx)
{
	char *end = p->shorts + strlen(p->shorts);

	p->flags[p->nr] = (struct flag){ row, ctx };
	p->longs[p->nr].name = row->name;
	p->longs[p->nr].has_arg = needs_value(row) ? required_argument : optional_argument;
	p->longs[p->nr].val = FIRST_VAL + p->nr;
	p->nr++;
	if (row->letter)
		sprintf(end, "%c%s", row->letter, needs_value(row) ? ":" : "");
}

static int parser_init(struct parser *p, const struct option_table *tables, size_t nr_tables)
{
	size_t i, nr = count_rows(tables, nr_tables);
	const struct option_row *row;

	p->nr = 0;
	p->longs = calloc(nr + 2, sizeof(*p->longs));
	p->flags = calloc(nr + 1, sizeof(*p->flags));
	p->shorts = calloc(nr + 2, 2);
	if (!p->longs || !p->flags || !p->shorts)
		return -ENOMEM;
	strcpy(p->shorts, ":h"); /* ':': tell a missing value from an unknown flag */
	for (i = 0; i < nr_tables; i++) {
		for (row = tables[i].rows; row->name; row++)
			parser_add(p, row, tables[i].ctx);
	}
	p->longs[p->nr] = (struct option){ "help", no_argument, NULL, HELP_VAL };
	return 0;
}

static void parser_free(struct parser *p)
{
	free(p->longs);
	free(p->flags);
	free(p->shorts);
}

static const struct flag *find_flag(const struct parser *p, int val)
{
	size_t i;

	if (val >= FIRST_VAL)
		return &p->flags[val - FIRST_VAL];
	for (i = 0; i < p->nr; i++) {
		if (p->flags[i].row->letter == val)
			return &p->flags[i];
	}
	return NULL;
}

/* getopt says '?' for everything it does not like, and only leaves optopt to tell what it was: 0 is
 * a long flag that is not there or not the only one, a long flag's own value is one that came with
 * a value it does not take, anything else is a letter.
 */
static int refuse_flag(const struct parser *p, char *arg, struct st_err *e)
{
	char letter[] = { '-', optopt, '\0' };
	const struct option *o;
	int like = 0;

	if (optopt && optopt < HELP_VAL)
		return value_refused(e, "flag", letter, "unknown");
	arg[strcspn(arg, "=")] = '\0';
	if (optopt)
		return value_refused(e, "flag", arg, "takes no value");
	for (o = p->longs; o->name; o++)
		like += !strncmp(o->name, arg + 2, strlen(arg + 2));
	return value_refused(e, "flag", arg, like ? "could be several flags" : "unknown");
}

static int take(const struct parser *p, int val, char **argv, struct st_err *e)
{
	const struct flag *flag;
	char quoted[OPTION_TEXT_MAX];

	if (val == 'h' || val == HELP_VAL)
		return OPTIONS_HELP;
	if (val == '?')
		return refuse_flag(p, argv[optind - 1], e);
	if (val == ':') {
		option_print(find_flag(p, optopt)->row, quoted);
		return value_refused(e, "flag", quoted, "needs a value");
	}
	flag = find_flag(p, val);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): getopt knows no other flags */
	return flag->row->set(flag->ctx, flag->row, optarg, e);
}

int options_parse(const char *command, const struct option_table *tables, size_t nr_tables,
		  int argc, char **argv, struct st_err *e)
{
	struct parser p;
	int val, err = parser_init(&p, tables, nr_tables);

	if (err) {
		err_sys(e, -err, "flags", NULL);
		goto out;
	}
	optind = 0; /* start anew, also if the last parse stopped inside an argument */
	opterr = 0;
	while (!err && (val = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1)
		err = take(&p, val, argv, e);
	if (err == -EINVAL)
		err_hint(e, "try 'socktables %s --help'", command);
out:
	parser_free(&p);
	return err ? err : argc - optind;
}

void option_print(const struct option_row *row, char *text)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as above */
	if (row->letter)
		snprintf(text, OPTION_TEXT_MAX, "-%c/--%s", row->letter, row->name);
	else
		snprintf(text, OPTION_TEXT_MAX, "--%s", row->name);
}

int option_set_bool(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	const char *why = bool_parse(value, (int *)((char *)ctx + row->offset));
	char what[OPTION_TEXT_MAX];

	if (!why)
		return 0;
	option_print(row, what);
	return value_refused(e, what, value, why);
}

const struct option_row *options_find(const struct option_row *rows, const char *name)
{
	for (; rows->name; rows++) {
		if (!strcmp(rows->name, name))
			return rows;
	}
	return NULL;
}

static int help_flag(const struct option_row *row, char *text)
{
	return snprintf(text, OPTION_TEXT_MAX, "  %c%c%s --%s%s%s", row->letter ? '-' : ' ',
			row->letter ? row->letter : ' ', row->letter ? "," : " ", row->name,
			needs_value(row) ? " " : "", row->metavar ? row->metavar : "[=false]");
}

void options_help(FILE *f, const struct option_table *tables, size_t nr_tables)
{
	const struct option_row *row;
	char text[OPTION_TEXT_MAX];
	int width = 0, n;
	size_t i;

	for (i = 0; i < nr_tables; i++) {
		for (row = tables[i].rows; row->name; row++) {
			n = help_flag(row, text);
			width = n > width ? n : width;
		}
	}
	for (i = 0; i < nr_tables; i++) {
		fprintf(f, "%s%s:\n", i ? "\n" : "", tables[i].title);
		for (row = tables[i].rows; row->name; row++) {
			help_flag(row, text);
			fprintf(f, "%-*s  %s\n", width, text, row->help);
		}
	}
}
