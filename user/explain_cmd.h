/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of the command explain: what is asked, a policy without a pod, the answer in words. */
#ifndef SOCKTABLES_EXPLAIN_CMD_H
#define SOCKTABLES_EXPLAIN_CMD_H

#include "config.h"
#include "err.h"
#include "explain.h"
#include "ruleset.h"

/* FLOW, and the flags that belong to it; NULL: not given. */
struct question {
	const char *uid, *gid, *from, *iface, *mark_text;
	int inbound;
	__u32 mark;
	struct flow flow; /* without its classes */
};

#define NOTES_MAX 8

struct answer {
	const char *pod; /* NULL: offline */
	const struct question *q;
	struct policy policy;
	struct walk walk;
	struct walk then; /* of a proxy that calls its own pod with TPROXY, if it gets that far */
	int has_then;
	struct seen seen;
	int nr_listeners; /* of the proxy, for inbound; -1: not known */
	char notes[NOTES_MAX][160];
	int nr_notes;
};

/* The words of FLOW: out|in tcp|udp ADDRESS:PORT. Returns 0, or -EINVAL with e filled. */
int question_parse(struct question *q, int n, char **words, struct st_err *e);

/* Fills walk, then and seen. f: the question's flow with its classes. -EIO with e filled if the walk is
 * not what decided.
 */
int answer_find(struct answer *a, const struct flow *f, const struct addr *class_source,
		struct st_err *e);

/* What the answer does not know, for a person to judge. */
void answer_note(struct answer *a, const char *text, ...) __attribute__((format(printf, 2, 3)));

/* Both return an exit status. */
int answer_print(const struct answer *a);
int answer_json(const struct answer *a);

/* Answers by a policy that no pod has. local: the addresses that it would have, with commas; NULL: none.
 * Returns 0 or -errno with e filled.
 */
int answer_offline(struct answer *a, struct config *c, const char *local, struct st_err *e);

#endif
