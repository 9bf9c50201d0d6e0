/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The part of netns.h that asks rtnetlink. */
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netlink.h"

static const struct addr six = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } };

/* Documentation addresses (RFC 5737, RFC 3849): the rest of the world. */
static const struct addr world4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), ST_V4(192, 0, 2, 1) } };
static const struct addr world6 = { .w = { ST_BE32(0x20010db8), 0, 0, ST_V4(0, 0, 0, 1) } };

static int on_error(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	(void)ctx;
	errno = -e->error;
	return e->error ? MNL_CB_ERROR : MNL_CB_STOP;
}

/* libmnl's own takes a dump that failed for one that is empty. */
static int on_done(const struct nlmsghdr *nlh, void *ctx)
{
	const int *code = mnl_nlmsg_get_payload(nlh);

	(void)ctx;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*code) || *code >= 0)
		return MNL_CB_STOP;
	errno = -*code;
	return MNL_CB_ERROR;
}

int netlink_talk(struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	return netlink_talk_to(NETLINK_ROUTE, nlh, cb, ctx);
}

int netlink_talk_to(int bus, struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	ssize_t n = -1;
	mnl_cb_t control[] = { [NLMSG_ERROR] = on_error, [NLMSG_DONE] = on_done };
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
		run = mnl_cb_run2(buf, n, 1, mnl_socket_get_portid(nl), cb, ctx, control,
				  sizeof(control) / sizeof(*control));
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
	int nr_v4, nr_v6;	    /* addresses that count for Istio's detection */
	struct addr first4, first6; /* the first global address of each family */
};

/* Room for one more of nr elements; the array grows by doubling when nr is a power of two. */
static int grow(void **array, size_t nr, size_t size)
{
	void *more;

	if (nr & (nr - 1))
		return 0;
	more = realloc(*array, (nr ? 2 * nr : 1) * size);
	if (!more)
		return -ENOMEM;
	*array = more;
	return 0;
}

/* src: RTA_PREFSRC, or all zero. */
static int add_local(struct pod_facts *pod, const struct prefix *dst, const struct addr *src)
{
	if (grow((void **)&pod->local, pod->nr_local, sizeof(*pod->local)) ||
	    grow((void **)&pod->local_src, pod->nr_local, sizeof(*pod->local_src)))
		return -ENOMEM;
	pod->local[pod->nr_local] = *dst;
	pod->local_src[pod->nr_local++] = *src;
	return 0;
}

/* The kernel dumps the routes of one prefix in the order in which it prefers them. */
static int add_route(struct pod_facts *pod, const struct route *r)
{
	size_t i;

	for (i = 0; i < pod->nr_routes; i++)
		if (!prefix_compare(&pod->routes[i].dst, &r->dst))
			return 0;
	if (grow((void **)&pod->routes, pod->nr_routes, sizeof(*pod->routes)))
		return -ENOMEM;
	pod->routes[pod->nr_routes++] = *r;
	return 0;
}

/* IPv6 link-local and multicast routes are there for every interface, and say nothing of it. */
static int is_of_every_link(const struct prefix *dst)
{
	return !prefix_is_v4(dst) &&
	       (addr_byte(&dst->addr, 0) == 0xff ||
		(addr_byte(&dst->addr, 0) == 0xfe && (addr_byte(&dst->addr, 1) & 0xc0) == 0x80));
}

/* What has a route of type local leaves by lo: own addresses, AnyIP ranges. */
static int on_route(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	struct pod_facts *pod = ((struct facts *)ctx)->pod;
	struct prefix dst = { .len = rt->rtm_dst_len };
	const struct nlattr *attr;
	struct addr src = {};
	__u32 iface = 0;
	int err = 0, broadcast = rt->rtm_type == RTN_BROADCAST;

	if (rt->rtm_table != RT_TABLE_LOCAL && rt->rtm_table != RT_TABLE_MAIN)
		return MNL_CB_OK;
	if (rt->rtm_family == AF_INET) {
		dst.addr.w[2] = ST_V4(0, 0, 255, 255);
		dst.len += 96;
	}
	mnl_attr_for_each(attr, nlh, sizeof(*rt)) {
		if (mnl_attr_get_type(attr) == RTA_DST)
			addr_from(mnl_attr_get_payload(attr), rt->rtm_family, &dst.addr);
		else if (mnl_attr_get_type(attr) == RTA_PREFSRC)
			addr_from(mnl_attr_get_payload(attr), rt->rtm_family, &src);
		else if (mnl_attr_get_type(attr) == RTA_OIF)
			iface = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == RTA_MULTIPATH && !iface)
			iface = ((struct rtnexthop *)mnl_attr_get_payload(attr))->rtnh_ifindex;
	}
	if (rt->rtm_type == RTN_LOCAL)
		err = add_local(pod, &dst, &src);
	else if (iface && (broadcast || (rt->rtm_type == RTN_UNICAST && !is_of_every_link(&dst))))
		err = add_route(pod, &(struct route){ .dst = dst,
						      .src = broadcast ? src : (struct addr){},
						      .iface = iface,
						      .broadcast = broadcast });
	errno = -err;
	return err ? MNL_CB_ERROR : MNL_CB_OK;
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
	return netlink_talk(nlh, cb, ctx);
}

/* What the kernel takes as source towards an address: it is asked by connecting a UDP socket, which
 * sends nothing. *ret is left as it is if there is no route, or no such family. Returns 0 or -errno.
 */
