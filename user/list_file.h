/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists that stand in a file: a value @FILE. A program's argument ends at 128 KiB, lists need not. */
#ifndef SOCKTABLES_LIST_FILE_H
#define SOCKTABLES_LIST_FILE_H

#include "err.h"
#include "values.h"

/* The list that a value is. A plain one is used as it stands; of a file, '@' before its path,
 * elements are separated by commas, blanks or newlines, and '#' begins a comment. A pipe will do,
 * which is read to its end, for one list. Returns 0, or -errno with e filled: WHAT 'the value': why.
 * Free with list_close().
 */
int list_open(const char *what, const char *value, struct list *ret, struct st_err *e);
void list_close(struct list *l);

#endif
