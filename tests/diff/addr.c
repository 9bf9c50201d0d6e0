// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Socket addresses as text; see addr.h. */
#define _GNU_SOURCE
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* the same number for SOL_IP and SOL_IPV6 */
#endif

void addr_text(const union addr *a, char text[ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT, "%s:%u", host, ntohs(a->in.sin_port));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT, "[%s]:%u", host, ntohs(a->in6.sin6_port));
	} else {
		snprintf(text, ADDR_TEXT, "unspec");
	}
}

bool addr_parse(union addr *a, const char *host, in_port_t port, bool mapped)
{
	char text[ADDR_TEXT];

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1 && !mapped) {
		a->sa.sa_family = AF_INET;
		a->in.sin_port = htons(port);
		return true;
	}
	snprintf(text, sizeof(text), "%s%s", mapped && !strchr(host, ':') ? "::ffff:" : "", host);
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	return inet_pton(AF_INET6, text, &a->in6.sin6_addr) == 1;
}

socklen_t addr_len(const union addr *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

in_port_t addr_port(const union addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

bool addr_same(const union addr *a, const union addr *b)
{
	char x[ADDR_TEXT], y[ADDR_TEXT];

	addr_text(a, x);
	addr_text(b, y);
	return !strcmp(x, y);
}

void origdst_text(int fd, int level, char text[ADDR_TEXT])
{
	union addr dst = {};
	char buf[128] = {};
	socklen_t len = sizeof(buf);

	if (getsockopt(fd, level, SO_ORIGINAL_DST, buf, &len)) {
		snprintf(text, ADDR_TEXT, "%s", errno_name(errno));
		return;
	}
	memcpy(&dst, buf, sizeof(dst));
	addr_text(&dst, text);
}

const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "unknown";
}