static int ask_source(const struct addr *to, struct addr *ret)
{
	int v4 = addr_is_v4(to);
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr *sa = v4 ? (void *)&sin : (void *)&sin6;
	socklen_t len = v4 ? sizeof(sin) : sizeof(sin6);
	int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	int err = 0;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno;
	memcpy(&sin.sin_addr, &to->w[3], sizeof(sin.sin_addr));
	memcpy(&sin6.sin6_addr, to, sizeof(sin6.sin6_addr));
	if (connect(fd, sa, len))
		err = errno == ENOMEM || errno == ENOBUFS ? -errno : 0;
	else if (getsockname(fd, sa, &len))
		err = -errno;
	else
		addr_from(v4 ? (void *)&sin.sin_addr : (void *)&sin6.sin6_addr, sa->sa_family, ret);
	close(fd);
	return err;
}

static int is_local(const struct pod_facts *pod, const struct addr *a)
{
	size_t i;

	for (i = 0; i < pod->nr_local; i++)
		if (addr_covered(a, &pod->local[i].addr, pod->local[i].len))
			return 1;
	return 0;
}

/* Towards some address within the prefix that is not the pod's own. */
static int ask_route_source(const struct pod_facts *pod, struct route *r)
{
	struct addr to;
	int err = 0;
	__u32 i;

	for (i = 0; i < 16 && !err && addr_is_zero(&r->src); i++) {
		to = r->dst.addr;
		((__u8 *)to.w)[15] += i;
		if (addr_covered(&to, &r->dst.addr, r->dst.len) && !is_local(pod, &to))
			err = ask_source(&to, &r->src);
	}
	return err;
}

/* A default route is asked for as the rest of the world. */
static int ask_sources(struct pod_facts *pod)
{
	const struct addr ula = { .w = { ST_BE32(0xfd000000), 0, 0, ST_V4(0, 0, 0, 1) } };
	const struct prefix ulas = { .addr = { .w = { ST_BE32(0xfc000000), 0, 0, 0 } }, .len = 7 };
	struct route *r;
	int err = 0;
	__u32 i;

	for (r = pod->routes; r < pod->routes + pod->nr_routes && !err; r++)
		if (r->dst.len && (r->dst.len != 96 || !prefix_is_v4(&r->dst)))
			err = ask_route_source(pod, r);
	/* By the default route a unique local address is preferred towards others (RFC 6724). */
	for (i = 0; i < pod->nr_routes && !err; i++) {
		if (pod->routes[i].dst.len)
			continue;
		err = add_route(pod, &(struct route){ .dst = ulas, .iface = pod->routes[i].iface });
		r = &pod->routes[pod->nr_routes - 1];
		if (!err && !prefix_compare(&r->dst, &ulas))
			err = ask_source(&ula, &r->src);
		break;
	}
	return err;
}

static int list_ifaces(struct pod_facts *pod)
{
	struct if_nameindex *all = if_nameindex(), *i;
	int err = all ? 0 : -errno;

	for (i = all; i && i->if_index && !err; i++) {
		err = grow((void **)&pod->ifaces, pod->nr_ifaces, sizeof(*pod->ifaces));
		if (err)
			break;
		pod->ifaces[pod->nr_ifaces].index = i->if_index;
		snprintf(pod->ifaces[pod->nr_ifaces++].name, IFACE_NAME_MAX, "%s", i->if_name);
	}
	if (all)
		if_freenameindex(all);
	return err;
}

static int collect(void *ctx, struct st_err *e)
{
	struct facts *f = ctx;
	int err;

	err = dump(RTM_GETROUTE, AF_INET, on_route, f);
	err = err ?: dump(RTM_GETROUTE, AF_INET6, on_route, f);
	err = err ?: dump(RTM_GETADDR, AF_INET, on_address, f);
	err = err ?: dump(RTM_GETADDR, AF_INET6, on_address, f);
	err = err ?: list_ifaces(f->pod);
	f->pod->src4 = f->first4;
	f->pod->src6 = f->first6;
	err = err ?: ask_source(&world4, &f->pod->src4);
	err = err ?: ask_source(&world6, &f->pod->src6);
	err = err ?: ask_sources(f->pod);
	return err ? err_sys(e, -err, "addresses of the network namespace", NULL) : 0;
}

int netns_facts(const struct netns *ns, int dual_stack, struct pod_facts *pod, struct st_err *e)
{
	struct st_err why;
	struct facts f;
	int tries = 0, err;

	memset(pod, 0, sizeof(*pod));
	do { /* what changes while it is dumped is dumped again (NLM_F_DUMP_INTR) */
		netns_facts_free(pod);
		f = (struct facts){ .pod = pod };
		why = (struct st_err){};
		err = netns_run(ns, collect, &f, &why);
	} while (err == -EINTR && tries++ < 20);
	if (err) {
		netns_facts_free(pod);
		if (!e->text[0])
			*e = why;
		return err;
	}
	pod->ipv6 = f.nr_v6 && (dual_stack || !f.nr_v4);
	return 0;
}

void netns_facts_free(struct pod_facts *pod)
{
	free(pod->local);
	free(pod->local_src);
	free(pod->routes);
	free(pod->ifaces);
	free(pod->resolvers);
	memset(pod, 0, sizeof(*pod));
}
