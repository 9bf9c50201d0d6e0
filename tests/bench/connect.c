// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * New connections: connect, accept, ask SO_ORIGINAL_DST, close. Prints
 *
 *	rate	connections a second, of all workers
 *	p50, p99	microseconds from connect() until the original destination is known
 *	cpu	microseconds of CPU for one connection, both ends, with the kernel's work for it (but
 *		for its softirqs, if it has CONFIG_IRQ_TIME_ACCOUNTING)
 *
 * Each worker is client and proxy in turn. Several share the listener, as a proxy's threads may: who
 * connects is then not always who accepts.
 */
#define _GNU_SOURCE
#include "runs.h"
#include "side.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP 200
#define MAX_TIMES (1 << 20) /* a worker stops there, whatever it was told */

static const char usage[] =
	"bench_connect [-t SECONDS | -n COUNT] [-c CPU[,CPU]...] [-o ORIGINAL] [-p PINS] "
	"-C CGROUP,NETNS,UID -S CGROUP,NETNS,UID LISTEN DIAL";

/* What workers and parent share. */
struct worker {
	uint64_t begin, end, cpu; /* ns */
	uint32_t n, times[MAX_TIMES];
};

/* A reset leaves no TIME_WAIT at either end, so that ports are not used up. */
static void close_both(int client, int served)
{
	struct linger reset = { .l_onoff = 1 };

	setsockopt(served, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(served);
	close(client);
}

/* Another worker may have accepted and reset it before connect() returns. */
static int dial(const struct load *load)
{
	int fd = side_socket(&load->dial, SOCK_STREAM);

	if (connect(fd, &load->dial.sa, addr_len(&load->dial)) &&
	    (errno != ECONNRESET || load->workers == 1))
		err(1, "connect");
	return fd;
}

static uint64_t once(const struct load *load, int listener)
{
	uint64_t begin = now_ns(), end;
	int client = dial(load), served;

	served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (served < 0)
		err(1, "accept");
	side_ask_original(load, served);
	end = now_ns();
	close_both(client, served);
	return end - begin;
}

static void run(const struct load *load, struct worker *worker, int listener)
{
	uint64_t limit = load->count ?: MAX_TIMES, cpu = cpu_ns(), stop = UINT64_MAX;

	worker->begin = now_ns();
	if (!load->count)
		stop = worker->begin + load->seconds * 1e9;
	if (limit > MAX_TIMES)
		limit = MAX_TIMES;
	while (worker->n < limit && now_ns() < stop)
		worker->times[worker->n++] = once(load, listener);
	worker->end = now_ns();
	worker->cpu = cpu_ns() - cpu;
}

/* In a child: warms up, says so, waits for the others, runs. */
static void work(const struct load *load, struct worker *worker, int listener, int ready, int go)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	side_enter(&load->client);
	for (int i = 0; i < WARM_UP; i++)
		once(load, listener);
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1))
		err(1, "start");
	run(load, worker, listener);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void report(const struct load *load, struct worker *workers)
{
	uint64_t begin = UINT64_MAX, end = 0, n = 0, cpu = 0;
	uint32_t *all, p50, p99;

	for (int i = 0; i < load->workers; i++)
		n += workers[i].n;
	if (!n)
		errx(1, "no connection");
	all = calloc(n, sizeof(*all));
	if (!all)
		err(1, "memory");
	n = 0;
	for (int i = 0; i < load->workers; i++) {
		const struct worker *w = &workers[i];

		memcpy(all + n, w->times, w->n * sizeof(*all));
		n += w->n;
		cpu += w->cpu;
		begin = w->begin < begin ? w->begin : begin;
		end = w->end > end ? w->end : end;
	}
	qsort(all, n, sizeof(*all), by_size);
	p50 = all[n / 2];
	p99 = all[n - 1 - n / 100];
	printf("count %lu\nrate %.1f\np50 %.2f\np99 %.2f\ncpu %.2f\n", n, n * 1e9 / (end - begin),
	       p50 / 1e3, p99 / 1e3, cpu / 1e3 / n);
	free(all);
}

static int wait_for_all(int n)
{
	int status, failed = 0;

	while (n-- && wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status);
	return failed;
}

int main(int argc, char **argv)
{
	struct load load = load_parse(argc, argv, usage);
	size_t size = load.workers * sizeof(struct worker);
	struct worker *workers =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ready[2], go[2], listener;
	struct runs before;
	char byte;

	if (workers == MAP_FAILED || pipe(ready) || pipe(go))
		err(1, "setting up");
	side_enter(&load.server);
	listener = side_listener(&load, SOCK_STREAM);
	for (int i = 0; i < load.workers; i++) {
		if (!fork()) {
			close(go[1]);
			side_pin(&load, i);
			work(&load, &workers[i], listener, ready[1], go[0]);
			return 0;
		}
	}
	close(ready[1]);
	for (int i = 0; i < load.workers; i++)
		if (read(ready[0], &byte, 1) != 1)
			return 1; /* one of them has said why */
	before = runs_begin(load.pins);
	close(go[1]);
	if (wait_for_all(load.workers))
		return 1;
	report(&load, workers);
	runs_end(load.pins, &before);
	return 0;
}
