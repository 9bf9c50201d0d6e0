/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The part of netns.h that asks rtnetlink. */
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

static const struct addr six = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } };

/* Sends one request in the current namespace and gives every part of the answer to cb. */
static int talk(struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	ssize_t n = -1;
	int run = MNL_CB_OK, err = 0;

	if (!nl)
		return -errno;
	nlh->nlmsg_seq = 1;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err = -errno;
	while (!err && run > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0) {
			err = -errno;
			break;
		}
		run = mnl_cb_run(buf, n, 1, mnl_socket_get_portid(nl), cb, ctx);
		if (run < 0)
			err = -errno;
	}
	mnl_socket_close(nl);
	return err;
}

/* data: 4 or 16 bytes, network order. */
static void addr_from(const void *data, int family, struct addr *a)
{
	if (family == AF_INET6) {
		memcpy(a, data, sizeof(*a));
		return;
	}
	*a = (struct addr){ .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
	memcpy(&a->w[3], data, 4);
}

struct facts {
	struct pod_facts *pod;
	size_t room;
	int nr_v4, nr_v6;	    /* addresses that count for Istio's detection */
	struct addr first4, first6; /* the first global address of each family */
};

/* a: the destination; src: RTA_PREFSRC, or all zero. */
static int add_local(struct facts *f, const struct addr *a, __u8 len, const struct addr *src)
{
	size_t n = f->pod->nr_local, room = f->room ? 2 * f->room : 16;
	struct pod_facts *pod = f->pod;

	if (n == f->room) {
		struct prefix *local = realloc(pod->local, room * sizeof(*local));
		struct addr *srcs = realloc(pod->local_src, room * sizeof(*srcs));

		pod->local = local ? local : pod->local;
		pod->local_src = srcs ? srcs : pod->local_src;
		if (!local || !srcs)
			return -ENOMEM;
		f->room = room;
	}
	pod->local[n] = (struct prefix){ .addr = *a, .len = len };
	pod->local_src[n] = *src;
	pod->nr_local++;
	return 0;
}

/* Every destination with a route of type local leaves by lo: own addresses, AnyIP ranges. */
static int on_route(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	struct addr dst = {}, src = {};
	const struct nlattr *attr;

	if (rt->rtm_type != RTN_LOCAL ||
	    (rt->rtm_table != RT_TABLE_LOCAL && rt->rtm_table != RT_TABLE_MAIN))
		return MNL_CB_OK;
	if (rt->rtm_family == AF_INET)
		dst.w[2] = ST_V4(0, 0, 255, 255);
	mnl_attr_for_each(attr, nlh, sizeof(*rt)) {
		if (mnl_attr_get_type(attr) == RTA_DST)
			addr_from(mnl_attr_get_payload(attr), rt->rtm_family, &dst);
		else if (mnl_attr_get_type(attr) == RTA_PREFSRC)
			addr_from(mnl_attr_get_payload(attr), rt->rtm_family, &src);
	}
	if (add_local(ctx, &dst, rt->rtm_dst_len + (rt->rtm_family == AF_INET ? 96 : 0), &src)) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

/* Istio counts every address that is neither loopback nor link-local, in this order. */
static int on_address(const struct nlmsghdr *nlh, void *ctx)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *local = NULL;
	struct facts *f = ctx;
	struct addr a;

	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
		if (mnl_attr_get_type(attr) == IFA_LOCAL ||
		    (mnl_attr_get_type(attr) == IFA_ADDRESS && !local))
			local = attr;
	if (!local || (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return MNL_CB_OK;
	addr_from(mnl_attr_get_payload(local), ifa->ifa_family, &a);
	if (ifa->ifa_family == AF_INET && ifa->ifa_prefixlen == 8 && addr_byte(&a, 12) == 127)
		f->pod->spread = 1;
	if (addr_is_loopback(&a) || addr_equal(&a, &six) || ifa->ifa_scope == RT_SCOPE_LINK)
		return MNL_CB_OK;
	if (ifa->ifa_family == AF_INET && !f->nr_v4++)
		f->first4 = a;
	if (ifa->ifa_family == AF_INET6 && !f->nr_v6++)
		f->first6 = a;
	return MNL_CB_OK;
}

static int dump(int type, int family, mnl_cb_t cb, void *ctx)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rt;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = family; /* the first byte of struct ifaddrmsg, too */
	return talk(nlh, cb, ctx);
}

/* What the kernel takes as source towards the rest of the world: it is asked by connecting a UDP
 * socket to a documentation address (RFC 5737, RFC 3849), which sends nothing.
 */
static void ask_source(int family, const struct addr *fallback, struct addr *ret)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(9),
				   .sin_addr.s_addr = htonl(0xc0000201) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr *sa = family == AF_INET ? (void *)&sin : (void *)&sin6;
	socklen_t len = family == AF_INET ? sizeof(sin) : sizeof(sin6);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*ret = *fallback;
	inet_pton(AF_INET6, "2001:db8::1", &sin6.sin6_addr);
	if (fd >= 0 && !connect(fd, sa, len) && !getsockname(fd, sa, &len)) {
		addr_from(family == AF_INET ? (void *)&sin.sin_addr : (void *)&sin6.sin6_addr,
			  family, ret);
	}
	if (fd >= 0)
		close(fd);
}

static int collect(void *ctx, struct st_err *e)
{
	struct facts *f = ctx;
	int err;

	err = dump(RTM_GETROUTE, AF_INET, on_route, f);
	err = err ?: dump(RTM_GETROUTE, AF_INET6, on_route, f);
	err = err ?: dump(RTM_GETADDR, AF_INET, on_address, f);
	err = err ?: dump(RTM_GETADDR, AF_INET6, on_address, f);
	if (err)
		return err_sys(e, -err, "addresses of the network namespace", NULL);
	ask_source(AF_INET, &f->first4, &f->pod->src4);
	ask_source(AF_INET6, &f->first6, &f->pod->src6);
	return 0;
}

int netns_facts(const struct netns *ns, int dual_stack, struct pod_facts *pod, struct st_err *e)
{
	struct facts f = { .pod = pod };
	int err;

	memset(pod, 0, sizeof(*pod));
	err = netns_run(ns, collect, &f, e);
	if (err) {
		netns_facts_free(pod);
		return err;
	}
	pod->ipv6 = f.nr_v6 && (dual_stack || !f.nr_v4);
	return 0;
}

void netns_facts_free(struct pod_facts *pod)
{
	free(pod->local);
	free(pod->local_src);
	free(pod->resolvers);
	memset(pod, 0, sizeof(*pod));
}

struct change {
	int type;
	__u16 flags;
};

static int change_six(void *ctx, struct st_err *e)
{
	struct change *c = ctx;
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;
	int err;

	nlh->nlmsg_type = c->type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | c->flags;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = 128;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = if_nametoindex("lo");
	mnl_attr_put(nlh, IFA_LOCAL, sizeof(six), &six);
	mnl_attr_put(nlh, IFA_ADDRESS, sizeof(six), &six);
	err = talk(nlh, NULL, NULL);
	if (err == -EEXIST || err == -EADDRNOTAVAIL)
		return 0;
	return err ? err_sys(e, -err, "address on lo", "::6/128") : 1;
}

int netns_add_six(const struct netns *ns, struct st_err *e)
{
	struct change c = { RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL };

	return netns_run(ns, change_six, &c, e);
}

int netns_remove_six(const struct netns *ns, struct st_err *e)
{
	struct change c = { RTM_DELADDR, 0 };
	int err = netns_run(ns, change_six, &c, e);

	return err < 0 ? err : 0;
}
