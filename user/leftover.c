/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "leftover.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "netlink.h"

/* Chains of Istio's rules are ISTIO_OUTPUT and so on; since 1.28 they may be nftables' own, in tables
 * istio-proxy-nat and so on.
 */
#define CHAIN "ISTIO_"
#define TABLE "istio-proxy-"

static int on_attr(const struct nlattr *attr, void *data)
{
	int type = mnl_attr_get_type(attr), *found = data;

	if (type == NFTA_CHAIN_NAME && !strncmp(mnl_attr_get_str(attr), CHAIN, strlen(CHAIN)))
		*found = 1;
	if (type == NFTA_CHAIN_TABLE && !strncmp(mnl_attr_get_str(attr), TABLE, strlen(TABLE)))
		*found = 1;
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *data)
{
	return mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, data);
}

/* Returns whether there are any, or -errno. A kernel without nftables has none. */
static int in_nftables(void)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;
	int found = 0, err;

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_UNSPEC;
	nfg->version = NFNETLINK_V0;
	err = netlink_talk_to(NETLINK_NETFILTER, nlh, on_chain, &found);
	if (err == -EINVAL || err == -EOPNOTSUPP || err == -EPROTONOSUPPORT)
		return 0;
	return err ?: found;
}

/* To ask for a table makes it, so only those are asked for that are there already. */
static int has_table(const char *names, const char *table)
{
	char line[XT_TABLE_MAXNAMELEN + 2];
	FILE *f = fopen(names, "re");
	int found = 0;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		found = !strcmp(line, table);
	}
	if (f)
		fclose(f);
	return found;
}

/* A chain's name stands in the table's blob at its first rule: nothing else in there looks like it.
 * struct ip6t_getinfo and ip6t_get_entries are the same as those of IPv4.
 */
static int search_table(int fd, int level, const char *table)
{
	struct ipt_getinfo info = {};
	struct ipt_get_entries *get;
	socklen_t len = sizeof(info);
	int found;

	snprintf(info.name, sizeof(info.name), "%s", table);
	if (getsockopt(fd, level, IPT_SO_GET_INFO, &info, &len))
		return -errno;
	len = sizeof(*get) + info.size;
	get = calloc(1, len);
	if (!get)
		return -ENOMEM;
	snprintf(get->name, sizeof(get->name), "%s", table);
	get->size = info.size;
	if (getsockopt(fd, level, IPT_SO_GET_ENTRIES, get, &len))
		found = errno == EAGAIN ? 0 : -errno; /* it has just changed */
	else
		found = !!memmem(get->entrytable, info.size, CHAIN, strlen(CHAIN));
	free(get);
	return found;
}

static int in_legacy(int family, int level, const char *names)
{
	static const char *const tables[] = { "nat", "mangle", "raw" };
	int fd, found = 0;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables) && !found; i++) {
		if (!has_table(names, tables[i]))
			continue;
		fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		found = search_table(fd, level, tables[i]);
		close(fd);
	}
	return found;
}

_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "search_table()");
_Static_assert(IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES, "search_table()");

static int look(void *ctx, struct st_err *e)
{
	const char **ret = ctx;
	int found = in_nftables();

	if (found > 0)
		*ret = "nftables";
	if (!found) {
		found = in_legacy(AF_INET, IPPROTO_IP, "/proc/thread-self/net/ip_tables_names");
		found = found
				?: in_legacy(AF_INET6, IPPROTO_IPV6,
					     "/proc/thread-self/net/ip6_tables_names");
		if (found > 0)
			*ret = "iptables-legacy";
	}
	return found < 0 ? err_sys(e, -found, "packet filter rules", NULL) : 0;
}

int leftover_find(const struct netns *ns, const char **ret, struct st_err *e)
{
	*ret = NULL;
	return netns_run(ns, look, ret, e);
}
