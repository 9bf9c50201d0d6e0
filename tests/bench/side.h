/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the load generators share. Each plays both ends of its connections in one thread, so that a
 * figure is about the path between them and not about waking up: it enters the cgroup and the
 * network namespace of one end, makes that end's sockets, then does the same for the other. Which
 * programs and rules a socket meets is decided where, and by whom, it was made.
 *
 * All functions end the program with a message and status 1 if something fails.
 */
#ifndef BENCH_SIDE_H
#define BENCH_SIDE_H

#include "../diff/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define SIDE_WORKERS 16

/* One end: "CGROUP,NETNS,UID", the first two as paths; UID is the gid, too. Empty: stay where we are. */
struct side {
	const char *cgroup, *netns;
	int uid;
};

struct load {
	struct side client, server;
	union addr dial, listen;
	union addr original; /* what the server must be told; of no family: anything */
	const char *pins;    /* count what the BPF programs do whose links are pinned there */
	const char *mode;    /* the generator's own, or NULL */
	uint64_t count;	     /* stop after that many, or */
	double seconds;	     /* after that long */
	int workers;	     /* one for each CPU that was named; 1 if none was */
	int cpus[SIDE_WORKERS];
	int size; /* bytes of a message */
};

/* Options that all generators take; their meaning is in the usage that it prints. */
struct load load_parse(int argc, char **argv, const char *usage);

void side_enter(const struct side *side);
void side_pin(const struct load *load, int worker);

/* Sockets of the end that was entered last. */
int side_socket(const union addr *a, int type); /* of the family of A */
int side_listener(const struct load *load, int type);
int side_dial(const struct load *load, int type);

/* What a proxy does first with a connection that it accepted: it asks for the original destination. */
void side_ask_original(const struct load *load, int fd);

uint64_t now_ns(void);
uint64_t cpu_ns(void); /* of this process, with what the kernel did within it */

#endif
