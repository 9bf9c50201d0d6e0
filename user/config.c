/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ST_TCP == IPPROTO_TCP && ST_UDP == IPPROTO_UDP, "protocol numbers");

struct preset {
	const char *name, *value;
};

/* Istio's own defaults, beside those that are empty. The tunnel port is not among them: to give it,
 * and be it the same, is to ask for other rules.
 */
static const struct preset istio_presets[] = {
	{ "envoy-port", "15001" },
	{ "inbound-capture-port", "15006" },
	{ "proxy-uid", "1337" },
	{ "istio-inbound-tproxy-mark", "1337" },
	{ "istio-inbound-tproxy-route-table", "133" },
	{ "outbound-owner-groups", "*" },
	{ "ipv4-loopback-cidr", "127.0.0.1" },
	{ 0 },
};

/* What istio-cni 1.11 makes of a pod without annotations, with DNS capture. */
static const struct preset attach_presets[] = {
	{ "proxy-gid", "1337" },
	{ "istio-inbound-ports", "*" },
	{ "istio-local-exclude-ports", "22,15020,15021,15090" },
	{ "istio-service-cidr", "*" },
	{ "istio-local-outbound-ports-exclude", "15020" },
	{ "redirect-dns", "true" },
	{ "capture-all-dns", "true" },
	{ 0 },
};

/* Presets pass through the setters, so that a default is subject to the same checks as a value. */
static int apply(struct config *c, const struct preset *preset, struct st_err *e)
{
	const struct option_row *row;
	int err = 0;

	for (; !err && preset->name; preset++) {
		row = options_find(config_options, preset->name);
		err = row->set(c, row, preset->value, e);
	}
	c->given = 0;
	return err;
}

int config_init_istio(struct config *c, struct st_err *e)
{
	*c = (struct config){ .tunnel_port = 15008 };
	return apply(c, istio_presets, e);
}

int config_init(struct config *c, struct st_err *e)
{
	int err = config_init_istio(c, e);

	err = err ?: apply(c, attach_presets, e);
	c->old_rules = 1;
	c->udp_dns = UDP_DNS_FIRST;
	return err;
}

const char *config_default(const char *name)
{
	const struct preset *p;

	for (p = attach_presets; p->name; p++)
		if (!strcmp(p->name, name))
			return p->value;
	for (p = istio_presets; p->name; p++)
		if (!strcmp(p->name, name))
			return p->value;
	return "";
}

void config_free(struct config *c)
{
	free(c->uids.v);
	free(c->gids.v);
	free(c->in_include.v);
	free(c->in_exclude.v);
	free(c->out_include.v);
	free(c->out_exclude.v);
	free(c->include.v);
	free(c->exclude.v);
	free(c->groups.v);
	free(c->groups_exclude.v);
	free(c->dns_servers.v);
	free(c->ifaces.v);
	free(c->resolv_conf);
	*c = (struct config){ 0 };
}

static int copy(void **array, size_t nr, size_t size)
{
	void *from = *array;

	*array = nr ? malloc(nr * size) : NULL;
	if (nr && !*array)
		return -ENOMEM;
	if (nr)
		memcpy(*array, from, nr * size);
	return 0;
}

#define COPY(list) copy((void **)&(list).v, (list).nr, sizeof(*(list).v))

int config_copy_owners(const struct config *c, struct config *ret, struct st_err *e)
{
	int err;

	*ret = *c;
	err = COPY(ret->uids);
	err |= COPY(ret->gids);
	err |= COPY(ret->groups);
	err |= COPY(ret->groups_exclude);
	return err ? err_sys(e, ENOMEM, "policy", NULL) : 0;
}

void config_free_owners(struct config *copy)
{
	free(copy->uids.v);
	free(copy->gids.v);
	free(copy->groups.v);
	free(copy->groups_exclude.v);
	*copy = (struct config){ 0 };
}

int config_given(const struct config *c, const char *name)
{
	return c->given >> (options_find(config_options, name) - config_options) & 1;
}

static int resolve_list(struct group_list *list, const char *flag,
			int (*resolve)(void *ctx, const char *name, __u32 *ret_gid), void *ctx,
			struct st_err *e)
{
	struct owner_group *g;
	size_t i;
	int err;

	for (i = 0; i < list->nr; i++) {
		g = &list->v[i];
		if (!g->name[0])
			continue;
		err = resolve(ctx, g->name, &g->gid);
		if (err == -ENOENT)
			return err_set(e, ENOENT, flag, g->name, "the pod has no such group");
		if (err)
			return e->text[0] ? err : err_sys(e, -err, flag, g->name);
		g->name[0] = '\0';
	}
	return 0;
}

int config_resolve_groups(struct config *c,
			  int (*resolve)(void *ctx, const char *name, __u32 *ret_gid), void *ctx,
			  struct st_err *e)
{
	int err = resolve_list(&c->groups, "--outbound-owner-groups", resolve, ctx, e);

	if (err)
		return err;
	return resolve_list(&c->groups_exclude, "--outbound-owner-groups-exclude", resolve, ctx, e);
}
