// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Preloaded into a program under test, for a kernel without a hook:
 *
 *	ST_NO_HOOK="TYPE ERRNO"	no program for this enum bpf_attach_type can be loaded
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

static unsigned int type;
static int error;

__attribute__((constructor)) static void setup(void)
{
	const char *fault = getenv("ST_NO_HOOK");

	if (fault && sscanf(fault, "%u %d", &type, &error) != 2)
		abort();
}

/* What libbpf calls bpf() by. */
long syscall(long nr, ...)
{
	static long (*real)(long nr, ...);
	const union bpf_attr *attr;
	long a[6];
	va_list ap;
	int i;

	if (!real)
		real = dlsym(RTLD_NEXT, "syscall");
	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	attr = (void *)a[1];
	if (error && nr == SYS_bpf && a[0] == BPF_PROG_LOAD && attr->expected_attach_type == type) {
		errno = error;
		return -1;
	}
	return real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
