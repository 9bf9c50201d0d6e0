/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text to value, for options and whatever else a person writes. Every parser returns NULL, or why
 * the text is refused (a string constant) and then leaves *ret alone. Nothing is guessed: no signs,
 * no spaces, no leading zeros (iptables would read 010 as 8, Go as 10), nothing cut off.
 */
#ifndef SOCKTABLES_VALUES_H
#define SOCKTABLES_VALUES_H

#include <linux/types.h>
#include <stddef.h>
#include <stdio.h>

#include "err.h"

/* Returns 0, or -1 if text is not a plain decimal number from min to max. */
int number_parse(const char *text, __u32 min, __u32 max, __u32 *ret);

/* ret: __u16, host order, 1 to 65535. */
const char *port_parse(const char *text, void *ret);

/* ret: __u32, a uid or gid; 4294967295 is no id but "none". */
const char *id_parse(const char *text, void *ret);

/* What Go's strconv.ParseBool takes; NULL means true: --flag alone. */
const char *bool_parse(const char *text, int *ret);

#define IFACE_NAME_MAX 16 /* IFNAMSIZ */

/* ret: char[IFACE_NAME_MAX], an interface's name. */
const char *iface_parse(const char *text, void *ret);

typedef const char *(*element_parser)(const char *text, void *ret);

/* A comma separated list, and where it comes from: list_open(). */
struct list {
	const char *text;
	const char *file; /* NULL: it is the flag's value itself */
	__u32 *lines;	  /* of file, where each element stands that is not empty */
	char *memory;	  /* what text is in, if it was read */
};

/* A list into a new array of *ret_nr elements of size bytes, which the caller frees (NULL if there
 * are none). Empty elements are dropped, as Istio does. Returns 0, -ENOMEM or -EINVAL with e filled:
 * WHAT 'the element': why, and the line of the file.
 */
int list_parse(const char *what, const struct list *list, size_t size, element_parser parse,
	       void **ret_array, size_t *ret_nr, struct st_err *e);

/* 1 if one of the elements of a comma separated list is '*'. */
int list_has_star(const char *list);

/* err_set() for -EINVAL with a which that may be long: it is shortened, so that the why is told. */
int value_refused(struct st_err *e, const char *what, const char *which, const char *why);

/* As a shell reads it: with quotes if it needs them. */
void word_print(FILE *f, const char *word);

#endif
