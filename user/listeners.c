/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "../include/verdict.h"
#include "netlink.h"

struct search {
	__be16 port;
	int found;
};

static int on_socket(const struct nlmsghdr *nlh, void *ctx)
{
	const struct inet_diag_msg *d = mnl_nlmsg_get_payload(nlh);
	struct search *s = ctx;

	s->found |= d->id.idiag_sport == s->port;
	return MNL_CB_OK;
}

static int look(int family, struct search *s)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = 1 << TCP_LISTEN;
	req->id.idiag_sport = s->port;
	return netlink_ask(NETLINK_SOCK_DIAG, nlh, on_socket, s);
}

int listeners_there(__u16 port)
{
	struct search s = { .port = (ST_FORCE __be16)htons(port) };
	int err = look(AF_INET, &s);

	if (!err && !s.found)
		err = look(AF_INET6, &s);
	return err ?: s.found;
}
