// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * bench_timed CMD ARG...: runs a command, whose output goes to stderr, and prints how many microseconds that
 * took, from before it is started until it has ended. Exit status: the command's.
 */
#include "side.h"

#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	uint64_t begin;
	int status;
	pid_t pid;

	if (argc < 2)
		errx(2, "usage: bench_timed CMD ARG...");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	begin = now_ns();
	errno = posix_spawnp(&pid, argv[1], &actions, NULL, argv + 1, environ);
	if (errno || waitpid(pid, &status, 0) != pid)
		err(1, "%s", argv[1]);
	printf("%.1f\n", (now_ns() - begin) / 1e3);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
