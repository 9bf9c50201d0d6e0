/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Least privilege: what a command needs is checked before it does anything, the rest is given up. */
#ifndef SOCKTABLES_CAPS_H
#define SOCKTABLES_CAPS_H

#include <stdio.h>

#include <linux/capability.h>
#include <linux/types.h>

#include "err.h"

/* A set of capabilities by their short names: CAPS(BPF) | CAPS(NET_ADMIN). */
#define CAPS(name) (1ULL << CAP_##name)

#define CAPS_TEXT_MAX 256

/* Refuses with the name of the first of needed that is missing (-EPERM). Else gives up, for good, all
 * that is in neither set. Of useful it keeps what there is. Returns 0 or -errno with e filled.
 */
int caps_keep(__u64 needed, __u64 useful, struct st_err *e);

/* "CAP_NET_ADMIN, CAP_BPF", or "none" */
void caps_text(__u64 set, char text[CAPS_TEXT_MAX]);

#endif
