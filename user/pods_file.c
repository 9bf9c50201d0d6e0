/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pods_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "term.h"

struct pods_line {
	size_t number; /* in the file, from 1 */
	char *text;
};

struct pods_file {
	const char *path;
	struct pods_line *lines; /* those with words */
	size_t nr;
	pods_file_each each;
	void *ctx;
};

/* The next word of *AT, in place and without its quotes; NULL at the end, or with e filled. */
static char *next_word(char **at, struct st_err *e)
{
	char *from = *at, *to, *word, quote = 0;

	while (isspace((unsigned char)*from))
		from++;
	if (!*from || *from == '#')
		return NULL;
	for (word = to = from; *from && (quote || !isspace((unsigned char)*from)); from++) {
		if (quote ? *from == quote : *from == '\'' || *from == '"')
			quote = quote ? 0 : *from;
		else
			*to++ = *from;
	}
	if (quote) {
		err_set(e, EINVAL, "quote", NULL, "%c is not closed", quote);
		return NULL;
	}
	*at = from + !!*from;
	*to = '\0';
	return word;
}

/* Splits a copy of the line and passes it on. */
static int run_line(const struct pods_file *f, const struct pods_line *l, int try, struct st_err *e)
{
	size_t room = strlen(l->text) / 2 + 3;
	char **argv = calloc(room, sizeof(*argv)), *copy = strdup(l->text), *at = copy;
	int argc = 1, status = EXIT_FAILED;

	if (!argv || !copy) {
		err_sys(e, ENOMEM, "file of pods", f->path);
	} else {
		argv[0] = "attach";
		while ((argv[argc] = next_word(&at, e)))
			argc++;
		status = e->text[0] ? EXIT_USAGE : f->each(f->ctx, argc, argv, try, e);
	}
	free(argv);
	free(copy);
	return status;
}

static void name_line(size_t number, struct st_err *e)
{
	char text[sizeof(e->text)];

	snprintf(text, sizeof(text), "%s", e->text);
	snprintf(e->text, sizeof(e->text), "line %zu: %.*s", number, (int)sizeof(text) - 32, text);
}

static int read_lines(FILE *in, struct pods_file *f, struct st_err *e)
{
	struct pods_line *more;
	size_t size = 0, number;
	char *line = NULL;
	int err = 0;

	for (number = 1; !err && getline(&line, &size, in) >= 0; number++) {
		if (strspn(line, " \t\r\n") == strlen(line) || line[strspn(line, " \t")] == '#')
			continue;
		more = realloc(f->lines, (f->nr + 1) * sizeof(*more));
		if (!more) {
			err = err_sys(e, ENOMEM, "file of pods", f->path);
			continue;
		}
		f->lines = more;
		f->lines[f->nr].number = number;
		f->lines[f->nr].text = strdup(line);
		err = f->lines[f->nr].text ? 0 : err_sys(e, ENOMEM, "file of pods", f->path);
		f->nr += !err;
	}
	if (!err && ferror(in))
		err = err_sys(e, errno, "file of pods", f->path);
	free(line);
	return err;
}

static int try_all(const struct pods_file *f, struct st_err *e)
{
	int status = EXIT_DONE;
	size_t i;

	for (i = 0; i < f->nr && status == EXIT_DONE; i++) {
		status = run_line(f, &f->lines[i], 1, e);
		if (status != EXIT_DONE)
			name_line(f->lines[i].number, e);
	}
	return status;
}

static int run_all(const struct pods_file *f, struct st_err *e)
{
	size_t i, failed = 0;
	struct term t;

	term_look(stderr, &t);
	for (i = 0; i < f->nr; i++) {
		struct st_err why = {};

		if (t.can_redraw)
			fprintf(stderr, "\r\033[K%zu of %zu pods", i, f->nr);
		if (run_line(f, &f->lines[i], 0, &why) == EXIT_DONE)
			continue;
		failed++;
		name_line(f->lines[i].number, &why);
		fprintf(stderr, "%ssocktables: attach: %s\n", t.can_redraw ? "\r\033[K" : "",
			why.text);
		if (why.hint[0])
			fprintf(stderr, "hint: %s\n", why.hint);
	}
	if (t.can_redraw)
		fputs("\r\033[K", stderr);
	if (!failed)
		return EXIT_DONE;
	err_set(e, EIO, "pods", NULL, "%zu of %zu could not be attached", failed, f->nr);
	return EXIT_FAILED;
}

int pods_file_run(const char *path, pods_file_each each, void *ctx, struct st_err *e)
{
	struct pods_file f = { .path = path, .each = each, .ctx = ctx };
	FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int status = EXIT_FAILED;

	if (!in) {
		err_sys(e, errno, "file of pods", path);
		return EXIT_FAILED;
	}
	if (!read_lines(in, &f, e)) {
		status = try_all(&f, e);
		if (status == EXIT_DONE)
			status = run_all(&f, e);
	}
	if (in != stdin)
		fclose(in);
	while (f.nr)
		free(f.lines[--f.nr].text);
	free(f.lines);
	return status;
}
