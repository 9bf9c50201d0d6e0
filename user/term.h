/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What output may look like: colour, width and redrawing on a terminal, none of it anywhere else. */
#ifndef SOCKTABLES_TERM_H
#define SOCKTABLES_TERM_H

#include <stdio.h>

enum term_style { TERM_STRONG, TERM_GOOD, TERM_NOTED, TERM_BAD };

struct term {
	int can_redraw; /* a terminal that knows escape sequences: not TERM=dumb */
	int has_colour; /* that, and NO_COLOR is not set (https://no-color.org) */
	int width;	/* columns; 0: no terminal, lines may have any length */
	int height;	/* lines; 0: no terminal */
};

void term_look(FILE *f, struct term *ret);

/* TEXT in that style. */
void term_put(FILE *f, const struct term *t, enum term_style style, const char *text);

/* TEXT and a newline; lines that would be too wide are broken at blanks. The first one starts at column
 * INDENT already, further ones are indented so far.
 */
void term_wrap(FILE *f, const struct term *t, int indent, const char *text);

/* Shows a picture in the place of the last one; what does not fit on the screen is left out. */
void term_redraw(FILE *f, const struct term *t, const char *picture);

#endif
