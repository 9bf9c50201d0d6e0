/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reasons of include/verdict.h in words. */
#ifndef SOCKTABLES_WHY_H
#define SOCKTABLES_WHY_H

#include "../include/verdict.h"

/* Short, stable, for scripts: "out-captured"; "?" for what is none. */
const char *why_name(unsigned int why);

/* A sentence for people. */
const char *why_text(unsigned int why);

#endif
