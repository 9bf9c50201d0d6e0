/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pod_wait_for_readers(). */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "pod_impl.h"

/* Replacing a map in an array of maps waits for a grace period, too: the kernel promises that no program
 * sees the old one afterwards (maybe_wait_bpf_programs(), since Linux 4.20).
 */
static int replace_inner_map(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, outer_opts);
	int inner, outer = -1, err, zero = 0;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "st_wait_inner", sizeof(zero), sizeof(zero), 1,
			       NULL);
	if (inner >= 0) {
		outer_opts.inner_map_fd = inner;
		outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "st_wait", sizeof(zero),
				       sizeof(zero), 1, &outer_opts);
	}
	err = outer < 0 || bpf_map_update_elem(outer, &zero, &inner, BPF_ANY) ? -errno : 0;
	if (outer >= 0)
		close(outer);
	if (inner >= 0)
		close(inner);
	return err;
}

/* A global membarrier is a synchronize_rcu(), but -EINVAL where some CPUs run without a tick (nohz_full). */
int pod_wait_for_readers(struct st_err *e)
{
	int err = syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? replace_inner_map() : 0;

	return err ? err_sys(e, -err, "wait for programs that run", NULL) : 0;
}
