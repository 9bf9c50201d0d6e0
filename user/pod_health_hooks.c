/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is each link where it belongs, does our program run there, and who else does? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "cgroup.h"
#include "pod_health.h"
#include "pod_impl.h"

#define MAX_PROGRAMS 64 /* that the kernel lets one hook have on one cgroup */

/* What may be wrong with a hook, and which ones are so. */
enum fault { MISSING, DETACHED, ELSEWHERE, REPLACED, IDLE, NR_FAULTS };

static const struct {
	const char *code, *text;
} faults[NR_FAULTS] = {
	[MISSING] = { "link-missing", "its link is missing; attach it again" },
	[DETACHED] = { "link-detached", "somebody detached its link; attach it again" },
	[ELSEWHERE] = { "link-elsewhere", "its link is not on the pod's own cgroup or namespace" },
	[REPLACED] = { "program-replaced",
		       "somebody put another program into its link; detach, attach it again" },
	[IDLE] = { "hook-idle", "our program is attached, but the kernel does not run it" },
};

struct looking {
	const struct pod *pod;
	struct health *h;
	int cgroup;    /* file descriptor, or negative */
	int may_query; /* nothing was refused yet */
	struct {
		char names[256];
		int nr;
	} with[NR_FAULTS];
};

static int blame(struct looking *l, enum fault fault, const char *hook)
{
	size_t n = strlen(l->with[fault].names);

	snprintf(l->with[fault].names + n, sizeof(l->with[fault].names) - n, "%s%s",
		 l->with[fault].nr++ ? ", " : "", hook);
	return 0;
}

/* A program of another build of ours has the same name. One whose name may not be asked for is ours. */
static int is_named(__u32 id, const char *want)
{
	char name[BPF_OBJ_NAME_LEN];

	cgroup_program_name(id, name);
	return !strcmp(name, "?") || !strcmp(name, want);
}

/* The link of a pin; program 0 if there is none. Returns whether it is where it belongs. */
static int check_link(struct looking *l, const char *hook, __u32 *ret_program)
{
	const struct policy *p = &l->pod->policy;
	struct bpf_link_info info;
	/* What is linked to the namespace is of each pod its own. */
	const char *name = strcmp(hook, INBOUND_NAME) ? hook : ENTER_NAME;
	int is_there;

	if (pod_link(p->name, hook, &info))
		return blame(l, MISSING, hook);
	*ret_program = info.prog_id;
	if (info.type == BPF_LINK_TYPE_CGROUP) {
		is_there = info.cgroup.cgroup_id == p->cgroup_id;
		if (!info.cgroup.cgroup_id)
			return blame(l, DETACHED, hook);
	} else {
		is_there = info.type == BPF_LINK_TYPE_NETNS &&
			   info.netns.netns_ino == (__u32)p->netns_ino;
		if (!info.netns.netns_ino)
			return blame(l, DETACHED, hook);
	}
	if (!is_there)
		return blame(l, ELSEWHERE, hook);
	return is_named(info.prog_id, name) ? 1 : blame(l, REPLACED, hook);
}

/* All that run on a hook beside OURS. Returns whether ours does, or -errno. */
static int who_runs(struct looking *l, int target, int type, __u32 query, const char *hook,
		    __u32 ours)
{
	__u32 ids[MAX_PROGRAMS], nr = MAX_PROGRAMS, flags = 0, i;
	char name[BPF_OBJ_NAME_LEN];
	int found = 0;

	if (bpf_prog_query(target, type, query, &flags, ids, &nr))
		return -errno;
	for (i = 0; i < nr; i++)
		found |= ids[i] == ours;
	for (i = 0; i < nr; i++) {
		if (ids[i] == ours) {
			found = 2;
			continue;
		}
		cgroup_program_name(ids[i], name);
		health_add(l->h, SEVERITY_NOTE, "other-program",
			   "program %u (%s) runs there, too: %s%s", ids[i], name, hook,
			   !found	? ""
			   : found == 1 ? ", before ours"
					: ", after ours");
	}
	return !!found;
}

static void check_hook(struct looking *l, const struct hook *hook)
{
	__u32 program = 0;
	int is_whole = check_link(l, hook->name, &program), runs;

	if (l->cgroup < 0 || !l->may_query)
		return;
	runs = who_runs(l, l->cgroup, hook->type, BPF_F_QUERY_EFFECTIVE, hook->section, program);
	if (runs < 0)
		l->may_query = 0;
	else if (is_whole && !runs)
		blame(l, IDLE, hook->name);
	else if (is_whole)
		l->h->nr_effective++;
}

static void check_inbound(struct looking *l, const struct netns *ns)
{
	__u32 program = 0;
	int is_whole = check_link(l, INBOUND_NAME, &program), runs;

	if (!ns || !l->may_query)
		return;
	runs = who_runs(l, ns->fd, BPF_SK_LOOKUP, 0, "sk_lookup", program);
	if (runs < 0)
		l->may_query = 0;
	else if (is_whole && !runs)
		blame(l, IDLE, INBOUND_NAME);
	else if (is_whole)
		l->h->nr_effective++;
}

/* Who holds a hook alone: that keeps ours out if it was there when ours went; and if not, it is off in
 * this pod.
 */
static void check_conflicts(struct looking *l)
{
	struct st_err why = {};

	if (cgroup_check_hooks(l->h->cgroup, &why) == -EBUSY)
		health_add(l->h, SEVERITY_DEGRADED, "hook-held", "%s", why.text);
}

void pod_health_hooks(const struct pod *pod, const struct netns *ns, struct health *h)
{
	struct looking l = { .pod = pod, .h = h, .may_query = 1 };
	int i;

	l.cgroup = *h->cgroup == '/' ? open(h->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	h->nr_effective = 0;
	for (i = 0; i < NR_HOOKS; i++)
		check_hook(&l, &hooks[i]);
	check_inbound(&l, ns);
	for (i = 0; i < NR_FAULTS; i++)
		if (l.with[i].nr)
			health_add(h, SEVERITY_BROKEN, faults[i].code, "%s: %s", l.with[i].names,
				   faults[i].text);
	if (l.cgroup < 0 || !ns || !l.may_query) {
		h->nr_effective = -1;
		health_add(h, SEVERITY_NOTE, "hooks-hidden",
			   "not looked at: whether the kernel runs each program, and who else has "
			   "some there");
	}
	if (l.cgroup >= 0) {
		check_conflicts(&l);
		close(l.cgroup);
	}
}
