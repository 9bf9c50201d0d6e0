/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "socktab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../include/verdict.h"

/* Words as the kernel has them in memory, printed as numbers. */
static int parse_addr(const char *text, struct addr *ret)
{
	unsigned int w[4];

	*ret = (struct addr){ .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
	if (strlen(text) == 8) {
		if (sscanf(text, "%8x", &w[3]) != 1)
			return -1;
		ret->w[3] = (ST_FORCE __be32)w[3];
		return 0;
	}
	if (sscanf(text, "%8x%8x%8x%8x", &w[0], &w[1], &w[2], &w[3]) != 4)
		return -1;
	memcpy(ret->w, w, sizeof(w));
	return 0;
}

/* Whether the row is of that socket; then with its peer. */
static int parse_row(const char *line, __u64 wanted, struct addr *ret, __u16 *ret_port)
{
	char peer[33];
	unsigned int port;
	unsigned long long inode;

	if (sscanf(line, " %*d: %*[0-9A-F]:%*x %32[0-9A-F]:%x %*x %*x:%*x %*x:%*x %*x %*u %*d %llu",
		   peer, &port, &inode) != 3)
		return 0; /* the heading */
	*ret_port = port;
	return inode == wanted && !parse_addr(peer, ret);
}

static const char *table(int proto, int v4)
{
	if (proto == ST_TCP)
		return v4 ? "/proc/thread-self/net/tcp" : "/proc/thread-self/net/tcp6";
	return v4 ? "/proc/thread-self/net/udp" : "/proc/thread-self/net/udp6";
}

int socktab_peer(int proto, int v4, __u64 inode, struct addr *ret, __u16 *ret_port)
{
	FILE *f = fopen(table(proto, v4), "re");
	int found = 0;
	char line[512];

	if (!f)
		return -errno;
	while (!found && fgets(line, sizeof(line), f))
		found = parse_row(line, inode, ret, ret_port);
	if (!found && ferror(f))
		found = -EIO;
	fclose(f);
	return found;
}
