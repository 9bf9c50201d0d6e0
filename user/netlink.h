/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Talking to rtnetlink, and to its like. */
#ifndef SOCKTABLES_NETLINK_H
#define SOCKTABLES_NETLINK_H

#include <libmnl/libmnl.h>

/* Sends one request in the current namespace and gives every part of the answer to cb (may be NULL).
 * Returns 0 or -errno.
 */
int netlink_talk(struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx);

/* The same by another bus than NETLINK_ROUTE. */
int netlink_talk_to(int bus, struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx);

#endif
