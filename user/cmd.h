/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a command is. Verbs change state, nouns only read; every noun takes --json. */
#ifndef SOCKTABLES_CMD_H
#define SOCKTABLES_CMD_H

#include <stddef.h>

#include <jansson.h>

#include "../include/policy.h"
#include "err.h"
#include "options.h"

enum exit_status { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_ATTACHED };

struct command {
	const char *name;
	const char *args;     /* for the usage line */
	const char *help;     /* one line */
	const char *examples; /* for --help, whole lines */
	/* argv[0] is the command's name. Returns an exit status; e tells why if it is not 0. */
	int (*run)(const struct command *self, int argc, char **argv, struct st_err *e);
	const struct option_table *tables; /* for --help */
	size_t nr_tables;
	__u64 needs, uses; /* capabilities (caps.h): without the latter it can do less */
};

int cmd_attach(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_update(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_detach(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_upgrade(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_status(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_stats(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_trace(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_explain(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_check(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_run(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_probe(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_agent(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_import(const struct command *self, int argc, char **argv, struct st_err *e);
int cmd_istio(const struct command *self, int argc, char **argv, struct st_err *e);

extern const struct option_table istio_tables[2], attach_tables[2], detach_tables[1],
	noun_tables[1], update_tables[1], explain_tables[2], check_tables[1], agent_tables[1],
	status_tables[1], stats_tables[1], run_tables[2], trace_tables[1];

extern const char status_notes[], stats_notes[]; /* for --help */

/* What every noun takes. */
struct noun_args {
	int json;
};

/* Gives up what the command does not need; -EPERM with e filled if it has less. To be called when the
 * arguments are known to be right, before anything is done.
 */
int cmd_begin(const struct command *self, struct st_err *e);

/* Tells on stderr what went wrong with a command of that name, and the hint if there is one. */
void cmd_tell(const char *name, const struct st_err *e);

/* What a library call's -errno is as exit status; NAME is the pod it was about, or NULL. */
int cmd_result(int err, const char *name, struct st_err *e);

/* Parses argv by the command's tables with these contexts. Returns how many arguments there are, at
 * *args, or -1 with *status to return: help was asked for, or the usage is wrong.
 */
int cmd_parse(const struct command *self, void *const *ctx, int argc, char **argv, char ***args,
	      int *status, struct st_err *e);

/* Setters for rows of the commands' own tables: a string or a flag at row->offset. */
int cmd_set_string(void *ctx, const struct option_row *row, const char *value, struct st_err *e);

/* A noun's arguments: none, or one pod's NAME, at *ret (else NULL). Returns 0, or -EINVAL with e filled. */
int cmd_one_pod(int n, char **args, const char **ret, struct st_err *e);

/* What others named, a path or a process, quoted: it may be no UTF-8. NULL if there is no memory. */
json_t *json_quoted(const char *text);

/* Prints and frees a JSON value. Returns an exit status. */
int json_put(json_t *value);

#endif
