// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Preloaded into a program under test: the file descriptors that it leaves open and did not find open are
 * written to the file $ST_OPEN_FDS, one a line. Valgrind knows none that are made by bpf() commands later
 * than itself, such as links and iterators.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FDS_MAX 4096

static char inherited[FDS_MAX];

static void each_fd(void (*do_it)(int fd, FILE *f), FILE *f)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;
	int fd;

	if (!dir)
		abort();
	while ((d = readdir(dir))) {
		fd = atoi(d->d_name);
		if (*d->d_name != '.' && fd != dirfd(dir) && fd < FDS_MAX)
			do_it(fd, f);
	}
	closedir(dir);
}

static void keep(int fd, FILE *f)
{
	(void)f;
	inherited[fd] = 1;
}

static void tell(int fd, FILE *f)
{
	char path[64], target[256];
	ssize_t n;

	if (inherited[fd] || fd == fileno(f))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	fprintf(f, "left open: %d %.*s\n", fd, n < 0 ? 0 : (int)n, target);
}

__attribute__((constructor)) static void begin(void)
{
	each_fd(keep, NULL);
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("ST_OPEN_FDS");
	FILE *f = path ? fopen(path, "a") : NULL;

	if (!f)
		abort();
	each_fd(tell, f);
	fclose(f);
}
