/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The iptables rules that Istio would write for a policy, in the forms that its releases gave them,
 * 1.11 to 1.30. Nothing here is ever loaded: import compares with it.
 */
#ifndef SOCKTABLES_ISTIO_RULES_H
#define SOCKTABLES_ISTIO_RULES_H

#include "config.h"
#include "rules.h"

/* How many forms there are of that table, from 1 on. Those of nat are enum udp_dns, which matters;
 * which form the others have does not.
 */
#define ISTIO_FORMS_MAX 4
int istio_forms(enum rule_table name);

/* The rules of one family and form into a new table. Owner groups need to be gids. Returns 0, or
 * -ENOMEM with e filled. Free with table_free().
 */
int istio_rules(const struct config *c, int v6, enum rule_table name, int form, struct table *ret,
		struct st_err *e);

#endif
