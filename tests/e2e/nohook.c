// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Preloaded into a program under test, for a kernel without a hook or helpers:
 *
 *	ST_NO_HOOK="TYPE ERRNO"	no program for this enum bpf_attach_type can be loaded
 *	ST_NO_HELPERS="A B C"	none in which the verifier comes to a call of up to three of enum bpf_func_id
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

static unsigned int type;
static int error, helpers[3];

__attribute__((constructor)) static void setup(void)
{
	const char *fault = getenv("ST_NO_HOOK");

	if (fault && sscanf(fault, "%u %d", &type, &error) != 2)
		abort();
	fault = getenv("ST_NO_HELPERS");
	if (fault && sscanf(fault, "%d %d %d", &helpers[0], &helpers[1], &helpers[2]) < 1)
		abort();
}

/* The instructions, in a copy in which calls of hidden helpers are calls of one that no kernel has. */
static struct bpf_insn *hide(const union bpf_attr *attr)
{
	size_t size = attr->insn_cnt * sizeof(struct bpf_insn);
	struct bpf_insn *insn = malloc(size);
	unsigned int i, j;

	if (!insn)
		abort();
	memcpy(insn, (void *)(unsigned long)attr->insns, size);
	for (i = 0; i < attr->insn_cnt; i++)
		for (j = 0; j < 3; j++)
			if (helpers[j] && insn[i].code == (BPF_JMP | BPF_CALL) &&
			    !insn[i].src_reg && insn[i].imm == helpers[j])
				insn[i].imm = INT_MAX;
	return insn;
}

static long load_hidden(long (*real)(long nr, ...), union bpf_attr *attr, long size)
{
	struct bpf_insn *insn = hide(attr);
	__u64 was = attr->insns;
	long ret;
	int err;

	attr->insns = (unsigned long)insn;
	ret = real(SYS_bpf, BPF_PROG_LOAD, attr, size);
	err = errno;
	free(insn);
	attr->insns = was;
	errno = err;
	return ret;
}

/* What libbpf calls bpf() by. */
long syscall(long nr, ...)
{
	static long (*real)(long nr, ...);
	union bpf_attr *attr;
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
	if (helpers[0] && nr == SYS_bpf && a[0] == BPF_PROG_LOAD)
		return load_hidden(real, attr, a[2]);
	return real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
