/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "twin.h"

#include <string.h>

static const char *const pairs[][2] = {
	{ "127.0.0.1", "::1" },	    { "127.0.0.6", "::6" },	 { "10.77.0.2", "fd77::2" },
	{ "10.77.0.9", "fd77::9" }, { "10.96.0.10", "fd96::a" },
};
#define NR_PAIRS (sizeof(pairs) / sizeof(pairs[0]))

static int prefix_twin(const struct prefix *p, struct prefix *ret)
{
	struct addr from;
	size_t i;

	if (!prefix_is_v4(p))
		return -1;
	if (p->len == 96)
		return prefix_parse("::/0", ret, NULL) ? -1 : 0;
	for (i = 0; i < NR_PAIRS; i++) {
		addr_parse(pairs[i][0], &from);
		if (p->len == 128 && addr_equal(&p->addr, &from))
			return prefix_parse(pairs[i][1], ret, NULL) ? -1 : 0;
		if (addr_covered(&from, &p->addr, p->len))
			return -1;
	}
	if (addr_is_loopback(&p->addr))
		return -1;
	prefix_parse("fd00::", ret, NULL);
	ret->addr.w[3] = p->addr.w[3];
	ret->len = p->len;
	return 0;
}

static int list_twin(const struct prefix *v, size_t nr, struct prefix *ret)
{
	struct prefix twin;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (prefix_twin(&v[i], &twin))
			return -1;
		if (ret)
			ret[i] = twin;
	}
	return 0;
}

static int addr_twin(const struct addr *a, struct addr *ret)
{
	struct prefix from = { *a, 128 }, to;

	if (addr_is_zero(a))
		return 0;
	if (prefix_twin(&from, &to))
		return -1;
	if (ret)
		*ret = to.addr;
	return 0;
}

int twin_exists(const struct config *c, const struct flow *raw)
{
	size_t i;

	if (config_given(c, "ipv6") || config_given(c, "ipv4-loopback-cidr"))
		return 0;
	for (i = 0; i < c->dns_servers.nr; i++) {
		if (addr_twin(&c->dns_servers.v[i], NULL))
			return 0;
	}
	return !list_twin(c->include.v, c->include.nr, NULL) &&
	       !list_twin(c->exclude.v, c->exclude.nr, NULL) && !addr_twin(&raw->src, NULL) &&
	       !addr_twin(&raw->dst, NULL);
}

void twin_make(struct config *c, struct flow *raw)
{
	size_t i;

	c->ipv6 = IPV6_ON;
	list_twin(c->include.v, c->include.nr, c->include.v);
	list_twin(c->exclude.v, c->exclude.nr, c->exclude.v);
	for (i = 0; i < c->dns_servers.nr; i++)
		addr_twin(&c->dns_servers.v[i], &c->dns_servers.v[i]);
	addr_twin(&raw->src, &raw->src);
	addr_twin(&raw->dst, &raw->dst);
}
