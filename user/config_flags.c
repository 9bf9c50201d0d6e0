/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy flags: their table and the setter behind each row. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "list_file.h"
#include "values.h"

#define GROUPS_MAX 64 /* Istio's: it puts all included groups into one iptables rule */
#define STRING(x) STRING_OF(x)
#define STRING_OF(x) #x

static void *field(void *ctx, const struct option_row *row)
{
	return (char *)ctx + row->offset;
}

static int given(void *ctx, const struct option_row *row)
{
	((struct config *)ctx)->given |= 1ULL << (row - config_options);
	return 0;
}

static int refuse(struct st_err *e, const struct option_row *row, const char *value,
		  const char *why)
{
	char what[OPTION_TEXT_MAX];

	option_print(row, what);
	return value_refused(e, what, value, why);
}

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

static int set_bool(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int err = option_set_bool(ctx, row, value, e);

	return err ? err : given(ctx, row);
}

static int set_port(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	const char *why = port_parse(value, field(ctx, row));

	return why ? refuse(e, row, value, why) : given(ctx, row);
}

static int set_tunnel(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int err = set_port(ctx, row, value, e);
	struct config *c = ctx;

	if (err)
		return err;
	c->old_rules = 0;
	if (!config_given(c, "udp-dns"))
		c->udp_dns = UDP_DNS_BESIDE;
	return 0;
}

static int store_ports(void *ctx, const struct option_row *row, const char *value, int *all,
		       struct st_err *e)
{
	struct port_list *list = field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), port_parse, all, &v, &nr, e);

	if (err)
		return err;
	free(list->v);
	*list = (struct port_list){ v, nr, all && *all };
	return given(ctx, row);
}

static int set_ports(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	return store_ports(ctx, row, value, NULL, e);
}

static int set_ports_or_all(void *ctx, const struct option_row *row, const char *value,
			    struct st_err *e)
{
	int all;

	return store_ports(ctx, row, value, &all, e);
}

/* A list of proxy owners without elements would send the proxy's traffic back to the proxy. */
static int set_ids(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct id_list *list = field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), id_parse, NULL, &v, &nr, e);

	if (err)
		return err;
	if (!nr && list == &((struct config *)ctx)->uids)
		return refuse(e, row, value, "without one the proxy would be sent to itself");
	free(list->v);
	*list = (struct id_list){ v, nr };
	return given(ctx, row);
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

static int set_include(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct config *c = ctx;
	int all, err = set_cidrs(&c->include, row, value, parse_cidr, &all, &c->loopback_included,
				 e);

	if (err)
		return err;
	c->include.all = all;
	return given(ctx, row);
}

static const char *parse_excluded(const char *text, void *ret)
{
	if (!strcmp(text, "*"))
		return "'*' cannot be excluded; -i '' captures no destination";
	return parse_cidr(text, ret);
}

static int set_exclude(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct config *c = ctx;
	int ignored, err;

	err = set_cidrs(&c->exclude, row, value, parse_excluded, NULL, &ignored, e);
	return err ? err : given(ctx, row);
}

static int set_loopback(void *ctx, const struct option_row *row, const char *value,
			struct st_err *e)
{
	struct prefix p;
	struct addr host;
	const char *why = prefix_parse(value, &p, &host);

	if (!why && (!prefix_is_v4(&p) || !addr_is_loopback(&host) || p.len < 96 + 8))
		why = "not an IPv4 loopback CIDR, /8 to /32";
	if (why)
		return refuse(e, row, value, why);
	((struct config *)ctx)->loopback = p;
	return given(ctx, row);
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
	struct group_list *list = field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), parse_group, all, &v, &nr, e);

	if (err)
		return err;
	if (all && nr > GROUPS_MAX) {
		free(v);
		return refuse(e, row, value, "more than " STRING(GROUPS_MAX) " groups");
	}
	free(list->v);
	*list = (struct group_list){ v, nr, all && *all };
	return given(ctx, row);
}

