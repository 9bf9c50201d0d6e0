/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pod_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netlink.h"

/* One thing in the namespace, where both functions run. change() adds it (on = 1) or takes it away,
 * and returns 0, also if there was nothing to do, or -errno with e filled.
 */
struct thing {
	__u32 needed_by; /* flag of the policy */
	__u32 added;	 /* flag that it was added */
	int (*is_there)(const struct policy *p,
			struct st_err *e); /* 1, 0, or -errno with e filled */
	int (*change)(const struct policy *p, int on, struct st_err *e);
};

/* lo is the first interface of every namespace, by whatever name (drivers/net/loopback.c,
 * loopback_net_init() insists on LOOPBACK_IFINDEX, since Linux 3.7).
 */
#define LO 1

/* That it is not there is as good as taken away. */
static int is_gone(int err)
{
	return err == -EADDRNOTAVAIL || err == -ENOENT || err == -ESRCH || err == -ENODEV;
}

static int request(struct nlmsghdr *nlh, int on, const char *what, const char *which,
		   struct st_err *e)
{
	int err;

	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (on ? NLM_F_CREATE | NLM_F_EXCL : 0);
	err = netlink_talk(nlh, NULL, NULL);
	if (on ? err == -EEXIST : is_gone(err))
		return 0;
	return err ? err_sys(e, -err, what, which) : 0;
}

/* Dumps what the namespace has of a kind, until found() sets the match's flag. */
struct match {
	const struct policy *p;
	int found;
};

static int look(int type, int family, mnl_cb_t found, const struct policy *p, struct st_err *e)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct match m = { .p = p };
	struct rtmsg *rt;
	int err;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = family; /* the first byte of the other kinds' headers, too */
	err = netlink_talk(nlh, found, &m);
	return err ? err_sys(e, -err, "rules and routes of the network namespace", NULL) : m.found;
}

static const struct addr six = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } };

static int on_six(const struct nlmsghdr *nlh, void *ctx)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct match *m = ctx;

	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
		if (mnl_attr_get_type(attr) == IFA_ADDRESS && ifa->ifa_family == AF_INET6 &&
		    !memcmp(mnl_attr_get_payload(attr), &six, sizeof(six)))
			m->found |= ifa->ifa_index == LO;
	return MNL_CB_OK;
}

static int has_six(const struct policy *p, struct st_err *e)
{
	return look(RTM_GETADDR, AF_INET6, on_six, p, e);
}

static int change_six(const struct policy *p, int on, struct st_err *e)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;

	(void)p;
	nlh->nlmsg_type = on ? RTM_NEWADDR : RTM_DELADDR;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = 128;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = LO;
	mnl_attr_put(nlh, IFA_LOCAL, sizeof(six), &six);
	mnl_attr_put(nlh, IFA_ADDRESS, sizeof(six), &six);
	return request(nlh, on, "address on lo", "::6/128", e);
}

static int on_rule(const struct nlmsghdr *nlh, void *ctx)
{
	struct match *m = ctx;
	const struct nlattr *attr;
	__u32 mark = 0, table = 0;

	mnl_attr_for_each(attr, nlh, sizeof(struct fib_rule_hdr)) {
		if (mnl_attr_get_type(attr) == FRA_FWMARK)
			mark = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == FRA_TABLE)
			table = mnl_attr_get_u32(attr);
	}
	m->found |= mark == m->p->tproxy_mark && table == m->p->tproxy_table;
	return MNL_CB_OK;
}

static int has_rule4(const struct policy *p, struct st_err *e)
{
	return look(RTM_GETRULE, AF_INET, on_rule, p, e);
}

static int has_rule6(const struct policy *p, struct st_err *e)
{
	return p->flags & POLICY_V6 ? look(RTM_GETRULE, AF_INET6, on_rule, p, e) : 1;
}

static int on_default(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	__u32 table = rt->rtm_table;
	const struct nlattr *attr;
	struct match *m = ctx;

	mnl_attr_for_each(attr, nlh, sizeof(*rt))
		if (mnl_attr_get_type(attr) == RTA_TABLE)
			table = mnl_attr_get_u32(attr);
	m->found |= table == m->p->tproxy_table && rt->rtm_type == RTN_LOCAL && !rt->rtm_dst_len;
	return MNL_CB_OK;
}

static int has_route4(const struct policy *p, struct st_err *e)
{
	return look(RTM_GETROUTE, AF_INET, on_default, p, e);
}

static int has_route6(const struct policy *p, struct st_err *e)
{
	return p->flags & POLICY_V6 ? look(RTM_GETROUTE, AF_INET6, on_default, p, e) : 1;
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
	char table[16];
	int err;

	nlh->nlmsg_type = on ? RTM_NEWROUTE : RTM_DELROUTE;
	rt = mnl_nlmsg_put_extra_header(nlh, sizeof(*rt));
	rt->rtm_family = family;
	rt->rtm_protocol = RTPROT_BOOT;
	rt->rtm_scope = RT_SCOPE_HOST;
	rt->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(nlh, RTA_TABLE, p->tproxy_table);
	mnl_attr_put_u32(nlh, RTA_OIF, LO);
	err = request(nlh, on, "route for the TPROXY mark", NULL, e);
	if (err || !on)
		return err;
	/* If the table has a default route already, that is not changed. */
	err = look(RTM_GETROUTE, family, on_default, p, e);
	if (err)
		return err < 0 ? err : 0;
	snprintf(table, sizeof(table), "%u", p->tproxy_table);
	err_hint(e, "-r names another table");
	return err_set(e, EEXIST, "table", table, "has another default route");
}

