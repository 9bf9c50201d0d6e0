/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One failure, told once: filled where it happens, printed by main(). */
#ifndef SOCKTABLES_ERR_H
#define SOCKTABLES_ERR_H

#include <stddef.h>

struct st_err {
	char text[1024]; /* what 'which': why */
	char hint[512];	 /* what to do about it, or empty */
};

/* Fills text with WHAT 'WHICH': WHY (WHICH may be NULL: then WHAT: WHY). Returns -code, so that
 * `return err_set(e, EINVAL, "port", arg, "not a number from 1 to 65535");` is the whole exit.
 * An earlier text is kept if it is there: the first failure is the one to tell.
 */
int err_set(struct st_err *e, int code, const char *what, const char *which, const char *why, ...)
	__attribute__((format(printf, 5, 6)));

/* The same with strerror(code) as the why. */
int err_sys(struct st_err *e, int code, const char *what, const char *which);

/* Room for a quoted text of that many bytes, each of which may become four. */
#define ERR_QUOTED_MAX(length) (4 * (length) + 6)

/* WHICH as it may be shown: what is not printable ASCII becomes \xNN; cut off to fit text[size]. To quote
 * twice does not matter.
 */
void err_quote(const char *which, char *text, size_t size);

void err_hint(struct st_err *e, const char *hint, ...) __attribute__((format(printf, 2, 3)));

#endif
