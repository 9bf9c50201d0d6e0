/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "nsid.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "netlink.h"

#define ROOM (1 << 20) /* for messages that wait: some thousand */

/* Rules of routing are here since they may change what source the kernel takes. */
static const int groups[] = { RTNLGRP_LINK,	  RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
			      RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
			      RTNLGRP_IPV6_RULE,  RTNLGRP_NSID };

int nsid_listen(struct st_err *e)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	const int one = 1, room = ROOM;
	size_t i;
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return err_sys(e, errno, "network namespace of the agent's own", NULL);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return err_sys(e, errno, "netlink", NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof(one)))
		goto fail;
	for (i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])))
			goto fail;
	return fd;
fail:
	err = err_sys(e, errno, "netlink", "NETLINK_LISTEN_ALL_NSID");
	close(fd);
	return err;
}

static int on_nsid(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct rtgenmsg))
		if (mnl_attr_get_type(attr) == NETNSA_NSID)
			*(int *)ctx = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int request(int type, int fd, int *ret)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, fd);
	if (type == RTM_NEWNSID)
		mnl_attr_put_u32(nlh, NETNSA_NSID, (__u32)NETNSA_NSID_NOT_ASSIGNED);
	return netlink_talk(nlh, on_nsid, ret);
}

int nsid_assign(int fd, int *ret, struct st_err *e)
{
	int err = request(RTM_NEWNSID, fd, ret);

	*ret = NETNSA_NSID_NOT_ASSIGNED;
	err = err && err != -EEXIST ? err : request(RTM_GETNSID, fd, ret);
	if (!err && *ret < 0)
		err = -ENOENT;
	return err ? err_sys(e, -err, "number of a network namespace", NULL) : 0;
}

/* Where a message is from; -1: from the agent's own namespace. */
static int sender(struct msghdr *msg)
{
	struct cmsghdr *c;
	int nsid = -1;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(c), sizeof(nsid));
	return nsid;
}

int nsid_receive(int sock, void (*fn)(void *ctx, int nsid, enum nsid_event what), void *ctx,
		 struct st_err *e)
{
	struct { /* who changed is all that counts: the rest of a message may be cut off */
		struct nlmsghdr nlh;
		char more[256];
	} buf;
	char control[CMSG_SPACE(sizeof(int)) + 64];
	struct iovec iov = { &buf, sizeof(buf) };
	struct msghdr msg;
	int nsid;

	for (;;) {
		msg = (struct msghdr){ .msg_iov = &iov,
				       .msg_iovlen = 1,
				       .msg_control = control,
				       .msg_controllen = sizeof(control) };
		if (recvmsg(sock, &msg, 0) < 0) {
			if (errno == EAGAIN)
				return 0;
			if (errno == EINTR)
				continue;
			if (errno != ENOBUFS)
				return err_sys(e, errno, "netlink", NULL);
			fn(ctx, -1, NSID_LOST);
			continue;
		}
		nsid = sender(&msg);
		if (nsid >= 0) {
			fn(ctx, nsid, NSID_CHANGED);
		} else if (buf.nlh.nlmsg_type == RTM_DELNSID) {
			on_nsid(&buf.nlh, &nsid);
			fn(ctx, nsid, NSID_GONE);
		}
	}
}
