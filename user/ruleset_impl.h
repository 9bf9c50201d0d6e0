/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of a ruleset share: what flags say, and what the pod is. */
#ifndef SOCKTABLES_RULESET_IMPL_H
#define SOCKTABLES_RULESET_IMPL_H

#include "ruleset.h"

#define IFACE_WORDS (IFACE_NAME_MAX / sizeof(__u32)) /* of a name in st_ids */

/* 1 if the pattern of -c, a name or the begin of names and '+', means the interface. */
int iface_fits(const char *pattern, const char *name);

/* The orders in which classes and ids are searched. */
int ruleset_compare_length(const void *a, const void *b);
int ruleset_compare_ids(const void *a, const void *b);

#endif
