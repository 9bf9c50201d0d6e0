/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/nsfs.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int is_same(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int netns_run(const struct netns *ns, int (*fn)(void *ctx, struct st_err *e), void *ctx,
	      struct st_err *e)
{
	int self = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int err;

	if (self < 0)
		return err_sys(e, errno, "network namespace", "/proc/thread-self/ns/net");
	if (is_same(self, ns->fd)) { /* to enter the own one takes CAP_SYS_ADMIN, too */
		close(self);
		return fn(ctx, e);
	}
	if (setns(ns->fd, CLONE_NEWNET)) {
		err = err_sys(e, errno, "entering the network namespace", NULL);
		err_hint(e, "needs CAP_SYS_ADMIN: are you root?");
		close(self);
		return err;
	}
	err = fn(ctx, e);
	/* Whatever comes after it, to clear away, names its namespace itself. */
	if (setns(self, CLONE_NEWNET) && !err)
		err = err_sys(e, errno, "returning from the network namespace", NULL);
	close(self);
	return err;
}

int netns_own_cookie(__u64 *cookie)
{
	socklen_t len = sizeof(*cookie);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len))
		err = -errno;
	close(fd);
	return err;
}

static int read_cookie(void *ctx, struct st_err *e)
{
	struct netns *ns = ctx;
	int err = netns_own_cookie(&ns->cookie);

	if (err == -ENOPROTOOPT)
		return err_set(e, ENOPROTOOPT, "kernel", "SO_NETNS_COOKIE", "%s; needs Linux 5.14",
			       strerror(ENOPROTOOPT));
	return err ? err_sys(e, -err, "cookie of the network namespace", NULL) : 0;
}

/* Whether it is the node's. Process 1 would be the wrong one to ask, in a container it is in the
 * container's; but some sysctls are there only in the first namespace (net/core/sysctl_net_core.c
 * registers net_core_table for init_net alone).
 */
static int is_node(void *ctx, struct st_err *e)
{
	(void)ctx, (void)e;
	return !access("/proc/sys/net/core/netdev_max_backlog", F_OK);
}

static int check(struct netns *ns, const char *path, int force, struct st_err *e)
{
	if (ioctl(ns->fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		err_hint(e,
			 "a pod's is /proc/PID/ns/net of any of its processes, or in /run/netns");
		return err_set(e, EINVAL, "netns", path, "not a network namespace");
	}
	ns->is_node = netns_run(ns, is_node, NULL, e);
	if (ns->is_node < 0)
		return ns->is_node;
	if (ns->is_node && !force) {
		err_hint(e, "a pod with hostNetwork is captured by --force only: see README");
		return err_set(e, EINVAL, "netns", path, "is the host's own network namespace");
	}
	return netns_run(ns, read_cookie, ns, e);
}

int netns_open(const char *path, int force, struct netns *ret, struct st_err *e)
{
	struct netns ns = { .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
	struct stat st;
	int err;

	if (ns.fd < 0)
		return err_sys(e, errno, "netns", path);
	if (fstat(ns.fd, &st)) {
		err = err_sys(e, errno, "netns", path);
	} else {
		ns.dev = st.st_dev;
		ns.ino = st.st_ino;
		err = check(&ns, path, force, e);
	}
	if (err) {
		close(ns.fd);
		return err;
	}
	*ret = ns;
	return 0;
}

/* The first entry of a directory that leads to the namespace by "DIR/ENTRY" and suffix: 1, 0, or
 * -EACCES if there were entries that may not be looked at.
 */
static int search(const char *dir, const char *suffix, __u64 dev, __u64 ino, char path[PATH_MAX])
{
	DIR *entries = opendir(dir);
	int found = 0, denied = 0;
	struct dirent *d;
	struct stat st;

	while (entries && !found && (d = readdir(entries))) {
		snprintf(path, PATH_MAX, "%s/%s%s", dir, d->d_name, suffix);
		if (!stat(path, &st))
			found = st.st_dev == dev && st.st_ino == ino;
		else
			denied |= errno == EACCES;
	}
	if (entries)
		closedir(entries);
	return found || !denied ? found : -EACCES;
}

int netns_locate(__u64 dev, __u64 ino, char path[PATH_MAX])
{
	int err = search("/run/netns", "", dev, ino, path);

	err = err ?: search("/run/docker/netns", "", dev, ino, path);
	return err ?: search("/proc", "/ns/net", dev, ino, path);
}

static int find_once(__u64 dev, __u64 ino, __u64 cookie, struct netns *ret, struct st_err *e)
{
	char path[PATH_MAX];
	int err = netns_locate(dev, ino, path);

	if (err < 0) {
		err_hint(e, "to look for it through processes takes CAP_SYS_PTRACE");
		return err_sys(e, -err, "network namespace of the pod", NULL);
	}
	if (!err)
		return -ENOENT;
	err = netns_open(path, 1, ret, e);
	if (err || ret->cookie == cookie)
		return err;
	netns_close(ret);
	return -EAGAIN;
}

/* A process by which it was found may have ended, or gone to another, until it is opened: then there may be
 * others in it still.
 */
int netns_find(__u64 dev, __u64 ino, __u64 cookie, struct netns *ret, struct st_err *e)
{
	struct st_err why;
	int tries, err;

	for (tries = 0; tries < 5; tries++) {
		why = (struct st_err){};
		err = find_once(dev, ino, cookie, ret, &why);
		if (err != -EAGAIN && (err != -ENOENT || !why.text[0]))
			break;
	}
	if (err == -EAGAIN || err == -ENOENT)
		return -ENOENT;
	if (err && !e->text[0])
		*e = why;
	return err;
}

void netns_close(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	ns->fd = -1;
}
