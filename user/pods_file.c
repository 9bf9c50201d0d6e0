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
	void *parsed;
};

struct pods_file {
	const char *path;
	struct pods_line *lines; /* those with words */
	size_t nr;
	const struct pods_line_ops *ops;
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

/* Splits the line in place and passes it on. */
static int parse_line(const struct pods_file *f, struct pods_line *l, struct st_err *e)
{
	char **argv = calloc(strlen(l->text) / 2 + 3, sizeof(*argv)), *at = l->text;
	int argc = 1, status = EXIT_FAILED;

	if (!argv) {
		err_sys(e, ENOMEM, "file of pods", f->path);
		return status;
	}
	argv[0] = "attach";
	while ((argv[argc] = next_word(&at, e)))
		argc++;
	status = e->text[0] ? EXIT_USAGE : f->ops->parse(f->ctx, argc, argv, &l->parsed, e);
	free(argv);
	return status;
}

static void name_line(size_t number, struct st_err *e)
{
	char text[sizeof(e->text)];

	snprintf(text, sizeof(text), "%s", e->text);
	snprintf(e->text, sizeof(e->text), "line %zu: %.*s", number, (int)sizeof(text) - 32, text);
}

static int add_line(struct pods_file *f, size_t number, const char *text, struct st_err *e)
{
	struct pods_line *more;

	if (text[strspn(text, " \t\r\n")] == '\0' || text[strspn(text, " \t")] == '#')
		return 0;
	more = realloc(f->lines, (f->nr + 1) * sizeof(*more));
	if (!more)
		return err_sys(e, ENOMEM, "file of pods", f->path);
	f->lines = more;
	more[f->nr] = (struct pods_line){ .number = number, .text = strdup(text) };
	if (!more[f->nr].text)
		return err_sys(e, ENOMEM, "file of pods", f->path);
	f->nr++;
	return 0;
}

static int read_lines(FILE *in, struct pods_file *f, struct st_err *e)
{
	size_t size = 0, number;
	char *line = NULL;
	ssize_t got;
	int err = 0;

	for (number = 1; !err && (got = getline(&line, &size, in)) >= 0; number++) {
		if (strlen(line) == (size_t)got)
			err = add_line(f, number, line, e);
		else
			err = err_set(e, EINVAL, "file of pods", f->path, "line %zu has a NUL byte",
				      number);
	}
	if (!err && !feof(in)) /* without memory getline() sets no error indicator */
		err = err_sys(e, errno, "file of pods", f->path);
	free(line);
	return err;
}

static int parse_all(const struct pods_file *f, struct st_err *e)
{
	int status = EXIT_DONE;
	size_t i;

	for (i = 0; i < f->nr && status == EXIT_DONE; i++) {
		status = parse_line(f, &f->lines[i], e);
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
		if (f->ops->run(f->lines[i].parsed, &why) == EXIT_DONE)
			continue;
		failed++;
		name_line(f->lines[i].number, &why);
		if (t.can_redraw)
			fputs("\r\033[K", stderr);
		cmd_tell("attach", &why);
	}
	if (t.can_redraw)
		fputs("\r\033[K", stderr);
	if (!failed)
		return EXIT_DONE;
	err_set(e, EIO, "pods", NULL, "%zu of %zu could not be attached", failed, f->nr);
	return EXIT_FAILED;
}

int pods_file_run(const char *path, const struct pods_line_ops *ops, void *ctx, struct st_err *e)
{
	struct pods_file f = { .path = path, .ops = ops, .ctx = ctx };
	FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int err, status;

	if (!in) {
		err_sys(e, errno, "file of pods", path);
		return EXIT_FAILED;
	}
	err = read_lines(in, &f, e);
	status = err == -EINVAL ? EXIT_USAGE : err ? EXIT_FAILED : parse_all(&f, e);
	if (in != stdin)
		fclose(in);
	if (status == EXIT_DONE)
		status = run_all(&f, e);
	while (f.nr--) {
		ops->free(f.lines[f.nr].parsed);
		free(f.lines[f.nr].text);
	}
	free(f.lines);
	return status;
}
