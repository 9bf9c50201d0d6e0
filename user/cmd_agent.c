/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* agent: the one command that may stay. */
#include <stddef.h>

#include "agent.h"
#include "cmd.h"

struct agent_args {
	int once;
};

static const struct option_row agent_rows[] = {
	{ "once", 0, NULL, "look at every pod once, and end", option_set_bool,
	  offsetof(struct agent_args, once) },
	{},
};

const struct option_table agent_tables[1] = { { .title = "flags", .rows = agent_rows } };

static void complain(const struct st_err *e)
{
	cmd_tell("agent", e);
}

int cmd_agent(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct agent_args a = {};
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (n) {
		err_set(e, EINVAL, "argument", args[0], "not expected");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	return (a.once ? agent_once(e) : agent_run(complain, e)) ? EXIT_FAILED : EXIT_DONE;
}
