/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Noun: check. Changes nothing, though it makes connections in the pod. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cgroup.h"
#include "check.h"
#include "cmd.h"
#include "values.h"
#include "why.h"

struct check_args {
	int json;
	const char *uid, *gid;
};

static const struct option_row check_rows[] = {
	{ "uid", 0, "N", "who the app is, as the node sees it; default: 65534", cmd_set_string,
	  offsetof(struct check_args, uid) },
	{ "gid", 0, "N", "its group; default: the same number as the uid", cmd_set_string,
	  offsetof(struct check_args, gid) },
	{ "json", 0, NULL, "machine-readable output", option_set_bool,
	  offsetof(struct check_args, json) },
	{},
};

const struct option_table check_tables[1] = { { .title = "flags", .rows = check_rows } };

static const char *const outcome_names[] = {
	[OUTCOME_NOT_TRIED] = "not tried",
	[OUTCOME_OK] = "ok",
	[OUTCOME_FAILED] = "FAILED",
	[OUTCOME_NOTE] = "note",
};

static const char *const outcome_words[] = {
	[OUTCOME_NOT_TRIED] = "not-tried",
	[OUTCOME_OK] = "ok",
	[OUTCOME_FAILED] = "failed",
	[OUTCOME_NOTE] = "note",
};

struct looking {
	struct check *check;
	struct checked seen;
	int changed; /* since then */
};

static int look(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct looking *l = ctx;
	char path[PATH_MAX];
	int err;

	if (pod->state == POD_DRAINING || !(pod->policy.flags & POLICY_ACTIVE))
		return err_set(e, EIO, "pod", pod->policy.name, "%s", pod->why);
	err = cgroup_path(pod->policy.cgroup_id, path);
	if (err == -ENOENT)
		return err_set(e, ESTALE, "pod", pod->policy.name, "its cgroup is gone");
	if (err)
		return err_sys(e, -err, "cgroup of pod", pod->policy.name);
	err = check_look(dp, pod, &l->seen, l->check, e);
	return err ?: check_plan(dp, pod, l->check, e);
}

static int compare(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct looking *l = ctx;

	(void)dp, (void)e;
	l->changed = pod->policy.made != l->seen.pod.policy.made ||
		     pod->policy.flags != l->seen.pod.policy.flags;
	return 0;
}

/* The lock is held to look, not to try. */
static int check_pod(const char *name, struct check *c, struct st_err *e)
{
	struct looking l = { .check = c, .changed = 1 };
	struct attempt *a;
	int err;

	datapath_init(&l.seen.dp);
	err = pod_read(name, look, &l, e);
	err = err ?: check_run(&l.seen, c, e);
	if (!err) {
		err = pod_read(name, compare, &l, e);
		err = err == -ENOENT ? 0 : err;
		a = l.changed ? check_add(c, OUTCOME_NOTE, "changed") : NULL;
		if (a)
			check_told(a, OUTCOME_NOTE,
				   "the pod was changed while it was tried: check again");
	}
	checked_free(&l.seen);
	return err;
}

static int count(const struct check *c, enum outcome outcome)
{
	int i, nr = 0;

	for (i = 0; i < c->nr; i++)
		nr += c->v[i].outcome == outcome;
	return nr;
}

static void print_check(const struct check *c)
{
	int i;

	for (i = 0; i < c->nr; i++)
		printf("%-9s  %s: %s\n", outcome_names[c->v[i].outcome], c->v[i].what,
		       c->v[i].text);
	printf("%d ok, %d failed, %d not tried\n", count(c, OUTCOME_OK), count(c, OUTCOME_FAILED),
	       count(c, OUTCOME_NOT_TRIED));
}

static int print_json(const struct check *c, const char *name, struct st_err *e)
{
	json_t *list = json_array(), *o;
	const struct attempt *a;
	int err = 0;

	for (a = c->v; a < c->v + c->nr; a++) {
		o = json_pack("{ss ss ss}", "what", a->what, "outcome", outcome_words[a->outcome],
			      "text", a->text);
		if (a->flow.proto)
			json_object_set_new(o, "reason", json_string(why_name(a->want.why)));
		err |= json_array_append_new(list, o);
	}
	o = json_pack("{ss sb si so}", "pod", name, "ok", !count(c, OUTCOME_FAILED), "app_uid",
		      c->uid, "kinds", list);
	if (o && !err)
		return json_put(o);
	json_decref(o);
	err_sys(e, ENOMEM, "check", name);
	return EXIT_FAILED;
}

static int run(const struct check_args *a, const char *name, struct check *c, struct st_err *e)
{
	int status = cmd_result(check_pod(name, c, e), name, e);

	if (status != EXIT_DONE)
		return status;
	if (a->json)
		status = print_json(c, name, e);
	else
		print_check(c);
	if (status != EXIT_DONE)
		return status;
	if (!count(c, OUTCOME_FAILED))
		return EXIT_DONE;
	err_set(e, EIO, "pod", name, "%d of what was tried is not as the policy demands",
		count(c, OUTCOME_FAILED));
	return EXIT_FAILED;
}

static int parse_owner(const struct check_args *a, struct check *c, struct st_err *e)
{
	const char *why = a->uid ? id_parse(a->uid, &c->uid) : NULL;

	if (why)
		return err_set(e, EINVAL, "uid", a->uid, "%s", why);
	c->gid = c->uid;
	why = a->gid ? id_parse(a->gid, &c->gid) : NULL;
	if (why)
		return err_set(e, EINVAL, "gid", a->gid, "%s", why);
	if (a->gid && !a->uid)
		return err_set(e, EINVAL, "--gid", a->gid, "needs --uid");
	c->owner_given = !!a->uid;
	return 0;
}

int cmd_check(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct check_args a = {};
	void *ctx[] = { &a };
	struct check *c;
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (n != 1 || pod_check_name(args[0], e)) {
		err_set(e, EINVAL, "arguments", NULL, "one NAME is needed");
		return EXIT_USAGE;
	}
	c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED) {
		err_sys(e, errno, "check", NULL);
		return EXIT_FAILED;
	}
	if (parse_owner(&a, c, e))
		status = EXIT_USAGE;
	else
		status = cmd_begin(self, e) ? EXIT_FAILED : run(&a, args[0], c, e);
	munmap(c, sizeof(*c));
	return status;
}
