/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy flags: their table and the setter behind each row. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "config_impl.h"
#include "values.h"

void *config_field(void *ctx, const struct option_row *row)
{
	return (char *)ctx + row->offset;
}

int config_mark(void *ctx, const struct option_row *row)
{
	((struct config *)ctx)->given |= 1ULL << (row - config_options);
	return 0;
}

int config_refuse(struct st_err *e, const struct option_row *row, const char *value,
		  const char *why)
{
	char what[OPTION_TEXT_MAX];

	option_print(row, what);
	return value_refused(e, what, value, why);
}

static int set_bool(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int err = option_set_bool(ctx, row, value, e);

	return err ? err : config_mark(ctx, row);
}

static int set_port(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	const char *why = port_parse(value, config_field(ctx, row));

	return why ? config_refuse(e, row, value, why) : config_mark(ctx, row);
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

static int set_loopback(void *ctx, const struct option_row *row, const char *value,
			struct st_err *e)
{
	struct prefix p;
	struct addr host;
	const char *why = prefix_parse(value, &p, &host);

	if (!why && (!prefix_is_v4(&p) || !addr_is_loopback(&host) || p.len < 96 + 8))
		why = "not an IPv4 loopback CIDR, /8 to /32";
	if (why)
		return config_refuse(e, row, value, why);
	((struct config *)ctx)->loopback = p;
	return config_mark(ctx, row);
}

static int set_path(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	char **path = config_field(ctx, row), *copy;

	if (!*value)
		return config_refuse(e, row, value, "not a file's path");
	copy = strdup(value);
	if (!copy)
		return err_sys(e, ENOMEM, row->name, NULL);
	free(*path);
	*path = copy;
	return config_mark(ctx, row);
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
		return config_refuse(e, row, value, "not first, beside or last");
	((struct config *)ctx)->udp_dns = n;
	return config_mark(ctx, row);
}

static int set_ipv6(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	static const char *const modes[] = {
		[IPV6_AUTO] = "auto", [IPV6_ON] = "on", [IPV6_OFF] = "off"
	};
	int n = find_name(modes, 3, value);

	if (n < 0)
		return config_refuse(e, row, value, "not auto, on or off");
	((struct config *)ctx)->ipv6 = n;
	return config_mark(ctx, row);
}

/* Why marked packets would not find the proxy; NULL if they will. A rule for mark 0 is one for all packets,
 * and a route in one of the kernel's own tables (include/uapi/linux/rtnetlink.h) is one, too.
 */
static const char *wrong_way(const struct config *c)
{
	if (!c->tproxy)
		return NULL;
	if (!c->tproxy_mark)
		return "TPROXY needs a mark that is not 0";
	if (!c->tproxy_table || (c->tproxy_table >= 253 && c->tproxy_table <= 255))
		return "TPROXY needs a table of its own, not 0 or 253 to 255";
	return NULL;
}

/* The last step of the flags that have to do with it, in whatever order they come. */
static int accept_way(struct config *c, const struct option_row *row, const char *value,
		      struct st_err *e)
{
	const char *why = wrong_way(c);

	return why ? config_refuse(e, row, value, why) : config_mark(c, row);
}

/* To Istio everything but TPROXY is REDIRECT; here a typing error is told. */
static int set_mode(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct config *c = ctx;

	if (!*value || !strcmp(value, "REDIRECT") || !strcmp(value, "TPROXY")) {
		c->tproxy = !strcmp(value, "TPROXY");
		return accept_way(c, row, value, e);
	}
	if (!strcmp(value, "NONE")) {
		err_hint(e, "-b '' -i '' --redirect-dns=false captures nothing");
		return config_refuse(e, row, value,
				     "nothing would be captured: do not attach this pod");
	}
	return config_refuse(e, row, value, "not an interception mode: REDIRECT or TPROXY");
}

static int set_way(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	if (number_parse(value, 0, 4294967295U, config_field(ctx, row)))
		return config_refuse(e, row, value, "not a number from 0 to 4294967295");
	return accept_way(ctx, row, value, e);
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
	{ "proxy-uid", 'u', "UIDS", "whose sockets are left alone [1337]", config_set_ids,
	  AT(uids) },
	{ "proxy-gid", 'g', "GIDS", "the same by group [1337]; empty: as the uids", config_set_ids,
	  AT(gids) },
	{ "istio-inbound-interception-mode", 'm', "MODE",
	  "REDIRECT, or TPROXY: the proxy may call the app with its client's address", set_mode,
	  0 },
	{ "istio-inbound-ports", 'b', "PORTS", "inbound ports to capture, '*' for all [*]",
	  config_set_ports_or_all, AT(in_include) },
	{ "istio-local-exclude-ports", 'd', "PORTS",
	  "left alone with -b '*' [22,15020,15021,15090]", config_set_ports, AT(in_exclude) },
	{ "istio-service-cidr", 'i', "CIDRS", "destinations to capture, '*' for all [*]",
	  config_set_include, 0 },
	{ "istio-service-exclude-cidr", 'x', "CIDRS", "destinations to leave alone",
	  config_set_exclude, 0 },
	{ "istio-outbound-ports", 'q', "PORTS", "outbound TCP ports to capture in any case",
	  config_set_ports, AT(out_include) },
	{ "istio-local-outbound-ports-exclude", 'o', "PORTS",
	  "outbound ports to leave alone, TCP and UDP [15020]", config_set_ports, AT(out_exclude) },
	{ "istio-exclude-interfaces", 'c', "NAMES",
	  "interfaces whose traffic is left alone; eth+ stands for all that begin so",
	  config_set_interfaces, AT(ifaces) },
	{ "kube-virt-interfaces", 'k', "NAMES", "refused: forwarded traffic has no socket",
	  config_set_virtual, 0 },
	{ "istio-inbound-tproxy-mark", 't', "MARK", "of no effect without TPROXY", set_way,
	  AT(tproxy_mark) },
	{ "istio-inbound-tproxy-route-table", 'r', "TABLE", "of no effect without TPROXY", set_way,
	  AT(tproxy_table) },
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
	  config_set_groups, AT(groups) },
	{ "outbound-owner-groups-exclude", 0, "GROUPS", "owners to leave alone",
	  config_set_groups_exclude, AT(groups_exclude) },
	{ "ipv4-loopback-cidr", 0, "CIDR", "what counts as the loopback address [127.0.0.1/32]",
	  set_loopback, 0 },
	{ "ipv6", 0, "auto|on|off", "whether IPv6 is captured [auto]", set_ipv6, 0 },
	{ "dns-servers", 0, "LIST", "resolvers, with --capture-all-dns=false [resolv.conf's]",
	  config_set_servers, AT(dns_servers) },
	{ "resolv-conf", 0, "FILE", "where the resolvers stand [the pod's own]", set_path,
	  AT(resolv_conf) },
	{ 0 },
};
