/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket of the network namespace that we are in, as the kernel has it: no hook of ours shows it as
 * something else here.
 */
#ifndef SOCKTABLES_SOCKTAB_H
#define SOCKTABLES_SOCKTAB_H

#include "../include/policy.h"

/* The peer (port in host order) of the one with that inode, of that protocol (ST_TCP or ST_UDP) and
 * family. Returns 1, 0 if there is none, or -errno.
 */
int socktab_peer(int proto, int v4, __u64 inode, struct addr *ret, __u16 *ret_port);

#endif
