/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The setters of flags whose value is a list. */
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"
#include "list_file.h"
#include "values.h"

#define GROUPS_MAX 64 /* Istio's: it puts all included groups into one iptables rule */
#define STRING(x) STRING_OF(x)
#define STRING_OF(x) #x

/* list_parse() for a flag. all becomes 1 for '*' alone; NULL: '*' has no meaning there. */
static int parse_opened(const char *what, const struct list *list, size_t size,
			element_parser parse, int *all, void **ret, size_t *ret_nr,
			struct st_err *e)
{
	if (all) {
		*all = !strcmp(list->text, "*");
		if (*all)
			return 0;
		if (list_has_star(list->text))
			return value_refused(e, what, list->file ? "*" : list->text,
					     "'*' is everything: give it alone");
	}
	return list_parse(what, list, size, parse, ret, ret_nr, e);
}

/* A value, or the file that it names. */
static int parse_list(const struct option_row *row, const char *value, size_t size,
		      element_parser parse, int *all, void **ret, size_t *ret_nr, struct st_err *e)
{
	char what[OPTION_TEXT_MAX];
	struct list list;
	int err;

	option_print(row, what);
	*ret = NULL;
	*ret_nr = 0;
	err = list_open(what, value, &list, e);
	if (err)
		return err;
	err = parse_opened(what, &list, size, parse, all, ret, ret_nr, e);
	list_close(&list);
	return err;
}

static int store_ports(void *ctx, const struct option_row *row, const char *value, int *all,
		       struct st_err *e)
{
	struct port_list *list = config_field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), port_parse, all, &v, &nr, e);

	if (err)
		return err;
	free(list->v);
	*list = (struct port_list){ v, nr, all && *all };
	return config_mark(ctx, row);
}

int config_set_ports(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	return store_ports(ctx, row, value, NULL, e);
}

int config_set_ports_or_all(void *ctx, const struct option_row *row, const char *value,
			    struct st_err *e)
{
	int all;

	return store_ports(ctx, row, value, &all, e);
}

/* A list of proxy owners without elements would send the proxy's traffic back to the proxy. */
int config_set_ids(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct id_list *list = config_field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), id_parse, NULL, &v, &nr, e);

	if (err)
		return err;
	if (!nr && list == &((struct config *)ctx)->uids)
		return config_refuse(e, row, value,
				     "without one the proxy would be sent to itself");
	free(list->v);
	*list = (struct id_list){ v, nr };
	return config_mark(ctx, row);
}

/* While the list is parsed, each element also leaves its address as it was written. */
struct cidr {
	struct prefix prefix;
	struct addr host;
};

static const char *parse_cidr(const char *text, void *ret)
{
	struct cidr *c = ret;

	return prefix_parse(text, &c->prefix, &c->host);
}

/* Istio asks whether the address of -i's CIDR is a loopback one, host bits included: 127.0.0.1/4
 * counts, 0.0.0.0/0 does not.
 */
static int store_cidrs(struct prefix_list *list, const struct cidr *cidrs, size_t nr,
		       int *ret_loopback)
{
	struct prefix *v = NULL;
	size_t i;

	if (nr && !(v = calloc(nr, sizeof(*v))))
		return -ENOMEM;
	*ret_loopback = 0;
	for (i = 0; i < nr; i++) {
		v[i] = cidrs[i].prefix;
		*ret_loopback |= addr_is_loopback(&cidrs[i].host);
	}
	free(list->v);
	*list = (struct prefix_list){ v, nr, 0 };
	return 0;
}

static int set_cidrs(struct prefix_list *list, const struct option_row *row, const char *value,
		     element_parser parse, int *all, int *ret_loopback, struct st_err *e)
{
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(struct cidr), parse, all, &v, &nr, e);

	if (!err && store_cidrs(list, v, nr, ret_loopback))
		err = err_sys(e, ENOMEM, row->name, NULL);
	free(v);
	return err;
}

int config_set_include(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct config *c = ctx;
	int all, err = set_cidrs(&c->include, row, value, parse_cidr, &all, &c->loopback_included,
				 e);

	if (err)
		return err;
	c->include.all = all;
	return config_mark(ctx, row);
}

static const char *parse_excluded(const char *text, void *ret)
{
	if (!strcmp(text, "*"))
		return "'*' cannot be excluded; -i '' captures no destination";
	return parse_cidr(text, ret);
}

int config_set_exclude(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct config *c = ctx;
	int ignored, err;

	err = set_cidrs(&c->exclude, row, value, parse_excluded, NULL, &ignored, e);
	return err ? err : config_mark(ctx, row);
}

/* A number is a gid, anything else a name, which only the pod's own files can explain. */
static const char *parse_group(const char *text, void *ret)
{
	struct owner_group *g = ret;

	if (!text[strspn(text, "0123456789")])
		return id_parse(text, &g->gid);
	if (text[0] == '-' || strpbrk(text, " \t\n:*"))
		return "neither a gid nor a group's name";
	if (strlen(text) >= sizeof(g->name))
		return "too long for a group's name";
	strcpy(g->name, text);
	return NULL;
}

static int store_groups(void *ctx, const struct option_row *row, const char *value, int *all,
			struct st_err *e)
{
	struct group_list *list = config_field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), parse_group, all, &v, &nr, e);

	if (err)
		return err;
	if (all && nr > GROUPS_MAX) {
		free(v);
		return config_refuse(e, row, value, "more than " STRING(GROUPS_MAX) " groups");
	}
	free(list->v);
	*list = (struct group_list){ v, nr, all && *all };
	return config_mark(ctx, row);
}

int config_set_groups(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int all;

	return store_groups(ctx, row, value, &all, e);
}

int config_set_groups_exclude(void *ctx, const struct option_row *row, const char *value,
			      struct st_err *e)
{
	return store_groups(ctx, row, value, NULL, e);
}

static const char *parse_server(const char *text, void *ret)
{
	return addr_parse(text, ret);
}

int config_set_servers(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct addr_list *list = config_field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), parse_server, NULL, &v, &nr, e);

	if (err)
		return err;
	free(list->v);
	*list = (struct addr_list){ v, nr };
	return config_mark(ctx, row);
}

int config_set_interfaces(void *ctx, const struct option_row *row, const char *value,
			  struct st_err *e)
{
	struct iface_list list = { 0 };
	struct iface_list *to = config_field(ctx, row);
	int err = parse_list(row, value, sizeof(*list.v), iface_parse, NULL, (void **)&list.v,
			     &list.nr, e);

	if (err)
		return err;
	free(to->v);
	*to = list;
	return config_mark(ctx, row);
}

/* What a virtual machine sends is forwarded: no socket of this host ever connects. */
static const char *parse_virtual(const char *text, void *ret)
{
	(void)text, (void)ret;
	return "forwarded traffic has no socket that could be redirected";
}

int config_set_virtual(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	void *none;
	size_t nr;
	int err = parse_list(row, value, 1, parse_virtual, NULL, &none, &nr, e);

	if (!err)
		return config_mark(ctx, row);
	err_hint(e, "keep Istio's iptables rules in pods with virtual machines");
	return err;
}
