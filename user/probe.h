/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this kernel can do, by trying it. */
#ifndef SOCKTABLES_PROBE_H
#define SOCKTABLES_PROBE_H

#include "err.h"

struct probe_row {
	const char *name;  /* of the hook, map or helper */
	const char *what;  /* what it is needed for */
	const char *since; /* the first kernel that has it */
	int required;	   /* 0: there is a way without, at a price that `what` names */
	int err;	   /* 0: there; else -errno of the attempt */
};

/* Tries every row in order and calls each() with it. Returns 0, or -ENOTSUP if a required one is
 * missing (the rest is tried all the same), or -EPERM if nothing may be tried.
 */
int probe(void (*each)(void *ctx, const struct probe_row *row), void *ctx);

/* What the programs can do without, at a price: see the constants of these names in bpf/. */
struct abilities {
	int kernel_reads, mptcp_known;
};

/* What of it this kernel has; what cannot be tried for want of memory, it has. */
void probe_abilities(struct abilities *a);

/* Why a load failed with code: names the first missing feature, else tells libbpf's last words.
 * Returns -code.
 */
int probe_explain(int code, const char *libbpf_says, struct st_err *e);

#endif
