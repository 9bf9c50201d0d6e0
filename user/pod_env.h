/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy needs in the pod's namespace beside BPF: ::6/128 on lo, as Istio adds it with IPv6,
 * and for TPROXY a mark that leads to lo. Flags of the policy say what was added and is to be taken
 * away again. What is missing is found out first and recorded before it is added: a command that is
 * killed leaves a record of just what is ours.
 */
#ifndef SOCKTABLES_POD_ENV_H
#define SOCKTABLES_POD_ENV_H

#include "netns.h"

/* The POLICY_ADDED_* flags of all that this policy needs. */
__u32 pod_env_wanted(const struct policy *p);

/* Of these the flags of what the namespace does not have. Returns 0 or -errno with e filled. */
int pod_env_missing(const struct netns *ns, const struct policy *p, __u32 *ret, struct st_err *e);

/* Adds what these POLICY_ADDED_* flags stand for. Returns 0 or -errno with e filled. */
int pod_env_add(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e);

/* Takes away what these POLICY_ADDED_* flags stand for; it is no error if it is not there. */
int pod_env_remove(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e);

#endif
