/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: import. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "import.h"

static int print_json(const struct import *i)
{
	json_t *flags = json_array();
	size_t n;

	for (n = 0; n < i->nr; n++)
		json_array_append_new(flags, json_string(i->flags[n]));
	return json_put(json_pack("{so}", "flags", flags));
}

/* NULL: standard input. A directory can be opened, but not be read. */
static FILE *open_rules(const char *name, struct st_err *e)
{
	FILE *f = name ? fopen(name, "re") : stdin;
	int first = f ? getc(f) : EOF;

	if (f && !ferror(f)) {
		ungetc(first, f);
		return f;
	}
	err_sys(e, errno, name ? "file" : "stdin", name);
	if (f && name)
		fclose(f);
	return NULL;
}

/* A person who gets nothing wants to know that it is the answer. */
static void print_flags(const struct import *i)
{
	import_print(stdout, i);
	if (!i->nr && isatty(STDOUT_FILENO))
		fputs("no flag is needed: these are the defaults of attach\n", stderr);
}

/* Not a byte of the flags stands on stdout if one rule cannot be expressed. */
static int import_file(FILE *f, int json, struct st_err *e)
{
	struct import i;
	int status = EXIT_FAILED;

	if (!import_read(f, &i, e)) {
		status = EXIT_DONE;
		if (json)
			status = print_json(&i);
		else
			print_flags(&i);
	}
	import_free(&i);
	return status;
}

int cmd_import(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct noun_args a = {};
	void *ctx[] = { &a };
	char **args;
	int status, n;
	FILE *f;

	n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	if (n < 0)
		return status;
	if (n > 1) {
		err_set(e, EINVAL, "argument", args[1], "one file at most");
		return EXIT_USAGE;
	}
	f = open_rules(n && strcmp(args[0], "-") ? args[0] : NULL, e);
	if (!f)
		return EXIT_FAILED;
	status = cmd_begin(self, e) ? EXIT_FAILED : import_file(f, a.json, e);
	if (f != stdin)
		fclose(f);
	return status;
}
