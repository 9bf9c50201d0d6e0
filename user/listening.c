/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "netlink.h"

/* States of include/net/tcp_states.h: UDP sockets have the second, if they have no peer. */
#define LISTEN 10
#define CLOSE 7

struct reading {
	const __u16 *ports;
	size_t nr_ports;
	__u8 proto;
	struct listening_list *list;
};

static int is_wanted(const struct reading *r, __u16 port)
{
	size_t i;

	for (i = 0; i < r->nr_ports; i++)
		if (r->ports[i] == port)
			return 1;
	return 0;
}

static int on_attr(const struct nlattr *attr, void *data)
{
	struct listening *s = data;

	if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY)
		s->v6only = mnl_attr_get_u8(attr);
	if (mnl_attr_get_type(attr) == INET_DIAG_CGROUP_ID)
		s->cgroup_id = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

static __u16 port_of(const struct inet_diag_msg *msg)
{
	uint16_t port; /* C's ntohs() knows no __be16 */

	memcpy(&port, &msg->id.idiag_sport, sizeof(port));
	return ntohs(port);
}

static int on_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(nlh);
	struct reading *r = data;
	struct listening s = {
		.port = port_of(msg),
		.proto = r->proto,
		.is_v6 = msg->idiag_family == AF_INET6,
		.uid = msg->idiag_uid,
		.inode = msg->idiag_inode,
	}, *more;

	if (!is_wanted(r, s.port))
		return MNL_CB_OK;
	if (s.is_v6)
		memcpy(&s.addr, msg->id.idiag_src, sizeof(s.addr));
	else
		s.addr =
			(struct addr){ .w = { 0, 0, ST_V4(0, 0, 255, 255), msg->id.idiag_src[0] } };
	mnl_attr_parse(nlh, sizeof(*msg), on_attr, &s);
	more = realloc(r->list->v, (r->list->nr + 1) * sizeof(*more));
	if (!more)
		return MNL_CB_ERROR; /* errno is ENOMEM */
	r->list->v = more;
	more[r->list->nr++] = s;
	return MNL_CB_OK;
}

static int dump(struct reading *r, __u8 family, __u8 proto)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = proto;
	req->idiag_states = 1 << (proto == ST_TCP ? LISTEN : CLOSE);
	r->proto = proto;
	return netlink_talk_to(NETLINK_SOCK_DIAG, nlh, on_socket, r);
}

static int collect(void *ctx, struct st_err *e)
{
	int err = dump(ctx, AF_INET, ST_TCP);

	err = err ?: dump(ctx, AF_INET, ST_UDP);
	err = err ?: dump(ctx, AF_INET6, ST_TCP);
	err = err ?: dump(ctx, AF_INET6, ST_UDP);
	return err ? err_sys(e, -err, "sockets of the network namespace", NULL) : 0;
}

int listening_read(const struct netns *ns, const __u16 *ports, size_t nr_ports,
		   struct listening_list *ret, struct st_err *e)
{
	struct reading r = { .ports = ports, .nr_ports = nr_ports, .list = ret };

	memset(ret, 0, sizeof(*ret));
	return netns_run(ns, collect, &r, e);
}

void listening_free(struct listening_list *list)
{
	free(list->v);
	memset(list, 0, sizeof(*list));
}

static int serves(const struct listening *s, __u8 proto, __u16 port, int v6)
{
	const struct addr any4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };

	if (s->proto != proto || s->port != port)
		return 0;
	if (v6)
		return s->is_v6 && (addr_is_zero(&s->addr) || addr_is_loopback(&s->addr));
	if (s->is_v6 && addr_is_zero(&s->addr))
		return !s->v6only;
	return addr_equal(&s->addr, &any4) || (addr_is_v4(&s->addr) && addr_is_loopback(&s->addr));
}

int listening_serves(const struct listening_list *list, __u8 proto, __u16 port, int v6)
{
	size_t i;

	for (i = 0; i < list->nr; i++)
		if (serves(&list->v[i], proto, port, v6))
			return 1;
	return 0;
}