static int change_rule4(const struct policy *p, int on, struct st_err *e)
{
	return change_rule(p, AF_INET, on, e);
}

static int change_rule6(const struct policy *p, int on, struct st_err *e)
{
	return change_rule(p, AF_INET6, on, e);
}

static int change_route4(const struct policy *p, int on, struct st_err *e)
{
	return change_route(p, AF_INET, on, e);
}

static int change_route6(const struct policy *p, int on, struct st_err *e)
{
	return change_route(p, AF_INET6, on, e);
}

static int read_sysctl(const char *path, int mode, char *value, struct st_err *e)
{
	int fd = open(path, mode | O_CLOEXEC), err;

	if (fd >= 0 && pread(fd, value, 1, 0) == 1)
		return fd;
	err = err_sys(e, errno, "sysctl", path);
	if (fd >= 0)
		close(fd);
	return err;
}

static int has_sysctl(const char *path, struct st_err *e)
{
	char value = 0;
	int fd = read_sysctl(path, O_RDONLY, &value, e);

	if (fd < 0)
		return fd;
	close(fd);
	return value != '0';
}

static int change_sysctl(const char *path, int on, struct st_err *e)
{
	char value = 0;
	int fd = read_sysctl(path, O_RDWR, &value, e), err = 0;

	if (fd < 0)
		return fd;
	if ((value != '0') != on && pwrite(fd, on ? "1" : "0", 1, 0) != 1)
		err = err_sys(e, errno, "sysctl", path);
	close(fd);
	return err;
}

#define SYSCTL_ACCEPT "/proc/sys/net/ipv4/tcp_fwmark_accept"
#define SYSCTL_REFLECT4 "/proc/sys/net/ipv4/fwmark_reflect"
#define SYSCTL_REFLECT6 "/proc/sys/net/ipv6/fwmark_reflect"

/* What the app accepts takes on the mark of the SYN, so that its answers find the way back to a proxy
 * that called it with the client's address. It holds for both families.
 */
static int has_accept(const struct policy *p, struct st_err *e)
{
	(void)p;
	return has_sysctl(SYSCTL_ACCEPT, e);
}

static int change_accept(const struct policy *p, int on, struct st_err *e)
{
	(void)p;
	return change_sysctl(SYSCTL_ACCEPT, on, e);
}

/* The same for a port that nobody listens on: the reset has no socket to take a mark from. */
static int has_reflect4(const struct policy *p, struct st_err *e)
{
	(void)p;
	return has_sysctl(SYSCTL_REFLECT4, e);
}

static int change_reflect4(const struct policy *p, int on, struct st_err *e)
{
	(void)p;
	return change_sysctl(SYSCTL_REFLECT4, on, e);
}

static int has_reflect6(const struct policy *p, struct st_err *e)
{
	return p->flags & POLICY_V6 ? has_sysctl(SYSCTL_REFLECT6, e) : 1;
}

static int change_reflect6(const struct policy *p, int on, struct st_err *e)
{
	(void)p;
	return change_sysctl(SYSCTL_REFLECT6, on, e);
}

static const struct thing things[] = {
	{ POLICY_V6, POLICY_ADDED_SIX, has_six, change_six },
	{ POLICY_TPROXY, POLICY_ADDED_ROUTE4, has_route4, change_route4 },
	{ POLICY_TPROXY, POLICY_ADDED_ROUTE6, has_route6, change_route6 },
	{ POLICY_TPROXY, POLICY_ADDED_RULE4, has_rule4, change_rule4 },
	{ POLICY_TPROXY, POLICY_ADDED_RULE6, has_rule6, change_rule6 },
	{ POLICY_TPROXY, POLICY_ADDED_ACCEPT, has_accept, change_accept },
	{ POLICY_TPROXY, POLICY_ADDED_REFLECT4, has_reflect4, change_reflect4 },
	{ POLICY_TPROXY, POLICY_ADDED_REFLECT6, has_reflect6, change_reflect6 },
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

struct job {
	const struct policy *p;
	__u32 flags;
};

static int find_missing(void *ctx, struct st_err *e)
{
	struct job *job = ctx;
	size_t i;
	int there;

	for (i = 0; i < NR_THINGS; i++) {
		if (!(job->p->flags & things[i].needed_by))
			continue;
		there = things[i].is_there(job->p, e);
		if (there < 0)
			return there;
		if (!there)
			job->flags |= things[i].added;
	}
	return 0;
}

int pod_env_missing(const struct netns *ns, const struct policy *p, __u32 *ret, struct st_err *e)
{
	struct job job = { p, 0 };
	int err = pod_env_wanted(p) ? netns_run(ns, find_missing, &job, e) : 0;

	if (!err)
		*ret = job.flags;
	return err;
}

static int add_all(void *ctx, struct st_err *e)
{
	const struct job *job = ctx;
	int err = 0;
	size_t i;

	for (i = 0; i < NR_THINGS && !err; i++)
		if (job->flags & things[i].added)
			err = things[i].change(job->p, 1, e);
	return err;
}

int pod_env_add(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e)
{
	struct job job = { p, flags };

	return flags ? netns_run(ns, add_all, &job, e) : 0;
}

static int remove_all(void *ctx, struct st_err *e)
{
	const struct job *job = ctx;
	int did, err = 0;
	size_t i;

	for (i = 0; i < NR_THINGS; i++) {
		if (!(job->flags & things[i].added))
			continue;
		did = things[i].change(job->p, 0, e);
		err = err ?: did;
	}
	return err;
}

int pod_env_remove(const struct netns *ns, const struct policy *p, __u32 flags, struct st_err *e)
{
	struct job job = { p, flags };

	return flags ? netns_run(ns, remove_all, &job, e) : 0;
}
