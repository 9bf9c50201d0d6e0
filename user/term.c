/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Narrower than this, broken lines are harder to read than those that the terminal breaks. */
#define MIN_TEXT 20

/* ECMA-48: bold, green, yellow, red. */
static const char *const styles[] = {
	[TERM_STRONG] = "\033[1m",
	[TERM_GOOD] = "\033[32m",
	[TERM_NOTED] = "\033[33m",
	[TERM_BAD] = "\033[1;31m",
};

void term_look(FILE *f, struct term *ret)
{
	const char *kind = getenv("TERM"), *no_color = getenv("NO_COLOR");
	struct winsize size;

	memset(ret, 0, sizeof(*ret));
	if (!isatty(fileno(f)))
		return;
	ret->can_redraw = kind && *kind && strcmp(kind, "dumb");
	ret->has_colour = ret->can_redraw && !(no_color && *no_color);
	if (ioctl(fileno(f), TIOCGWINSZ, &size))
		return;
	ret->width = size.ws_col;
	ret->height = size.ws_row;
}

void term_put(FILE *f, const struct term *t, enum term_style style, const char *text)
{
	if (t->has_colour)
		fprintf(f, "%s%s\033[m", styles[style], text);
	else
		fputs(text, f);
}

void term_wrap(FILE *f, const struct term *t, int indent, const char *text)
{
	int room = t->width - indent, n;

	while (t->width && room >= MIN_TEXT && (int)strlen(text) > room) {
		for (n = room; n > 0 && text[n] != ' '; n--)
			;
		if (!n)
			break; /* one long word: a path, to be copied as a whole */
		fprintf(f, "%.*s\n%*s", n, text, indent, "");
		text += n + 1;
	}
	fprintf(f, "%s\n", text);
}

/* Bytes of a line that take no more columns than there are; escape sequences take none. */
static size_t fitting(const char *line, size_t len, int width)
{
	size_t n;
	int column = 0;

	for (n = 0; n < len; n++) {
		if (line[n] == '\033') {
			while (n < len && line[n] != 'm')
				n++;
			continue;
		}
		if (column++ == width)
			break;
	}
	return n;
}

void term_redraw(FILE *f, const struct term *t, const char *picture)
{
	int rows = t->height;
	size_t len;

	fputs("\033[H", f);
	/* The last row stays empty, as a newline there would scroll. */
	for (; *picture && (!t->height || --rows > 0); picture += len + (picture[len] == '\n')) {
		len = strcspn(picture, "\n");
		fwrite(picture, 1, t->width ? fitting(picture, len, t->width) : len, f);
		fprintf(f, "%s\033[K\n", t->has_colour ? "\033[m" : "");
	}
	fputs("\033[J", f);
}
