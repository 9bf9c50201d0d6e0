/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rows of tests/cases.tsv once more, by the verdict that runs in the kernel and with the lists
 * written to the datapath's maps and looked up there. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "../../user/pod.h"
#include "../../user/pod_maps.h"
#include "kernel_test.h"
#include "kernel_test.skel.h"
#include "rows_run.h"

static struct kernel_test *skel;
static struct datapath dp;

static int load(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);

	(void)state;
	skel = kernel_test__open_and_load();
	dp.map[MAP_st_class] = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "st_class",
					      sizeof(struct class_key), 4, 65536, &opts);
	dp.map[MAP_st_ids] =
		bpf_map_create(BPF_MAP_TYPE_HASH, "st_ids", sizeof(struct id_key), 4, 65536, &opts);
	return skel && dp.map[MAP_st_class] >= 0 && dp.map[MAP_st_ids] >= 0 ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	kernel_test__destroy(skel);
	return 0;
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct kernel_case c = { .policy = row->rs.policy,
				 .flow = row->raw,
				 .inbound = row->inbound };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &c, .ctx_size_in = sizeof(c)); /* and out */
	struct ruleset rs = row->rs;
	struct st_err e = {};

	c.policy.id = rs.policy.id = row->line;
	assert_int_equal(maps_put_rules(&dp, &rs, &e), 0);
	pod_classify(&dp, &c.policy, &c.flow, c.inbound, NULL);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.st_verdict), &opts), 0);
	assert_int_equal(maps_drop_rules(&dp, rs.policy.id, &e), 0);
	row_check(row, c.verdict);
}

int main(int argc, char **argv)
{
	return rows_run(argc, argv, "kernel", test_row, load, unload);
}
