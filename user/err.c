/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct st_err *e, int code, const char *what, const char *which, const char *why, ...)
{
	size_t n;
	va_list ap;

	if (e->text[0])
		return -code;
	if (which)
		snprintf(e->text, sizeof(e->text), "%s '%s': ", what, which);
	else
		snprintf(e->text, sizeof(e->text), "%s: ", what);
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
