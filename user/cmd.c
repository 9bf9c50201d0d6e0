/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the commands share. */
#include "cmd.h"
#include "caps.h"
#include "pod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option_row noun_rows[] = {
	{ "json", 0, NULL, "machine-readable output", option_set_bool,
	  offsetof(struct noun_args, json) },
	{},
};

const struct option_table noun_tables[1] = { { .title = "flags", .rows = noun_rows } };

void cmd_tell(const char *name, const struct st_err *e)
{
	if (e->text[0])
		fprintf(stderr, "socktables: %s: %s\n", name, e->text);
	if (e->hint[0])
		fprintf(stderr, "hint: %s\n", e->hint);
}

int cmd_set_string(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	char flag[OPTION_TEXT_MAX];

	if (!*value) {
		option_print(row, flag);
		return err_set(e, EINVAL, "flag", flag, "needs a value");
	}
	*(const char **)((char *)ctx + row->offset) = value;
	return 0;
}

static void print_help(const struct command *c)
{
	char caps[CAPS_TEXT_MAX];

	printf("usage: socktables %s %s\n\n%s\n", c->name, c->args, c->help);
	if (c->nr_tables)
		putchar('\n');
	options_help(stdout, c->tables, c->nr_tables);
	caps_text(c->needs, caps);
	printf("\nprivileges: %s", caps);
	if (c->uses) {
		caps_text(c->uses, caps);
		printf("; if there are, %s", caps);
	}
	printf("\n\nexamples:\n%s", c->examples);
}

int cmd_begin(const struct command *self, struct st_err *e)
{
	return caps_keep(self->needs, self->uses, e);
}

int cmd_parse(const struct command *self, void *const *ctx, int argc, char **argv, char ***args,
	      int *status, struct st_err *e)
{
	struct option_table tables[4];
	size_t i;
	int n;

	for (i = 0; i < self->nr_tables; i++) {
		tables[i] = self->tables[i];
		tables[i].ctx = ctx[i];
	}
	n = options_parse(self->name, tables, self->nr_tables, argc, argv, e);
	if (n == OPTIONS_HELP) {
		print_help(self);
		*status = EXIT_DONE;
		return -1;
	}
	if (n < 0) {
		*status = n == -EINVAL ? EXIT_USAGE : EXIT_FAILED; /* a list's file, memory */
		return -1;
	}
	*args = argv + argc - n;
	return n;
}

int cmd_result(int err, const char *name, struct st_err *e)
{
	if (!err)
		return EXIT_DONE;
	if (err == -ENOENT && !e->text[0]) {
		if (name)
			err_set(e, ENOENT, "pod", name, "not attached");
		return EXIT_NOT_ATTACHED;
	}
	return EXIT_FAILED;
}

int cmd_one_pod(int n, char **args, const char **ret, struct st_err *e)
{
	if (n > 1)
		return err_set(e, EINVAL, "argument", args[1], "not expected");
	*ret = n ? args[0] : NULL;
	return n ? pod_check_name(args[0], e) : 0;
}

json_t *json_quoted(const char *text)
{
	size_t size = ERR_QUOTED_MAX(strlen(text));
	char *quoted = malloc(size);
	json_t *o = NULL;

	if (quoted) {
		err_quote(text, quoted, size);
		o = json_string(quoted);
	}
	free(quoted);
	return o;
}

int json_put(json_t *value)
{
	int err = !value || json_dumpf(value, stdout, JSON_INDENT(2)) || putchar('\n') == EOF;

	json_decref(value);
	return err ? EXIT_FAILED : EXIT_DONE;
}
