// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who owns a socket. iptables' owner match looks at the credentials with which the socket was made,
 * not at those of the process that uses it now, so a row names both.
 */
#define _GNU_SOURCE
#include "row.h"

#include <err.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APP                   \
	{                     \
		1000, 1000, 0 \
	}
#define PROXY                 \
	{                     \
		1337, 1337, 0 \
	}
#define ROOT            \
	{               \
		0, 0, 0 \
	}

static const struct owner owners[] = {
	{ "app", APP, APP, false },
	{ "proxy", PROXY, PROXY, false },
	{ "app-gid1337", { 1000, 1337, 0 }, { 1000, 1337, 0 }, false },
	{ "root-gid1337", { 0, 1337, 0 }, { 0, 1337, 0 }, false },
	{ "uid1337", { 1337, 1000, 0 }, { 1337, 1000, 0 }, false },
	{ "app-group1337", { 1000, 1000, 1337 }, { 1000, 1000, 1337 }, false },
	{ "root", ROOT, ROOT, false },
	{ "proxy-then-app", PROXY, APP, false },
	{ "app-then-proxy", APP, PROXY, false },
	{ "proxy-to-app", PROXY, APP, true },
	{ "app-to-proxy", APP, PROXY, true },
	{ "peer", ROOT, ROOT, false }, /* a row of the outside */
};

/* UID:GID, or UID:GID>UID:GID for a socket that another user than its maker uses */
static const struct owner *parse_ids(const char *text)
{
	struct owner *o = calloc(1, sizeof(*o));
	struct ids *m, *u;
	int maker = 0, both = 0;

	if (!o)
		err(1, "owner");
	m = &o->maker;
	u = &o->user;
	o->name = text;
	sscanf(text, "%u:%u%n>%u:%u%n", &m->uid, &m->gid, &maker, &u->uid, &u->gid, &both);
	if (both && !text[both])
		return o;
	*u = *m;
	if (maker && !text[maker])
		return o;
	free(o);
	return NULL;
}

const struct owner *owner_find(const char *name)
{
	for (size_t i = 0; i < sizeof(owners) / sizeof(*owners); i++)
		if (!strcmp(owners[i].name, name))
			return &owners[i];
	return parse_ids(name);
}

/* The saved uid stays 0, so that the process can become someone else afterwards. */
static void become(const struct ids *ids)
{
	if (seteuid(0) || setgroups(ids->group ? 1 : 0, &ids->group) ||
	    setresgid(ids->gid, ids->gid, 0) || setresuid(ids->uid, ids->uid, 0))
		err(1, "become %u:%u", ids->uid, ids->gid);
}

static void send_fd(int via, int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(via, &msg, 0) != 1)
		err(1, "pass the socket");
}

static int receive_fd(int via)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(via, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		err(1, "receive the socket");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static int make_socket(const struct row *row)
{
	int fd;

	become(&row->owner->maker);
	fd = socket(row->family, row->type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	return fd;
}

int owner_socket(const struct row *row)
{
	int pair[2], fd;

	if (!row->owner->passed) {
		fd = make_socket(row);
	} else {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			err(1, "socketpair");
		if (!fork()) {
			send_fd(pair[0], make_socket(row));
			_exit(0);
		}
		fd = receive_fd(pair[1]);
	}
	become(&row->owner->user);
	return fd;
}
