/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy needs of the pod's files. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "pod_file.h"
#include "pod_impl.h"

/* The nameservers that DNS is captured to, if the policy wants to know them. */
static int read_resolvers(const struct pod_spec *spec, struct pod_inputs *in, struct st_err *e)
{
	const struct config *c = spec->config;
	const char *root = c->resolv_conf ? "" : spec->root;

	if (!c->redirect_dns || c->capture_all_dns || config_given(c, "dns-servers"))
		return 0;
	if (!root) {
		err_hint(e, "give --dns-servers, --resolv-conf or --capture-all-dns");
		return err_set(e, EINVAL, "nameservers", NULL,
			       "the pod's resolv.conf is not known");
	}
	return pod_file_resolvers(root, c->resolv_conf ?: "/etc/resolv.conf", &in->resolvers,
				  &in->nr_resolvers, e);
}

/* The pod's group file, opened when the first name is asked for. */
struct groups {
	const char *root;
	FILE *f;
	struct st_err *e;
};

/* A gid by name. */
static int find_group(void *ctx, const char *name, __u32 *ret)
{
	struct groups *groups = ctx;
	struct group *g;
	int err;

	if (!groups->root)
		return -ENODATA;
	if (!groups->f) {
		err = pod_file_open(groups->root, "/etc/group", "groups", &groups->f, groups->e);
		if (err)
			return err;
	}
	rewind(groups->f);
	errno = 0;
	while ((g = fgetgrent(groups->f))) {
		if (strcmp(g->gr_name, name))
			continue;
		*ret = g->gr_gid;
		return 0;
	}
	return errno == ENOMEM ? -ENOMEM : -ENOENT;
}

int pod_inputs_read(const struct pod_spec *spec, struct pod_inputs *ret, struct st_err *e)
{
	struct groups groups = { .root = spec->root, .e = e };
	int err;

	*ret = (struct pod_inputs){};
	err = config_copy_owners(spec->config, &ret->c, e);
	if (!err) {
		err = config_resolve_groups(&ret->c, find_group, &groups, e);
		if (err)
			err_hint(e, "give the group's number, or --pid of a process that has its "
				    "name");
	}
	if (groups.f)
		fclose(groups.f);
	return err ?: read_resolvers(spec, ret, e);
}

void pod_inputs_free(struct pod_inputs *in)
{
	config_free_owners(&in->c);
	free(in->resolvers);
	*in = (struct pod_inputs){};
}
