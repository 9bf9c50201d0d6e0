/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "socktab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../include/verdict.h"

#define HEX "[0-9A-F]"

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

static int parse_row(const char *line, struct socktab_row *ret)
{
	char local[33], peer[33];
	unsigned int local_port, peer_port, uid;
	unsigned long long inode;

	if (sscanf(line, " %*d: %32" HEX ":%x %32" HEX ":%x %x %*x:%*x %*x:%*x %*x %u %*d %llu",
		   local, &local_port, peer, &peer_port, &ret->state, &uid, &inode) != 7)
		return -1;
	ret->local_port = local_port;
	ret->peer_port = peer_port;
	ret->uid = uid;
	ret->inode = inode;
	return parse_addr(local, &ret->local) || parse_addr(peer, &ret->peer) ? -1 : 0;
}

int socktab_walk(int proto, int v4, int (*each)(void *ctx, const struct socktab_row *row),
		 void *ctx)
{
	struct socktab_row row;
	char path[64], line[512];
	int ret = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/thread-self/net/%s%s", proto == ST_TCP ? "tcp" : "udp",
		 v4 ? "" : "6");
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!ret && fgets(line, sizeof(line), f))
		if (!parse_row(line, &row)) /* else the heading */
			ret = each(ctx, &row);
	if (!ret && ferror(f))
		ret = -EIO;
	fclose(f);
	return ret;
}

struct wanted {
	int proto;
	__u64 inode;
	__u16 port;
	int v4;
	struct socktab_row row;
};

static int has_inode(void *ctx, const struct socktab_row *row)
{
	struct wanted *w = ctx;

	w->row = *row;
	return row->inode == w->inode;
}

int socktab_find(int proto, int v4, __u64 inode, struct socktab_row *ret)
{
	struct wanted w = { .inode = inode };
	int found = socktab_walk(proto, v4, has_inode, &w);

	*ret = w.row;
	return found;
}

/* On the wildcard or on loopback. A wildcard of IPv6 may be for IPv4, too: taken for granted. */
static int gets_loopback(void *ctx, const struct socktab_row *row)
{
	const struct addr any4 = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
	struct wanted *w = ctx;

	if (row->local_port != w->port)
		return 0;
	if (w->proto == ST_TCP ? row->state != SOCKTAB_LISTEN : row->peer_port != 0)
		return 0;
	w->row = *row;
	return addr_is_zero(&row->local) || addr_equal(&row->local, &any4) ||
	       (addr_is_loopback(&row->local) && addr_is_v4(&row->local) == w->v4);
}

int socktab_listener(int proto, int v4, __u16 port, struct socktab_row *ret)
{
	struct wanted w = { .proto = proto, .port = port, .v4 = v4 };
	int found = socktab_walk(proto, v4, gets_loopback, &w);

	if (!found && v4)
		found = socktab_walk(proto, 0, gets_loopback, &w);
	*ret = w.row;
	return found;
}
