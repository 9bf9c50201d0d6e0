/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The iptables rules that Istio would write for a policy, in the forms that its releases gave them,
 * 1.11 to 1.30. Nothing here is ever loaded: import compares with it.
 */
#ifndef SOCKTABLES_ISTIO_RULES_H
#define SOCKTABLES_ISTIO_RULES_H

#include "config.h"
#include "rules.h"

/* Where DNS over UDP is redirected: the one difference between forms of table nat that is not told
 * by config.old_rules, and that matters.
 */
enum nat_form {
	NAT_UDP_FIRST, /* in OUTPUT, before and apart from ISTIO_OUTPUT: 1.11 to 1.22 */
	NAT_UDP_LAST,  /* behind the destinations, in ISTIO_OUTPUT: 1.23, 1.24 */
	NAT_UDP_NEXT,  /* beside DNS over TCP, in ISTIO_OUTPUT_DNS: since 1.25 */
};

/* How many forms there are of that table, from 1 on. */
#define ISTIO_FORMS_MAX 4
int istio_forms(enum rule_table name);

/* The rules of one family and form into a new table. Owner groups need to be gids. Returns 0, or
 * -ENOMEM with e filled. Free with table_free().
 */
int istio_rules(const struct config *c, int v6, enum rule_table name, int form, struct table *ret,
		struct st_err *e);

#endif
