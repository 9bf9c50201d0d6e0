/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Socket addresses as text, and the getsockopt under test: what sink and flow share. */
#ifndef DIFF_ADDR_H
#define DIFF_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDR_TEXT 64 /* enough for [v6 address]:port */

union addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* "10.77.0.2:80", "[fd77::2]:80", or "unspec" */
void addr_text(const union addr *a, char text[ADDR_TEXT]);
/* The opposite for an address without port; an IPv4 one becomes ::ffff:v4 if mapped is asked for. */
bool addr_parse(union addr *a, const char *host, in_port_t port, bool mapped);
socklen_t addr_len(const union addr *a);
in_port_t addr_port(const union addr *a); /* host order */
bool addr_same(const union addr *a, const union addr *b);

/* SO_ORIGINAL_DST asked the way proxies ask (a 128 byte buffer): the address or the errno's name */
void origdst_text(int fd, int level, char text[ADDR_TEXT]);

const char *errno_name(int err);

#endif
