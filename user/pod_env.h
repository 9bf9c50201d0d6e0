/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy needs in the pod's namespace beside BPF: ::6/128 on lo, as Istio adds it with IPv6,
 * and for TPROXY a mark that leads to lo. Flags of the policy say what was added and is to be taken
 * away again. They are stored before anything is added, so that a killed command leaves a record.
 */
#ifndef SOCKTABLES_POD_ENV_H
#define SOCKTABLES_POD_ENV_H

#include "netns.h"

/* The POLICY_ADDED_* flags of all that this policy needs. */
__u32 pod_env_wanted(const struct policy *p);

/* Adds it. Of p's POLICY_ADDED_* flags those are cleared that were not in kept and turned out to be
 * there before. Returns 0 or -errno with e filled.
 */
int pod_env_add(const struct netns *ns, struct policy *p, __u32 kept, struct st_err *e);

/* Takes away what these POLICY_ADDED_* flags stand for; it is no error if it is not there. */
int pod_env_remove(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e);

#endif
