/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The option parser with tables of its own: forms, arguments, usage errors, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/options.h"

struct where {
	const char *cgroup, *netns, *name;
	int force, verbose;
};

static int set_text(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	if (!strcmp(value, "bad"))
		return err_set(e, EINVAL, row->name, value, "is bad");
	*(const char **)((char *)ctx + row->offset) = value;
	return 0;
}

#define AT(member) offsetof(struct where, member)

static const struct option_row where_rows[] = {
	{ "cgroup", 0, "DIR", "cgroup of the pod", set_text, AT(cgroup) },
	{ "netns", 'n', "FILE", "netns of the pod", set_text, AT(netns) },
	{ "force", 'f', NULL, "do it anyway", option_set_bool, AT(force) },
	{ 0 },
};

static const struct option_row other_rows[] = {
	{ "name", 'N', "NAME", "name of the pod", set_text, AT(name) },
	{ "namespace", 0, "NAME", "like name, but longer", set_text, AT(name) },
	{ "verbose", 'v', NULL, "say more", option_set_bool, AT(verbose) },
	{ 0 },
};

static char *line_argv[16];
static char line_text[256];

/* Splits at blanks, "_" is an empty word; the arguments are then the last of line_argv. */
static int parse(const char *line, struct where *a, struct where *b, struct st_err *e)
{
	const struct option_table tables[] = { { "Pod", where_rows, a },
					       { "Other", other_rows, b } };
	char *word, *rest = line_text;
	int argc = 1;

	*a = *b = (struct where){ 0 };
	*e = (struct st_err){ 0 };
	line_argv[0] = "command";
	snprintf(line_text, sizeof(line_text), "%s", line);
	while ((word = strsep(&rest, " "))) {
		if (*word)
			line_argv[argc++] = strcmp(word, "_") ? word : word + 1;
	}
	line_argv[argc] = NULL;
	return options_parse("command", tables, 2, argc, line_argv, e);
}

static void test_forms(void **state)
{
	static const char *const lines[] = {
		"--cgroup /c --netns /n --force -N x",
		"--cgroup=/c --netns=/n --force=true -Nx",
		"-n /n --cgr /c -fNx",
		"-f -f -n other -n /n --name=x --cgroup /c",
	};
	struct where a, b;
	struct st_err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(parse(lines[i], &a, &b, &e), 0);
		assert_string_equal(a.cgroup, "/c");
		assert_string_equal(a.netns, "/n");
		assert_int_equal(a.force, 1);
		assert_string_equal(b.name, "x");
		assert_null(a.name);
	}
	assert_int_equal(parse("--force --force=false -n _ --name=", &a, &b, &e), 0);
	assert_int_equal(a.force, 0);
	assert_string_equal(a.netns, "");
	assert_string_equal(b.name, "");
}

static void assert_args(int nr, const char *first, const char *last)
{
	int argc = 0;

	while (line_argv[argc])
		argc++;
	assert_string_equal(line_argv[argc - nr], first);
	assert_string_equal(line_argv[argc - 1], last);
}

static void test_arguments(void **state)
{
	struct where a, b;
	struct st_err e;

	(void)state;
	assert_int_equal(parse("pod", &a, &b, &e), 1);
	assert_args(1, "pod", "pod");
	assert_int_equal(parse("one -f two -n /n three", &a, &b, &e), 3);
	assert_args(3, "one", "three");
	assert_int_equal(a.force, 1);
	assert_int_equal(parse("one -- -f --help", &a, &b, &e), 3);
	assert_args(3, "one", "--help");
	assert_int_equal(a.force, 0);
	assert_int_equal(parse("-f false", &a, &b, &e), 1); /* as in Go: only with '=' */
	assert_int_equal(a.force, 1);
	assert_int_equal(parse("-", &a, &b, &e), 1);
	assert_int_equal(parse("", &a, &b, &e), 0);
}

static void test_usage_errors(void **state)
{
	static const char *const rows[][2] = {
		{ "--frobnicate", "flag '--frobnicate': unknown" },
		{ "--frobnicate=7 x", "flag '--frobnicate': unknown" },
		{ "pod --frobnicate", "flag '--frobnicate': unknown" },
		{ "--force -y", "flag '-y': unknown" },
		{ "--force -fyv", "flag '-y': unknown" },
		{ "--n x", "flag '--n': could be several flags" },
		{ "--na=x", "flag '--na': could be several flags" },
		{ "--netns", "flag '-n/--netns': needs a value" },
		{ "-f -n", "flag '-n/--netns': needs a value" },
		{ "--cgroup", "flag '--cgroup': needs a value" },
		{ "--help=x", "flag '--help': takes no value" },
		{ "--force=maybe", "-f/--force 'maybe': neither true nor false" },
		{ "--force=", "-f/--force '': neither true nor false" },
		{ "-n bad --frobnicate", "netns 'bad': is bad" },
	};
	struct where a, b;
	struct st_err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i][0], &a, &b, &e), -EINVAL);
		assert_string_equal(e.text, rows[i][1]);
		assert_string_equal(e.hint, "try 'socktables command --help'");
	}
	/* What getopt remembers of a parse that stopped half way must not reach the next one. */
	assert_int_equal(parse("-yfv", &a, &b, &e), -EINVAL);
	assert_int_equal(parse("-v one", &a, &b, &e), 1);
	assert_int_equal(a.force, 0);
	assert_int_equal(b.verbose, 1);
}

static void test_help_asked(void **state)
{
	struct where a, b;
	struct st_err e;

	(void)state;
	assert_int_equal(parse("--help", &a, &b, &e), OPTIONS_HELP);
	assert_int_equal(parse("pod -h --frobnicate", &a, &b, &e), OPTIONS_HELP);
	assert_int_equal(parse("-fh", &a, &b, &e), OPTIONS_HELP);
	assert_string_equal(e.text, "");
}

static void test_help_text(void **state)
{
	const struct option_table tables[] = { { "Pod", where_rows, NULL },
					       { "Other", other_rows, NULL } };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	options_help(f, tables, 2);
	fclose(f);
	assert_string_equal(text, "Pod:\n"
				  "      --cgroup DIR       cgroup of the pod\n"
				  "  -n, --netns FILE       netns of the pod\n"
				  "  -f, --force[=false]    do it anyway\n"
				  "\nOther:\n"
				  "  -N, --name NAME        name of the pod\n"
				  "      --namespace NAME   like name, but longer\n"
				  "  -v, --verbose[=false]  say more\n");
	free(text);
}

static void test_find(void **state)
{
	char text[OPTION_TEXT_MAX];

	(void)state;
	assert_ptr_equal(options_find(where_rows, "netns"), &where_rows[1]);
	assert_null(options_find(where_rows, "net"));
	option_print(&where_rows[1], text);
	assert_string_equal(text, "-n/--netns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	     cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_usage_errors), cmocka_unit_test(test_help_asked),
		cmocka_unit_test(test_help_text),    cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL) != 0;
}
