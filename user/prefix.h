/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses and CIDRs as text and as bits, both families in one form. */
#ifndef SOCKTABLES_PREFIX_H
#define SOCKTABLES_PREFIX_H

#include <stddef.h>

#include "../include/verdict.h"

struct prefix {
	struct addr addr; /* IPv4 as ::ffff:a.b.c.d, host bits zero */
	__u8 len;	  /* 0..128; an IPv4 /n is 96 + n */
};

#define PREFIX_TEXT_MAX 64 /* bytes of the longest text, the final NUL included */

/* 1.2.3.4 or fd00::1. Returns NULL, or why the text is refused: a string constant, *ret untouched.
 * IPv4-mapped IPv6 is refused: no packet carries such an address, so a rule with it is a mistake.
 */
const char *addr_parse(const char *text, struct addr *ret);

/* An address with /LENGTH; without it the address alone. Host bits are cleared, as iptables does.
 * *ret_host (may be NULL) is the address as written. Returns as addr_parse().
 */
const char *prefix_parse(const char *text, struct prefix *ret, struct addr *ret_host);

/* Into text[PREFIX_TEXT_MAX], IPv4 as such; a host route without its length. */
void addr_print(const struct addr *a, char *text);
void prefix_print(const struct prefix *p, char *text);

/* Clears the bits of the address beyond the prefix. len: 0..128. */
struct addr addr_mask(const struct addr *a, unsigned int len);

/* 1 if the first len bits are equal. The families are not told apart here. */
int addr_covered(const struct addr *a, const struct addr *net, unsigned int len);

/* By address from the first byte on, then by length: a prefix stands before those it covers. */
int prefix_compare(const struct prefix *a, const struct prefix *b);

/* 1 if every address of it is IPv4. */
int prefix_is_v4(const struct prefix *p);

#endif
