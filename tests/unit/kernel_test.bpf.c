// SPDX-License-Identifier: GPL-2.0-only
/* The verdict as BPF. None of the datapath's hooks can be run by BPF_PROG_TEST_RUN; a syscall
 * program can. It may not use an LPM trie, so the lists are asked by the caller.
 */
#include "kernel_test.h"
#include "../../bpf/addr.bpf.h"

SEC("syscall")
int st_verdict(struct kernel_case *c)
{
	const struct policy p = c->policy;
	const struct flow f = c->flow;

	c->verdict = c->inbound ? verdict_inbound(&p, &f) : verdict_outbound(&p, &f);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
