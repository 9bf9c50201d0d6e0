/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What may come from anywhere has to stay on one line, and not speak to the terminal, which takes orders
 * by bytes above ASCII, too; and what is no UTF-8 is no text in JSON. A backslash stays one: systemd has
 * them in names of cgroups, and what was quoted once may become a part of what is quoted again.
 */
void err_quote(const char *which, char *text, size_t size)
{
	size_t n = 0;

	for (; *which && n + 5 < size; which++) {
		if (*which < ' ' || *which > '~')
			n += snprintf(text + n, size - n, "\\x%02x", (unsigned char)*which);
		else
			text[n++] = *which;
	}
	snprintf(text + n, size - n, "%s", *which ? "..." : "");
}

int err_set(struct st_err *e, int code, const char *what, const char *which, const char *why, ...)
{
	char quoted[512], raw[4 * sizeof(e->text)];
	va_list ap;
	size_t n;

	if (e->text[0])
		return -code;
	if (which) {
		err_quote(which, quoted, sizeof(quoted));
		snprintf(raw, sizeof(raw), "%s '%s': ", what, quoted);
	} else {
		snprintf(raw, sizeof(raw), "%s: ", what);
	}
	n = strlen(raw);
	va_start(ap, why);
	vsnprintf(raw + n, sizeof(raw) - n, why, ap);
	va_end(ap);
	err_quote(raw, e->text, sizeof(e->text)); /* a why may have a path in it */
	return -code;
}

int err_sys(struct st_err *e, int code, const char *what, const char *which)
{
	return err_set(e, code, what, which, "%s", strerror(code));
}

void err_hint(struct st_err *e, const char *hint, ...)
{
	char raw[2 * sizeof(e->hint)];
	va_list ap;

	if (e->hint[0])
		return;
	va_start(ap, hint);
	vsnprintf(raw, sizeof(raw), hint, ap);
	va_end(ap);
	err_quote(raw, e->hint, sizeof(e->hint));
}
