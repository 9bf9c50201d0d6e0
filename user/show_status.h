/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What status says to people, from what it says to scripts. */
#ifndef SOCKTABLES_SHOW_STATUS_H
#define SOCKTABLES_SHOW_STATUS_H

#include <jansson.h>

#include "term.h"

void show_status(FILE *f, const struct term *t, const json_t *pods);

#endif
