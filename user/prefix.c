/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "values.h"

#define V4_BITS 96 /* of ::ffff:0:0/96 */

const char *addr_parse(const char *text, struct addr *ret)
{
	struct addr a = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };

	if (inet_pton(AF_INET, text, &a.w[3]) != 1) {
		if (inet_pton(AF_INET6, text, a.w) != 1)
			return "not an IPv4 or IPv6 address";
		if (addr_is_v4(&a))
			return "IPv4 inside IPv6: write it as plain IPv4";
	}
	*ret = a;
	return NULL;
}

const char *prefix_parse(const char *text, struct prefix *ret, struct addr *ret_host)
{
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	const char *why;
	struct addr a;
	__u32 len;

	if (n >= sizeof(host))
		return "not an IPv4 or IPv6 address";
	memcpy(host, text, n);
	host[n] = '\0';
	why = addr_parse(host, &a);
	if (why)
		return why;
	len = addr_is_v4(&a) ? 32 : 128;
	if (slash && number_parse(slash + 1, 0, len, &len))
		return addr_is_v4(&a) ? "the prefix length is not a number from 0 to 32"
				      : "the prefix length is not a number from 0 to 128";
	ret->len = addr_is_v4(&a) ? V4_BITS + len : len;
	ret->addr = addr_mask(&a, ret->len);
	if (ret_host)
		*ret_host = a;
	return NULL;
}

void addr_print(const struct addr *a, char *text)
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, &a->w[3], text, PREFIX_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->w, text, PREFIX_TEXT_MAX);
}

void prefix_print(const struct prefix *p, char *text)
{
	size_t n;

	addr_print(&p->addr, text);
	n = strlen(text);
	if (p->len < 128)
		snprintf(text + n, PREFIX_TEXT_MAX - n, "/%d",
			 prefix_is_v4(p) ? p->len - V4_BITS : p->len);
}

struct addr addr_mask(const struct addr *a, unsigned int len)
{
	struct addr ret = { 0 };

	memcpy(&ret, a, len / 8);
	if (len % 8)
		((__u8 *)ret.w)[len / 8] = addr_byte(a, len / 8) & (0xff00 >> len % 8);
	return ret;
}

int addr_covered(const struct addr *a, const struct addr *net, unsigned int len)
{
	struct addr x = addr_mask(a, len), y = addr_mask(net, len);

	return addr_equal(&x, &y);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order ? order : (int)a->len - (int)b->len;
}

int prefix_is_v4(const struct prefix *p)
{
	return p->len >= V4_BITS && addr_is_v4(&p->addr);
}
