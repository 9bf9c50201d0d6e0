/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_env.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netlink.h"

/* One thing in the namespace. change() adds it (on = 1) or takes it away, in the namespace, and
 * returns 1 if it did, 0 if there was nothing to do, -errno with e filled.
 */
struct thing {
	__u32 needed_by; /* flag of the policy */
	__u32 added;	 /* flag that it was added */
	int (*change)(const struct policy *p, int on, struct st_err *e);
};

static int request(struct nlmsghdr *nlh, int on, const char *what, const char *which,
		   struct st_err *e)
{
	int err;

	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (on ? NLM_F_CREATE | NLM_F_EXCL : 0);
	err = netlink_talk(nlh, NULL, NULL);
	if (err == -EEXIST || (!on && (err == -EADDRNOTAVAIL || err == -ENOENT || err == -ESRCH)))
		return 0;
	return err ? err_sys(e, -err, what, which) : 1;
}

static int change_six(const struct policy *p, int on, struct st_err *e)
{
	static const struct addr six = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } };
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;

	(void)p;
	nlh->nlmsg_type = on ? RTM_NEWADDR : RTM_DELADDR;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = 128;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = if_nametoindex("lo");
	mnl_attr_put(nlh, IFA_LOCAL, sizeof(six), &six);
	mnl_attr_put(nlh, IFA_ADDRESS, sizeof(six), &six);
	return request(nlh, on, "address on lo", "::6/128", e);
}

/* ip rule add fwmark MARK lookup TABLE */
static int change_rule(const struct policy *p, int family, int on, struct st_err *e)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *rule;

	nlh->nlmsg_type = on ? RTM_NEWRULE : RTM_DELRULE;
	rule = mnl_nlmsg_put_extra_header(nlh, sizeof(*rule));
	rule->family = family;
	rule->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(nlh, FRA_TABLE, p->tproxy_table);
	mnl_attr_put_u32(nlh, FRA_FWMARK, p->tproxy_mark);
	return request(nlh, on, "rule for the TPROXY mark", NULL, e);
}

/* ip route add local default dev lo table TABLE */
static int change_route(const struct policy *p, int family, int on, struct st_err *e)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rt;

	nlh->nlmsg_type = on ? RTM_NEWROUTE : RTM_DELROUTE;
	rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = family;
	rt->rtm_protocol = RTPROT_BOOT;
	rt->rtm_scope = RT_SCOPE_HOST;
	rt->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(nlh, RTA_TABLE, p->tproxy_table);
	mnl_attr_put_u32(nlh, RTA_OIF, if_nametoindex("lo"));
	return request(nlh, on, "route for the TPROXY mark", NULL, e);
}

static int change_rule4(const struct policy *p, int on, struct st_err *e)
{
	return change_rule(p, AF_INET, on, e);
}

static int change_rule6(const struct policy *p, int on, struct st_err *e)
{
	return on && !(p->flags & POLICY_V6) ? 0 : change_rule(p, AF_INET6, on, e);
}

static int change_route4(const struct policy *p, int on, struct st_err *e)
{
	return change_route(p, AF_INET, on, e);
}

static int change_route6(const struct policy *p, int on, struct st_err *e)
{
	return on && !(p->flags & POLICY_V6) ? 0 : change_route(p, AF_INET6, on, e);
}

static int change_sysctl(const char *path, int on, struct st_err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), err = 0;
	char now = 0;

	if (fd < 0)
		return err_sys(e, errno, "sysctl", path);
	if (pread(fd, &now, 1, 0) != 1 ||
	    (now != '0' + on && pwrite(fd, on ? "1" : "0", 1, 0) != 1))
		err = err_sys(e, errno, "sysctl", path);
	close(fd);
	return err ?: now != '0' + on;
}

/* What the app accepts takes on the mark of the SYN, so that its answers find the way back to a proxy
 * that called it with the client's address. It holds for both families.
 */
static int change_accept(const struct policy *p, int on, struct st_err *e)
{
	(void)p;
	return change_sysctl("/proc/sys/net/ipv4/tcp_fwmark_accept", on, e);
}

/* The same for a port that nobody listens on: the reset has no socket to take a mark from. */
static int change_reflect4(const struct policy *p, int on, struct st_err *e)
{
	(void)p;
	return change_sysctl("/proc/sys/net/ipv4/fwmark_reflect", on, e);
}

static int change_reflect6(const struct policy *p, int on, struct st_err *e)
{
	if (on && !(p->flags & POLICY_V6))
		return 0;
	return change_sysctl("/proc/sys/net/ipv6/fwmark_reflect", on, e);
}

static const struct thing things[] = {
	{ POLICY_V6, POLICY_ADDED_SIX, change_six },
	{ POLICY_TPROXY, POLICY_ADDED_ROUTE4, change_route4 },
	{ POLICY_TPROXY, POLICY_ADDED_ROUTE6, change_route6 },
	{ POLICY_TPROXY, POLICY_ADDED_RULE4, change_rule4 },
	{ POLICY_TPROXY, POLICY_ADDED_RULE6, change_rule6 },
	{ POLICY_TPROXY, POLICY_ADDED_ACCEPT, change_accept },
	{ POLICY_TPROXY, POLICY_ADDED_REFLECT4, change_reflect4 },
	{ POLICY_TPROXY, POLICY_ADDED_REFLECT6, change_reflect6 },
};

#define NR_THINGS (sizeof(things) / sizeof(*things))

__u32 pod_env_wanted(const struct policy *p)
{
	__u32 flags = 0;
	size_t i;

	for (i = 0; i < NR_THINGS; i++)
		if (p->flags & things[i].needed_by)
			flags |= things[i].added;
	return flags;
}

struct adding {
	struct policy *p;
	__u32 kept;
};

static int add_all(void *ctx, struct st_err *e)
{
	struct adding *a = ctx;
	size_t i;
	int did;

	for (i = 0; i < NR_THINGS; i++) {
		if (!(a->p->flags & things[i].needed_by))
			continue;
		did = things[i].change(a->p, 1, e);
		if (did < 0)
			return did;
		if (!did && !(a->kept & things[i].added))
			a->p->flags &= ~things[i].added;
	}
	return 0;
}

int pod_env_add(const struct netns *ns, struct policy *p, __u32 kept, struct st_err *e)
{
	struct adding a = { p, kept };

	return netns_run(ns, add_all, &a, e);
}

struct removing {
	const struct policy *p;
	__u32 flags;
};

static int remove_all(void *ctx, struct st_err *e)
{
	struct removing *r = ctx;
	int did, err = 0;
	size_t i;

	for (i = 0; i < NR_THINGS; i++) {
		if (!(r->flags & things[i].added))
			continue;
		did = things[i].change(r->p, 0, e);
		if (did < 0)
			err = err ?: did;
	}
	return err;
}

int pod_env_remove(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e)
{
	struct removing r = { p, flags };

	return netns_run(ns, remove_all, &r, e);
}
