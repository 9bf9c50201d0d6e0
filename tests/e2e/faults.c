// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Preloaded into a program under test, makes it fail or die at one of its calls to the kernel.
 *
 *	ST_FAULT="CALL N ERRNO"		the Nth call of that name fails with this errno
 *	ST_FAULT="CALL N kill"		... kills the process instead of being made
 *	ST_FAULT="hook TYPE ERRNO"	no program for this enum bpf_attach_type can be loaded
 *	ST_CALLS=FILE			the name of each call that it makes goes there, one a line,
 *					behind bpf its command: "bpf 5"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

static char name[16], how[16];
static int at, seen;
static FILE *calls;

__attribute__((constructor)) static void setup(void)
{
	const char *fault = getenv("ST_FAULT"), *file = getenv("ST_CALLS");

	if (fault && sscanf(fault, "%15s %d %15s", name, &at, how) != 3)
		abort();
	if (file)
		calls = fopen(file, "we");
}

/* Whether this call fails; then errno is set. */
static int fault(const char *call, int command)
{
	if (calls)
		fprintf(calls, "%s %d\n", call, command);
	if (strcmp(call, name) || ++seen != at)
		return 0;
	if (!strcmp(how, "kill"))
		raise(SIGKILL);
	errno = atoi(how);
	return 1;
}

static int no_hook(int command, const union bpf_attr *attr)
{
	if (strcmp(name, "hook") || command != BPF_PROG_LOAD ||
	    attr->expected_attach_type != (unsigned int)at)
		return 0;
	errno = atoi(how);
	return 1;
}

/* What libbpf calls bpf() by. */
long syscall(long nr, ...)
{
	static long (*real)(long nr, ...);
	long a[6];
	va_list ap;
	int i;

	if (!real)
		real = dlsym(RTLD_NEXT, "syscall");
	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_bpf && (fault("bpf", a[0]) || no_hook(a[0], (void *)a[1])))
		return -1;
	return real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define INTERPOSE(type, call, params, args)                             \
	type call params                                                \
	{                                                               \
		static type(*real) params;                              \
		if (!real)                                              \
			real = (type(*) params)dlsym(RTLD_NEXT, #call); \
		return fault(#call, 0) ? -1 : real args;                \
	}

INTERPOSE(int, mkdir, (const char *path, mode_t mode), (path, mode))
INTERPOSE(int, rmdir, (const char *path), (path))
INTERPOSE(int, unlink, (const char *path), (path))
INTERPOSE(int, rename, (const char *from, const char *to), (from, to))
INTERPOSE(int, flock, (int fd, int how_to), (fd, how_to))
INTERPOSE(ssize_t, sendto,
	  (int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	   socklen_t to_len),
	  (fd, buf, len, flags, to, to_len))
