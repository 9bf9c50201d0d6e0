/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: probe. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cmd.h"
#include "probe.h"

static void add_row(void *ctx, const struct probe_row *row)
{
	json_array_append_new(ctx, json_pack("{ss ss ss sb sb ss}", "feature", row->name,
					     "needed_for", row->what, "since", row->since,
					     "required", row->required, "available", !row->err,
					     "error", row->err ? strerror(-row->err) : ""));
}

static void print_rows(const json_t *rows, const char *release)
{
	const char *name, *what, *since, *error;
	int required, available;
	json_t *row;
	size_t i;

	printf("Linux %s\n", release);
	json_array_foreach((json_t *)rows, i, row) {
		json_unpack(row, "{ss ss ss sb sb ss}", "feature", &name, "needed_for", &what,
			    "since", &since, "required", &required, "available", &available,
			    "error", &error);
		printf("  %-8s %-26s since %-5s %s%s%s\n",
		       available  ? "yes"
		       : required ? "MISSING"
				  : "no",
		       name, since, what, available ? "" : ": ", error);
	}
}

int cmd_probe(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct noun_args a = {};
	void *ctx[] = { &a };
	struct utsname u;
	char **args;
	json_t *rows;
	int status, err, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (n) {
		err_set(e, EINVAL, "argument", args[0], "not expected");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	uname(&u);
	rows = json_array();
	err = probe(add_row, rows);
	if (a.json) {
		json_put(json_pack("{ss so}", "kernel", u.release, "features", rows));
	} else {
		print_rows(rows, u.release);
		json_decref(rows);
	}
	if (!err)
		return EXIT_DONE;
	if (err == -EPERM)
		err_set(e, EPERM, "kernel", u.release, "does not let BPF programs be loaded");
	else
		err_set(e, ENOTSUP, "kernel", u.release, "lacks what is marked MISSING");
	return EXIT_FAILED;
}
