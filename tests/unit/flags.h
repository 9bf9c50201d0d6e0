/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Policy flags as a person gives them, for the tests of the configuration. */
#ifndef SOCKTABLES_FLAGS_H
#define SOCKTABLES_FLAGS_H

#include "../../user/config.h"

/* Parses up to two arguments (or NULL) behind the defaults of attach. c is to be freed in any case.
 * Returns as options_parse(). The accepting one fails the test unless that is 0.
 */
int flags_parse(struct config *c, const char *a, const char *b, struct st_err *e);
void flags_accept(struct config *c, const char *a, const char *b);

#endif
