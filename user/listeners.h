/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SOCKTABLES_LISTENERS_H
#define SOCKTABLES_LISTENERS_H

#include <linux/types.h>

/* Whether anybody listens on a TCP port of the calling thread's network namespace: 1, 0, or -errno, e.g.
 * for a kernel without sock_diag. port is in host order. Costs a twentieth of an iterator over sockets,
 * which walks the hash table of all connections of the node.
 */
int listeners_there(__u16 port);

#endif
