/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where things are pinned, and the lock that orders commands. */
#ifndef SOCKTABLES_BPFFS_H
#define SOCKTABLES_BPFFS_H

#include <limits.h>

#include "err.h"

#define ST_BPFFS "/sys/fs/bpf"
#define ST_DIR ST_BPFFS "/socktables"
#define ST_DIR_NEW ST_BPFFS "/+socktables" /* while the datapath is loaded, or removed */
#define ST_PODS ST_DIR "/pods"
#define ST_LOCK ST_BPFFS "/+socktables-lock" /* while a command runs, if others can open ST_BPFFS */

/* Mounts bpffs if it is not there. Returns 0, or -errno with e filled. */
int bpffs_mount(struct st_err *e);

/* Takes the lock of this bpffs: exclusive for verbs, shared for nouns. Nobody but root can hold it. Returns
 * a file descriptor for bpffs_unlock(), -ENOENT if no bpffs is mounted, or another -errno with e filled:
 * -EPERM if others could change what is ours there, or have made what bears its name.
 */
int bpffs_lock(int exclusive, struct st_err *e);
void bpffs_unlock(int lock);

/* Directory of a pod's links. bpffs allows no dot in a name and a pod's name has no colon, so a dot
 * is written as a colon.
 */
void bpffs_pod_dir(const char *name, char path[PATH_MAX]);

/* The pod's name from the name of its directory. */
void bpffs_pod_name(const char *dir, char *name, unsigned long size);

/* Whether there is a file of that path: 1, 0, or -errno with e filled. */
int bpffs_has(const char *path, struct st_err *e);

/* Removes a directory of pins with all that is in it; a missing one is no error. Others' are refused. */
int bpffs_remove(const char *path, struct st_err *e);

#endif
