/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Between config_flags.c and config_lists.c: setters as options.h wants them, ctx a struct config. */
#ifndef SOCKTABLES_CONFIG_IMPL_H
#define SOCKTABLES_CONFIG_IMPL_H

#include "config.h"

/* The row's field in the config. */
void *config_field(void *ctx, const struct option_row *row);

/* Notes that the flag was given. Returns 0, for the end of a setter. */
int config_mark(void *ctx, const struct option_row *row);

/* value_refused() in the flag's name. */
int config_refuse(struct st_err *e, const struct option_row *row, const char *value,
		  const char *why);

int config_set_ports(void *ctx, const struct option_row *row, const char *value, struct st_err *e);
int config_set_ports_or_all(void *ctx, const struct option_row *row, const char *value,
			    struct st_err *e);
int config_set_ids(void *ctx, const struct option_row *row, const char *value, struct st_err *e);
int config_set_include(void *ctx, const struct option_row *row, const char *value,
		       struct st_err *e);
int config_set_exclude(void *ctx, const struct option_row *row, const char *value,
		       struct st_err *e);
int config_set_groups(void *ctx, const struct option_row *row, const char *value, struct st_err *e);
int config_set_groups_exclude(void *ctx, const struct option_row *row, const char *value,
			      struct st_err *e);
int config_set_servers(void *ctx, const struct option_row *row, const char *value,
		       struct st_err *e);
int config_set_interfaces(void *ctx, const struct option_row *row, const char *value,
			  struct st_err *e);
int config_set_virtual(void *ctx, const struct option_row *row, const char *value,
		       struct st_err *e);

#endif
