/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED_MAX 120 /* longest part of a refused value that a message repeats */

int number_parse(const char *text, __u32 min, __u32 max, __u32 *ret)
{
	unsigned long long n = 0;
	const char *c;

	if (!*text || (text[0] == '0' && text[1]))
		return -1;
	for (c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -1;
		n = n * 10 + (*c - '0');
		if (n > max)
			return -1;
	}
	if (n < min)
		return -1;
	*ret = n;
	return 0;
}

const char *port_parse(const char *text, void *ret)
{
	__u32 n;

	if (number_parse(text, 1, 65535, &n))
		return "not a port: a number from 1 to 65535";
	*(__u16 *)ret = n;
	return NULL;
}

const char *id_parse(const char *text, void *ret)
{
	if (number_parse(text, 0, 4294967294U, ret))
		return "not an id: a number from 0 to 4294967294";
	return NULL;
}

const char *iface_parse(const char *text, void *ret)
{
	const char *c;

	if (strlen(text) >= IFACE_NAME_MAX)
		return "longer than an interface's name can be: 15 characters";
	for (c = text; *c; c++)
		if (*c == '/' || *c == ':' || *c == '*' || *c <= ' ' || *c > '~')
			return "not an interface's name";
	memcpy(ret, text, strlen(text) + 1);
	return NULL;
}

const char *bool_parse(const char *text, int *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "True", "TRUE" };
	static const char *const no[] = { "0", "f", "F", "false", "False", "FALSE" };
	size_t i;

	if (!text) {
		*ret = 1;
		return NULL;
	}
	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*ret = !strcmp(text, yes[i]);
			return NULL;
		}
	}
	return "neither true nor false";
}

int value_refused(struct st_err *e, const char *what, const char *which, const char *why)
{
	char quoted[QUOTED_MAX + 4];

	snprintf(quoted, sizeof(quoted), "%.*s%s", QUOTED_MAX, which,
		 strlen(which) > QUOTED_MAX ? "..." : "");
	return err_set(e, EINVAL, what, quoted, "%s", why);
}

static size_t count_elements(const char *list)
{
	size_t nr = 1;

	for (; *list; list++)
		nr += *list == ',';
	return nr;
}

static int element_refused(struct st_err *e, const char *what, const struct list *list, size_t nr,
			   const char *item, const char *why)
{
	char file[QUOTED_MAX], where[QUOTED_MAX + 200];

	if (!list->file)
		return value_refused(e, what, item, why);
	err_quote(list->file, file, sizeof(file));
	snprintf(where, sizeof(where), "%s (line %u of %s)", why, list->lines[nr], file);
	return value_refused(e, what, item, where);
}

int list_parse(const char *what, const struct list *list, size_t size, element_parser parse,
	       void **ret_array, size_t *ret_nr, struct st_err *e)
{
	char *array = calloc(count_elements(list->text), size);
	char *copy = strdup(list->text), *rest = copy, *item;
	const char *why;
	size_t nr = 0;
	int err = 0;

	if (!array || !copy)
		err = err_sys(e, ENOMEM, what, NULL);
	while (!err && (item = strsep(&rest, ","))) {
		if (!*item)
			continue;
		why = parse(item, array + nr * size);
		if (why)
			err = element_refused(e, what, list, nr, item, why);
		else
			nr++;
	}
	free(copy);
	if (err || !nr) {
		free(array);
		array = NULL;
	}
	if (err)
		return err;
	*ret_array = array;
	*ret_nr = nr;
	return 0;
}

int list_has_star(const char *list)
{
	const char *c;

	for (c = strchr(list, '*'); c; c = strchr(c + 1, '*')) {
		if ((c == list || c[-1] == ',') && (!c[1] || c[1] == ','))
			return 1;
	}
	return 0;
}

void word_print(FILE *f, const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789,./:=@%_+-";

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, f);
		return;
	}
	putc('\'', f);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", f);
		else
			putc(*word, f);
	putc('\'', f);
}