static int set_groups(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int all;

	return store_groups(ctx, row, value, &all, e);
}

static int set_groups_exclude(void *ctx, const struct option_row *row, const char *value,
			      struct st_err *e)
{
	return store_groups(ctx, row, value, NULL, e);
}

static const char *parse_server(const char *text, void *ret)
{
	return addr_parse(text, ret);
}

static int set_servers(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct addr_list *list = field(ctx, row);
	void *v;
	size_t nr;
	int err = parse_list(row, value, sizeof(*list->v), parse_server, NULL, &v, &nr, e);

	if (err)
		return err;
	free(list->v);
	*list = (struct addr_list){ v, nr };
	return given(ctx, row);
}

static int set_path(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	char **path = field(ctx, row), *copy;

	if (!*value)
		return refuse(e, row, value, "not a file's path");
	copy = strdup(value);
	if (!copy)
		return err_sys(e, ENOMEM, row->name, NULL);
	free(*path);
	*path = copy;
	return given(ctx, row);
}

/* The number of the value in names, or -1. */
static int find_name(const char *const *names, int nr, const char *value)
{
	while (--nr >= 0 && strcmp(names[nr], value))
		;
	return nr;
}

static int set_udp_dns(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	static const char *const names[] = {
		[UDP_DNS_BESIDE] = "beside", [UDP_DNS_FIRST] = "first", [UDP_DNS_LAST] = "last"
	};
	int n = find_name(names, 3, value);

	if (n < 0)
		return refuse(e, row, value, "not first, beside or last");
	((struct config *)ctx)->udp_dns = n;
	return given(ctx, row);
}

static int set_ipv6(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	static const char *const modes[] = {
		[IPV6_AUTO] = "auto", [IPV6_ON] = "on", [IPV6_OFF] = "off"
	};
	int n = find_name(modes, 3, value);

	if (n < 0)
		return refuse(e, row, value, "not auto, on or off");
	((struct config *)ctx)->ipv6 = n;
	return given(ctx, row);
}

/* To Istio everything but TPROXY is REDIRECT; here a typing error is told. */
static int set_mode(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	if (!*value || !strcmp(value, "REDIRECT") || !strcmp(value, "TPROXY")) {
		((struct config *)ctx)->tproxy = !strcmp(value, "TPROXY");
		return given(ctx, row);
	}
	if (!strcmp(value, "NONE")) {
		err_hint(e, "-b '' -i '' --redirect-dns=false captures nothing");
		return refuse(e, row, value, "nothing would be captured: do not attach this pod");
	}
	return refuse(e, row, value, "not an interception mode: REDIRECT or TPROXY");
}

static int set_number(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	if (number_parse(value, 0, 4294967295U, field(ctx, row)))
		return refuse(e, row, value, "not a number from 0 to 4294967295");
	return given(ctx, row);
}

static int set_interfaces(void *ctx, const struct option_row *row, const char *value,
			  struct st_err *e)
{
	struct iface_list list = { 0 };
	struct iface_list *to = field(ctx, row);
	int err = parse_list(row, value, sizeof(*list.v), iface_parse, NULL, (void **)&list.v,
			     &list.nr, e);

	if (err)
		return err;
	free(to->v);
	*to = list;
	return given(ctx, row);
}

/* What a virtual machine sends is forwarded: no socket of this host ever connects. */
static const char *parse_virtual(const char *text, void *ret)
{
	(void)text, (void)ret;
	return "forwarded traffic has no socket that could be redirected";
}

static int set_virtual(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	void *none;
	size_t nr;
	int err = parse_list(row, value, 1, parse_virtual, NULL, &none, &nr, e);

	if (!err)
		return given(ctx, row);
	err_hint(e, "keep Istio's iptables rules in pods with virtual machines");
	return err;
}

#define AT(member) offsetof(struct config, member)

