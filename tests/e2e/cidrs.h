/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses and CIDRs as numbers, for the test of long lists. Shares nothing with the program. */
#ifndef E2E_CIDRS_H
#define E2E_CIDRS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "../diff/addr.h"

#define COUNT 10000 /* CIDRs in a list */

typedef unsigned __int128 u128;

struct host {
	bool v6;
	u128 n;
};

struct cidr {
	struct host host; /* as written */
	int len;
};

struct range {
	u128 first, last;
};

static inline int bits(bool v6)
{
	return v6 ? 128 : 32;
}

/* The bits of an address behind the first LEN. */
static inline u128 host_bits(const struct cidr *c)
{
	int n = bits(c->host.v6) - c->len;

	return n == 128 ? ~(u128)0 : ((u128)1 << n) - 1;
}

static inline struct range range_of(const struct cidr *c)
{
	return (struct range){ c->host.n & ~host_bits(c), c->host.n | host_bits(c) };
}

static inline void host_address(const struct host *h, in_port_t port, union addr *to)
{
	int i;

	memset(to, 0, sizeof(*to));
	if (!h->v6) {
		to->in = (struct sockaddr_in){ .sin_family = AF_INET,
					       .sin_port = htons(port),
					       .sin_addr.s_addr = htonl(h->n) };
		return;
	}
	to->in6.sin6_family = AF_INET6;
	to->in6.sin6_port = htons(port);
	for (i = 0; i < 16; i++)
		to->in6.sin6_addr.s6_addr[i] = h->n >> (120 - 8 * i);
}

static inline bool is_loopback(struct host h)
{
	return h.v6 ? h.n == 1 : h.n >> 24 == 127;
}

#endif
