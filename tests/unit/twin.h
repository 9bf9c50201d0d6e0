/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The IPv6 twin of an IPv4 policy and flow; rows.h documents the mapping of addresses. */
#ifndef SOCKTABLES_TWIN_H
#define SOCKTABLES_TWIN_H

#include "../../user/ruleset.h"

/* 1 if config and flow are IPv4 and all of it has a counterpart. */
int twin_exists(const struct config *c, const struct flow *raw);

/* Translates both in place; the same verdict is expected then. Only if twin_exists(). */
void twin_make(struct config *c, struct flow *raw);

#endif
