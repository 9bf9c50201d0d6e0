/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod's own sk_lookup program: it tells st_inbound in which namespace it runs. Written in
 * instructions, as to load an object for each pod costs twenty times as much, and its types and
 * constants as much memory again as all else of a pod.
 */
#ifndef SOCKTABLES_ENTER_H
#define SOCKTABLES_ENTER_H

#include "datapath.h"

/* Loads it. Returns a file descriptor, or -errno with e filled. Takes CAP_PERFMON, as the program writes
 * a kernel address into a map. loopback_passes: connections to lo are none of ours, and not worth a jump;
 * so it is but with POLICY_TPROXY.
 */
int enter_load(const struct datapath *dp, __u64 netns_cookie, int loopback_passes,
	       struct st_err *e);

#endif
