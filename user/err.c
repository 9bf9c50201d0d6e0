/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What may come from anywhere has to stay on one line, and not speak to the terminal. */
void err_quote(const char *which, char *text, size_t size)
{
	size_t n = 0;

	for (; *which && n + 5 < size; which++) {
		if ((unsigned char)*which < ' ' || *which == 127)
			n += snprintf(text + n, size - n, "\\x%02x", *which);
		else
			text[n++] = *which;
	}
	snprintf(text + n, size - n, "%s", *which ? "..." : "");
}

int err_set(struct st_err *e, int code, const char *what, const char *which, const char *why, ...)
{
	char quoted[512];
	va_list ap;
	size_t n;

	if (e->text[0])
		return -code;
	if (which) {
		err_quote(which, quoted, sizeof(quoted));
		snprintf(e->text, sizeof(e->text), "%s '%s': ", what, quoted);
	} else {
		snprintf(e->text, sizeof(e->text), "%s: ", what);
	}
	n = strlen(e->text);
	va_start(ap, why);
	vsnprintf(e->text + n, sizeof(e->text) - n, why, ap);
	va_end(ap);
	return -code;
}

int err_sys(struct st_err *e, int code, const char *what, const char *which)
{
	return err_set(e, code, what, which, "%s", strerror(code));
}

void err_hint(struct st_err *e, const char *hint, ...)
{
	va_list ap;

	if (e->hint[0])
		return;
	va_start(ap, hint);
	vsnprintf(e->hint, sizeof(e->hint), hint, ap);
	va_end(ap);
}
