/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often the BPF programs of a pod run, and how long, between two moments. The kernel counts
 * while somebody holds it to, so nothing has to be set back, however the program ends.
 */
#ifndef BENCH_RUNS_H
#define BENCH_RUNS_H

#include <linux/types.h>

#define RUNS_MAX 32

struct runs {
	int n;
	struct run_of {
		char name[16];
		__u32 id, insns, bytes; /* verified instructions, size in the kernel's own code */
		__u64 count, ns;
	} of[RUNS_MAX];
};

/* Starts counting the programs of the links that are pinned in DIR; NULL: of none. */
struct runs runs_begin(const char *dir);

/* Prints for each of them "prog NAME RUNS NS INSNS BYTES", in the order of their names. */
void runs_end(const char *dir, const struct runs *before);

#endif
