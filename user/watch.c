/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "cmd.h"
#include "values.h"

#define SECONDS 2
#define SECONDS_MAX 86400

static volatile sig_atomic_t is_over;

static void end(int signal)
{
	(void)signal;
	is_over = 1;
}

int watch_set(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	__u32 *seconds = (__u32 *)((char *)ctx + row->offset);

	*seconds = SECONDS;
	if (value && number_parse(value, 1, SECONDS_MAX, seconds))
		return err_set(e, EINVAL, "--watch", value, "not a number of seconds from 1 to %d",
			       SECONDS_MAX);
	return 0;
}

/* One that was ignored from the start, as in a background job of a script, stays so. */
static void listen_to(int signal)
{
	struct sigaction act = {}, old;

	if (!sigaction(signal, NULL, &old) && old.sa_handler == SIG_IGN)
		return;
	act.sa_handler = end;
	sigaction(signal, &act, NULL);
}

static int draw_once(watch_draw draw, void *ctx, int again, struct st_err *e)
{
	struct term t;
	char *picture = NULL;
	size_t size = 0;
	FILE *f;
	int status;

	term_look(stdout, &t);
	f = open_memstream(&picture, &size);
	if (!f) {
		err_sys(e, errno, "memory", NULL);
		return EXIT_FAILED;
	}
	status = draw(ctx, f, &t, e);
	if (fclose(f)) {
		err_sys(e, errno, "memory", NULL);
		status = EXIT_FAILED;
	}
	if (status == EXIT_DONE && again && t.can_redraw)
		term_redraw(stdout, &t, picture);
	else if (status == EXIT_DONE)
		fwrite(picture, 1, size, stdout);
	free(picture);
	return status;
}

/* A signal that comes at any time ends the wait, even one that came before it. */
static void wait_for(__u32 seconds)
{
	const struct timespec time = { .tv_sec = seconds };
	sigset_t both, before;

	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &before);
	if (!is_over)
		ppoll(NULL, 0, &time, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

int watch_run(__u32 seconds, watch_draw draw, void *ctx, struct st_err *e)
{
	struct term t;
	int status;

	if (!seconds)
		return draw_once(draw, ctx, 0, e);
	listen_to(SIGINT);
	listen_to(SIGTERM);
	term_look(stdout, &t);
	if (t.can_redraw)
		fputs("\033[2J", stdout);
	do {
		status = draw_once(draw, ctx, 1, e);
		if (fflush(stdout))
			return EXIT_FAILED; /* main() tells */
		if (status == EXIT_DONE && !is_over)
			wait_for(seconds);
	} while (status == EXIT_DONE && !is_over);
	return status;
}

void watch_stamp(FILE *f)
{
	char text[64];
	time_t now = time(NULL);

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", localtime(&now));
	fprintf(f, "%s\n", text);
}
