/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keeps the policies of all pods right while their addresses, routes and interfaces change. */
#ifndef SOCKTABLES_AGENT_H
#define SOCKTABLES_AGENT_H

#include "err.h"

/* Refreshes every pod once. Returns 0, or -errno with e filled about the first pod that failed, after
 * all have had their turn.
 */
int agent_once(struct st_err *e);

/* Runs until SIGTERM or SIGINT; calls complain() with what goes wrong with single pods, which are
 * tried again. Returns 0, or -errno with e filled: -EBUSY if there is an agent already.
 */
int agent_run(void (*complain)(const struct st_err *e), struct st_err *e);

#endif
