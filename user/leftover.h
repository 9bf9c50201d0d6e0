/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Istio's own rules that are still in a pod, beside ours. */
#ifndef SOCKTABLES_LEFTOVER_H
#define SOCKTABLES_LEFTOVER_H

#include "netns.h"

/* What holds them: "nftables" (iptables-nft, too), "iptables-legacy", or NULL if there are none. Returns
 * 0 or -errno with e filled.
 */
int leftover_find(const struct netns *ns, const char **ret, struct st_err *e);

#endif
