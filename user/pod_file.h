/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that are the pod's, to be read from outside of it. */
#ifndef SOCKTABLES_POD_FILE_H
#define SOCKTABLES_POD_FILE_H

#include <stdio.h>

#include "config.h"

#define POD_FILE_MAX (16 << 20) /* bytes that are read of one; more is refused */

/* Opens the file of that path below ROOT, which is / to the pod (/proc/PID/root). The pod decides what is
 * there, so symbolic links lead nowhere out of it, only a regular file is ever opened, and all of it is in
 * memory when this returns. ROOT "": our own /, where anything that can be read will do. The caller
 * closes *ret. Returns 0, or -errno with e filled, WHAT being what the message calls it.
 */
int pod_file_open(const char *root, const char *path, const char *what, FILE **ret,
		  struct st_err *e);

/* The nameservers of such a file, as config_resolv_conf() says. */
int pod_file_resolvers(const char *root, const char *path, struct addr **ret, size_t *ret_nr,
		       struct st_err *e);

#endif
