/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* This build's programs, loaded into the kernel. */
#ifndef SOCKTABLES_DATAPATH_LOAD_H
#define SOCKTABLES_DATAPATH_LOAD_H

#include "datapath.h"

struct st_all; /* the skeleton, of st_all.skel.h */

/* Nothing of what libbpf says goes to stderr by itself. */
void datapath_load_quietly(void);

/* Loads them on the maps of DP, or with DP NULL on new ones. NULL: *ret_err is -errno and e filled,
 * -ENOMEM if not even the types of all maps could be had. To be freed by st_all__destroy().
 */
struct st_all *datapath_load(const struct datapath *dp, struct st_err *e, int *ret_err);

#endif
