/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is attached in a namespace, and whether that is what somebody wants. Changes nothing. */
#ifndef SOCKTABLES_POD_COMPARE_H
#define SOCKTABLES_POD_COMPARE_H

#include "pod.h"

enum pod_likeness {
	POD_NONE,  /* nothing whole is attached */
	POD_SAME,  /* this very policy */
	POD_MOVED, /* the policy, made when the pod had other addresses or routes */
	POD_OTHER, /* another policy */
};

/* The name under which the namespace of that file is attached. -ENOENT (e untouched): it is not. */
int pod_name_of_netns(const char *netns, char name[ST_NAME_MAX], struct st_err *e);

/* 1 if the pod of that name, of which there may be nothing but links, is linked to the namespace of that
 * file; else, and if that cannot be said, 0.
 */
int pod_is_linked_to(const char *name, const char *netns);

/* Compares what is attached in spec->netns with what pod_attach() would make of spec now. Returns
 * 0, or -errno with e filled.
 */
int pod_compare(const struct pod_spec *spec, enum pod_likeness *ret, struct st_err *e);

#endif
