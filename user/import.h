/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Istio's iptables rules, as they were found in a pod, to the policy flags that mean the same.
 * Exact or refused: the flags are turned into the rules that Istio would write for them, and these
 * have to be the ones that were read, one by one.
 */
#ifndef SOCKTABLES_IMPORT_H
#define SOCKTABLES_IMPORT_H

#include <stdio.h>

#include "config.h"
#include "err.h"
#include "rules.h"

struct import {
	char **flags; /* as attach takes them, flag and value, what is its default left out */
	size_t nr;
	struct config config; /* what they mean */
};

/* f: what iptables-save or iptables -S printed, of IPv4 or of both families. Returns 0, or -EINVAL
 * with e telling the first rule that cannot be expressed, or another -errno. import_free() may
 * follow in any case.
 */
int import_read(FILE *f, struct import *ret, struct st_err *e);
void import_free(struct import *i);

/* For a shell. */
void import_print(FILE *f, const struct import *i);

/* import_guess.c: fills i->flags with what the rules seem to say. Returns 0 or -ENOMEM. */
int import_guess(const struct rules *r, struct import *i);

#endif