const struct option_row config_options[] = {
	{ "envoy-port", 'p', "PORT", "where outbound TCP goes [15001]", set_port,
	  AT(outbound_port) },
	{ "inbound-capture-port", 'z', "PORT", "where inbound TCP goes [15006]", set_port,
	  AT(inbound_port) },
	{ "inbound-tunnel-port", 'e', "PORT",
	  "left alone inbound [15008]; if given, also inside the pod", set_tunnel,
	  AT(tunnel_port) },
	{ "proxy-uid", 'u', "UIDS", "whose sockets are left alone [1337]", set_ids, AT(uids) },
	{ "proxy-gid", 'g', "GIDS", "the same by group [1337]; empty: as the uids", set_ids,
	  AT(gids) },
	{ "istio-inbound-interception-mode", 'm', "MODE",
	  "REDIRECT, or TPROXY: the proxy may call the app with its client's address", set_mode,
	  0 },
	{ "istio-inbound-ports", 'b', "PORTS", "inbound ports to capture, '*' for all [*]",
	  set_ports_or_all, AT(in_include) },
	{ "istio-local-exclude-ports", 'd', "PORTS",
	  "left alone with -b '*' [22,15020,15021,15090]", set_ports, AT(in_exclude) },
	{ "istio-service-cidr", 'i', "CIDRS", "destinations to capture, '*' for all [*]",
	  set_include, 0 },
	{ "istio-service-exclude-cidr", 'x', "CIDRS", "destinations to leave alone", set_exclude,
	  0 },
	{ "istio-outbound-ports", 'q', "PORTS", "outbound TCP ports to capture in any case",
	  set_ports, AT(out_include) },
	{ "istio-local-outbound-ports-exclude", 'o', "PORTS",
	  "outbound ports to leave alone, TCP and UDP [15020]", set_ports, AT(out_exclude) },
	{ "istio-exclude-interfaces", 'c', "NAMES",
	  "interfaces whose traffic is left alone; eth+ stands for all that begin so",
	  set_interfaces, AT(ifaces) },
	{ "kube-virt-interfaces", 'k', "NAMES", "refused: forwarded traffic has no socket",
	  set_virtual, 0 },
	{ "istio-inbound-tproxy-mark", 't', "MARK", "of no effect without TPROXY", set_number,
	  AT(tproxy_mark) },
	{ "istio-inbound-tproxy-route-table", 'r', "TABLE", "of no effect without TPROXY",
	  set_number, AT(tproxy_table) },
	{ "redirect-dns", 0, NULL, "DNS to the proxy's agent on 15053 [true]", set_bool,
	  AT(redirect_dns) },
	{ "capture-all-dns", 0, NULL, "any port 53, not only the pod's resolvers [true]", set_bool,
	  AT(capture_all_dns) },
	{ "udp-dns", 0, "PLACE",
	  "where DNS over UDP is decided: first, beside TCP's, last [first; with -e beside]",
	  set_udp_dns, 0 },
	{ "drop-invalid", 0, NULL, "of no effect: without conntrack nothing is invalid", set_bool,
	  AT(drop_invalid) },
	{ "dual-stack", 0, NULL, "with --ipv6=auto: any IPv6 address counts", set_bool,
	  AT(dual_stack) },
	{ "outbound-owner-groups", 0, "GROUPS", "capture only these owners, at most 64 [*]",
	  set_groups, AT(groups) },
	{ "outbound-owner-groups-exclude", 0, "GROUPS", "owners to leave alone", set_groups_exclude,
	  AT(groups_exclude) },
	{ "ipv4-loopback-cidr", 0, "CIDR", "what counts as the loopback address [127.0.0.1/32]",
	  set_loopback, 0 },
	{ "ipv6", 0, "auto|on|off", "whether IPv6 is captured [auto]", set_ipv6, 0 },
	{ "dns-servers", 0, "LIST", "resolvers, with --capture-all-dns=false [resolv.conf's]",
	  set_servers, AT(dns_servers) },
	{ "resolv-conf", 0, "FILE", "where the resolvers stand [the pod's own]", set_path,
	  AT(resolv_conf) },
	{ 0 },
};
