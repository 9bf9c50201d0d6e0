/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* istio-iptables: what an init container of Istio runs, for the pod that it runs in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "bpffs.h"
#include "caps.h"
#include "cmd.h"
#include "istio.h"
#include "netns.h"
#include "own_cgroup.h"
#include "pod_compare.h"
#include "pod_file.h"
#include "validate.h"

#define EXIT_NOT_VALID 126 /* Istio's repair controller looks for it */
#define RESOLV_CONF "/etc/resolv.conf"
#define OWN_NETNS "/proc/self/ns/net"

const struct option_table istio_tables[2] = {
	{ .title = "flags, each with an environment variable of its name", .rows = istio_options },
	{ .title = "flags without", .rows = istio_only_flags },
};

/* The pod that this is about. */
struct target {
	char cgroup[PATH_MAX];
	const char *netns;
	char name[ST_NAME_MAX]; /* of the pod that is attached there */
	int is_attached;
};

/* Flags, then environment. Returns 0, or -1 with *status to return. */
static int read_args(const struct command *self, int argc, char **argv, struct istio *i,
		     int *status, struct st_err *e)
{
	void *ctx[] = { i, i };
	char **args;
	int n;

	*status = EXIT_FAILED; /* 2 would be unknown to who calls Istio's binary */
	if (istio_init(i, e))
		return -1;
	n = cmd_parse(self, ctx, argc, argv, &args, status, e);
	if (n < 0) {
		*status = *status == EXIT_DONE ? EXIT_DONE : EXIT_FAILED;
		return -1;
	}
	if (n) {
		err_hint(e, "a boolean flag's value is written as in --redirect-dns=false");
		err_set(e, EINVAL, "argument", args[0], "not expected");
		return -1;
	}
	return istio_read_env(i, getenv, "/etc/passwd", e) ? -1 : 0;
}

static int find_target(const struct istio *i, struct target *t, struct st_err *e)
{
	int other = i->netns && *i->netns;

	t->netns = other ? i->netns : OWN_NETNS;
	if (i->cgroup) {
		snprintf(t->cgroup, sizeof(t->cgroup), "%s", i->cgroup);
		return 0;
	}
	if (other)
		return err_set(e, EINVAL, "--network-namespace", i->netns,
			       "needs --cgroup: the own one may be another pod's");
	return cgroup_of_own_pod(t->cgroup, e);
}

/* A bpffs that attach would mount in a container would be gone with the container.
 */
static int check_bpffs(struct st_err *e)
{
	struct statfs fs;

	if (!statfs(ST_BPFFS, &fs) && fs.f_type == BPF_FS_MAGIC)
		return 0;
	err_hint(e, "mount the node's into this container (a hostPath volume)");
	return err_set(e, ENOENT, "bpffs", ST_BPFFS,
		       "not mounted, and what is pinned has to outlive this container");
}

static int find_attached(struct target *t, struct st_err *e)
{
	int err = pod_name_of_netns(t->netns, t->name, e);

	t->is_attached = !err;
	return err == -ENOENT && !e->text[0] ? 0 : err;
}

/* By what name attach would call it; empty if none could be attached. */
static void name_of_wreck(const struct istio *i, struct target *t)
{
	struct st_err ignored = {};
	const char *name = i->name;
	char path[PATH_MAX];

	t->name[0] = '\0';
	if (!name && !find_target(i, t, &ignored) && realpath(t->cgroup, path))
		name = strrchr(path, '/') + 1;
	if (name && !pod_check_name(name, &ignored))
		snprintf(t->name, sizeof(t->name), "%s", name);
}

/* What is in the namespace, by whatever name. Links that no policy tells of any more, as a command was
 * killed or somebody deleted pins, have but the name that attach would have given them: another pod may
 * have that, and is left.
 */
static int cleanup(const struct istio *i, struct st_err *e)
{
	struct st_err unreadable = {};
	struct target t = {};
	int err = check_bpffs(e);

	if (err)
		return err;
	t.netns = i->netns && *i->netns ? i->netns : OWN_NETNS;
	err = find_attached(&t, &unreadable);
	if (!t.is_attached)
		name_of_wreck(i, &t);
	if (err && !pod_is_linked_to(t.name, t.netns)) {
		*e = unreadable;
		return err;
	}
	err = -ENOENT;
	if (t.name[0])
		err = pod_detach(t.name, t.is_attached ? DETACH_ANY : DETACH_WRECK, e);
	if (err && (err != -ENOENT || e->text[0]))
		return err;
	if (err)
		puts("not captured, nothing to clean up");
	else
		printf("pod '%s': not captured any more\n", t.name);
	return 0;
}

static struct pod_spec spec_of(const struct target *t, const struct istio *i)
{
	return (struct pod_spec){ .name = i->name	   ? i->name
					  : t->is_attached ? t->name
							   : NULL,
				  .cgroup = t->cgroup,
				  .netns = t->netns,
				  .root = "",
				  .config = &i->policy };
}

/* Istio: nothing to do if the same rules are there; other rules are replaced with --reconcile, and
 * otherwise in the way.
 */
static int may_apply(const struct istio *i, const struct target *t, enum pod_likeness is,
		     struct st_err *e)
{
	if (is != POD_OTHER || i->reconcile)
		return 0;
	err_hint(e, "--reconcile or --force-apply replaces it, --cleanup-only removes it");
	return err_set(e, EEXIST, "pod", t->name, "captured already, by another policy");
}

