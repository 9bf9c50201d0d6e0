// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The clients of the differential test: reads rows (row.h) on stdin, performs each in a child of
 * its own, many at a time, and prints ROW, then what it saw, in the order of the rows.
 */
#define _GNU_SOURCE
#include "row.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RUNNING 64 /* enough for the few rows that time out to do so together */
#define RESULT 8192    /* fits into a pipe, so no child waits for us to read */
#define ROW_SECONDS 20

struct job {
	struct row row;
	pid_t pid; /* 0 once it has ended */
	int result;
	char *out;
};

static struct job *jobs;
static unsigned int nr_jobs, nr_printed, nr_running;

static void start(struct job *job)
{
	char out[RESULT] = "";
	int ends[2];

	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC))
		err(1, "pipe");
	job->pid = fork();
	if (job->pid < 0)
		err(1, "fork");
	if (job->pid) {
		close(ends[1]);
		job->result = ends[0];
		nr_running++;
		return;
	}
	alarm(ROW_SECONDS);
	row_run(&job->row, out, sizeof(out));
	_exit(write(ends[1], out, strlen(out)) < 0);
}

static void collect(struct job *job, int status)
{
	char out[RESULT];
	ssize_t len = read(job->result, out, sizeof(out) - 1);

	out[len > 0 ? len : 0] = '\0';
	close(job->result);
	if (asprintf(&job->out, "%s%s", out, status ? "\tclient=died" : "") < 0)
		err(1, "result");
	job->pid = 0;
	nr_running--;
}

/* Waits for any child to end, then prints what can be printed in order. */
static void reap(void)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0)
		err(1, "wait");
	for (unsigned int i = nr_printed; i < nr_jobs; i++)
		if (jobs[i].pid == pid)
			collect(&jobs[i], status);
	for (; nr_printed < nr_jobs && !jobs[nr_printed].pid; nr_printed++)
		printf("%s%s\n", jobs[nr_printed].row.text, jobs[nr_printed].out);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		while (nr_running >= MAX_RUNNING)
			reap();
		jobs = reallocarray(jobs, nr_jobs + 1, sizeof(*jobs));
		if (!jobs)
			err(1, "jobs");
		jobs[nr_jobs] = (struct job){};
		row_parse(&jobs[nr_jobs].row, line);
		start(&jobs[nr_jobs++]);
	}
	while (nr_running)
		reap();
	return 0;
}
