/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* include/verdict.h and user/ruleset.c against the ordered walk of Istio's rules, policies and flows
 * drawn from the fuzzer's bytes. The parser of the flags takes part.
 */
#include <stdlib.h>

#include "../unit/trial.h"

#define FLOWS 16 /* on each policy, unless the bytes end before */

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size)
{
	struct draw d = { .bytes = data, .left = size };
	struct trial t;
	int i;

	if (trial_init(&t, &d))
		abort();
	for (i = 0; i < FLOWS && (d.left || !i); i++) {
		if (trial_flow(&t, &d))
			abort();
	}
	trial_free(&t);
	return 0;
}
