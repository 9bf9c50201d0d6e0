/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One flow of the differential test as its name spells it:
 *
 *	OWNER PROTOCOL STEP...		app tcp4 bind=pod:fixed connect=outside:80
 *
 * OWNER     who makes and who uses the socket: a name in the table of owner.c, UID:GID, or
 *           UID:GID>UID:GID for two processes
 * PROTOCOL  tcp or udp, then 4 (AF_INET), 6 (AF_INET6), or m (IPv4 addresses on an AF_INET6 socket)
 * STEP      VERB or VERB=PLACE:PORT[,PLACE:PORT]; the verbs are in step.c, the places in row.c, and
 *           10.1.2.3 or [fd00::1] are places, too
 * PORT      a number, or "fixed": one that no other row uses
 *
 * Rows run side by side, so two that bind the same number must go to different places.
 */
#ifndef DIFF_ROW_H
#define DIFF_ROW_H

#include "addr.h"

#include <sys/types.h>

#define MAX_STEPS 8

struct ids {
	uid_t uid;
	gid_t gid;
	gid_t group; /* one supplementary group, 0: none */
};

struct owner {
	const char *name;
	struct ids maker, user;
	bool passed; /* the maker is another process and hands the socket over */
};

struct step {
	char *verb;
	union addr to[2];
};

struct row {
	char *text;
	const struct owner *owner;
	int family, type;
	bool mapped;
	in_port_t
		fixed; /* the row's own port; those after it are its ephemeral ports, one a step */
	int nr_steps;
	struct step steps[MAX_STEPS];
};

/* Fills row from its text; ends the program if it does not parse. */
void row_parse(struct row *row, const char *text);
const struct owner *owner_find(const char *name);
/* Makes the row's socket as its owner's maker and leaves the process with the user's credentials. */
int owner_socket(const struct row *row);
/* Takes the steps and prints what they did into out, as tab-separated KEY=VALUE. */
void row_run(const struct row *row, char *out, size_t size);

#endif
