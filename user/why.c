/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "why.h"

#define X_NAME(id, name, text) [WHY_##id] = (name),
static const char *const names[WHY_COUNT] = { ST_REASONS(X_NAME) };

#define X_TEXT(id, name, text) [WHY_##id] = (text),
static const char *const texts[WHY_COUNT] = { ST_REASONS(X_TEXT) };

const char *why_name(unsigned int why)
{
	return why < WHY_COUNT ? names[why] : "?";
}

const char *why_text(unsigned int why)
{
	return why < WHY_COUNT ? texts[why] : "?";
}