static int apply(const struct istio *i, struct st_err *e)
{
	static const char *const done[] = {
		[POD_NONE] = "captured",
		[POD_SAME] = "captured by this policy already, nothing to do",
		[POD_MOVED] = "captured by this policy already, its addresses are new",
		[POD_OTHER] = "another policy replaced",
	};
	enum pod_likeness is = POD_NONE;
	struct target t = {};
	struct pod_spec spec;
	int err = check_bpffs(e);

	err = err ?: find_target(i, &t, e);
	err = err ?: find_attached(&t, e);
	if (err)
		return err;
	if (t.is_attached && !i->force_apply) {
		spec = spec_of(&t, i);
		err = pod_compare(&spec, &is, e);
		err = err ?: may_apply(i, &t, is, e);
	}
	spec = spec_of(&t, i);
	if (!err && (is != POD_SAME || strcmp(spec.name, t.name)))
		err = pod_attach(&spec, e);
	err = err ?: find_attached(&t, e);
	if (!err)
		printf("pod '%s': %s\n", t.name, done[is]);
	return err;
}

/* The nameservers that count. Without any, Istio turns DNS capture off and warns. */
static int read_resolvers(const struct config *c, struct addr_list *ret, struct st_err *e)
{
	int err;

	if (!c->redirect_dns || c->capture_all_dns)
		return 0;
	err = pod_file_resolvers("", RESOLV_CONF, &ret->v, &ret->nr, e);
	if (!err && !ret->nr)
		fprintf(stderr, "socktables: istio-iptables: " RESOLV_CONF
				" has no nameserver: DNS is not captured\n");
	return err;
}

/* Which families Istio would capture in a namespace: by its addresses. */
static int find_families(const char *netns, int dual_stack, int *v4, int *v6, struct st_err *e)
{
	struct pod_facts facts;
	struct netns ns;
	int err = netns_open(netns, 0, &ns, e);

	if (err)
		return err;
	err = netns_facts(&ns, dual_stack, &facts, e);
	netns_close(&ns);
	if (err)
		return err;
	*v6 = facts.ipv6;
	*v4 = !facts.ipv6 || !addr_is_zero(&facts.src4);
	netns_facts_free(&facts);
	return 0;
}

static int dry_run(const struct istio *i, const struct addr_list *resolvers, struct st_err *e)
{
	struct st_err why = {};
	struct target t = {};
	char cgroup[ERR_QUOTED_MAX(sizeof(t.cgroup))] = "DIR";
	int found = !find_target(i, &t, &why), v4, v6;
	int err = find_families(t.netns, i->policy.dual_stack, &v4, &v6, e);

	if (err)
		return err;
	puts("dry run: nothing is changed");
	if (i->skip_rule_apply) {
		puts("nothing would be, by --skip-rule-apply");
		return 0;
	}
	if (i->cleanup_only) {
		puts("the pod would not be captured any more");
		return 0;
	}
	if (found)
		err_quote(t.cgroup, cgroup, sizeof(cgroup));
	printf("  cgroup     %s\n", found ? cgroup : why.text);
	istio_print_policy(i, v6, resolvers);
	puts("the same by hand:");
	istio_print_attach(i, cgroup, t.netns, i->name, resolvers);
	return 0;
}

static int run_validation(const struct istio *i, __u32 uid, __u32 gid, struct st_err *e)
{
	struct validation v = { .outbound_port = i->policy.outbound_port,
				.inbound_port = i->policy.inbound_port,
				.probe_port = i->probe_port,
				.timeout = i->probe_timeout };
	int err = find_families(OWN_NETNS, i->policy.dual_stack, &v.v4, &v.v6, e);

	fflush(stdout);
	err = err ?: validate_as(uid, gid, e);
	err = err ?: validate(&v, e);
	if (!err)
		puts("validation passed: connections are redirected");
	return err;
}

static int change(const struct istio *i, struct st_err *e)
{
	struct addr_list resolvers = {};
	int err;

	if (i->cleanup_only && !i->dry_run)
		return cleanup(i, e);
	err = read_resolvers(&i->policy, &resolvers, e);
	if (!err)
		err = i->dry_run ? dry_run(i, &resolvers, e) : apply(i, e);
	free(resolvers.v);
	return err;
}

static int run(const struct istio *i, struct st_err *e)
{
	const struct config *c = &i->policy;
	__u32 uid = c->uids.v[0], gid = c->gids.nr ? c->gids.v[0] : uid;

	if ((i->dry_run || !i->skip_rule_apply) && change(i, e))
		return EXIT_FAILED;
	if (i->dry_run || !i->run_validation)
		return EXIT_DONE;
	return run_validation(i, uid, gid, e) ? EXIT_NOT_VALID : EXIT_DONE;
}

/* To show what would be done, and to validate, takes nothing. */
static int begin(const struct command *self, const struct istio *i, struct st_err *e)
{
	if (i->dry_run || i->skip_rule_apply)
		return caps_keep(0, self->needs | self->uses, e);
	return cmd_begin(self, e);
}

int cmd_istio(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct istio i = {};
	int status;

	/* Who may attach is asked before anything is looked for, so that the answer is always the same. */
	if (!read_args(self, argc, argv, &i, &status, e))
		status = begin(self, &i, e) ? EXIT_FAILED : run(&i, e);
	istio_free(&i);
	return status;
}
