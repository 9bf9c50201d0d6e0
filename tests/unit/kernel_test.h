/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context of st_verdict: one row in, its verdict out. */
#ifndef SOCKTABLES_KERNEL_TEST_H
#define SOCKTABLES_KERNEL_TEST_H

#include "../../include/verdict.h"

struct kernel_case {
	struct policy policy;
	struct flow flow;
	__u32 inbound;
	struct verdict verdict;
};

#endif
