/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules as iptables-restore reads them. nat, and with TPROXY the ports of mangle, are the list,
 * chain by chain; the rest serves these and is written from the config directly. What Istio does
 * beside iptables are comments that begin with "ip".
 */
#include "oracle.h"

#include <string.h>

static const char *const chains[] = {
	[OUTPUT_HEAD] = "OUTPUT",	  [OUTPUT_TAIL] = "OUTPUT",
	[ISTIO_OUTPUT] = "ISTIO_OUTPUT",  [ISTIO_OUTPUT_DNS] = "ISTIO_OUTPUT_DNS",
	[PREROUTING_HEAD] = "PREROUTING", [ISTIO_INBOUND] = "ISTIO_INBOUND",
};

#define SELF_MARK \
	1338 /* of what the proxy sends to its own pod; not configurable in Istio either */

static const char *const targets[] = {
	[TO_RETURN] = "RETURN",
	[TO_DNS] = "REDIRECT --to-ports 15053",
	[TO_OUTBOUND] = "ISTIO_REDIRECT",
	[TO_INBOUND] = "ISTIO_IN_REDIRECT",
};

static void print_prefix(FILE *f, const char *option, const struct prefix *p)
{
	char text[PREFIX_TEXT_MAX];

	if (!p)
		return;
	prefix_print(p, text);
	fprintf(f, " %s %s", option, text);
}

static void print_ports(FILE *f, const struct oracle_rule *r)
{
	const char *proto = r->proto == ST_UDP ? "udp" : "tcp";
	const __u16 *not_ports = r->not_dports;

	if (r->proto)
		fprintf(f, " -p %s", proto);
	if (r->dport)
		fprintf(f, " -m %s --dport %u", proto, r->dport);
	if (not_ports[0] && not_ports[1])
		fprintf(f, " -m multiport ! --dports %u,%u", not_ports[0], not_ports[1]);
	else if (not_ports[0] || not_ports[1])
		fprintf(f, " -m %s ! --dport %u", proto,
			not_ports[0] ? not_ports[0] : not_ports[1]);
}

static void print_owner(FILE *f, const struct oracle_rule *r)
{
	static const char *const matches[] = {
		[UID_IS] = "--uid-owner",
		[UID_IS_NOT] = "! --uid-owner",
		[GID_IS] = "--gid-owner",
		[GID_IS_NOT] = "! --gid-owner",
	};
	size_t i;

	for (i = 0; i < r->nr_not_groups; i++)
		fprintf(f, " -m owner ! --gid-owner %u", r->not_groups[i].gid);
	if (r->owner != ANY_OWNER)
		fprintf(f, " -m owner %s %u", matches[r->owner], r->id);
}

static void print_rule(FILE *f, const struct oracle_rule *r)
{
	fprintf(f, "-A %s", chains[r->chain]);
	if (r->iface)
		fprintf(f, " %s %s", r->chain == PREROUTING_HEAD ? "-i" : "-o", r->iface);
	print_prefix(f, "-s", r->src);
	print_prefix(f, "-d", r->dst);
	print_prefix(f, "! -d", r->not_dst);
	print_ports(f, r);
	print_owner(f, r);
	fprintf(f, " -j %s\n", targets[r->target]);
}

static void print_chain(FILE *f, const struct oracle_rule *rules, size_t nr,
			enum oracle_chain chain)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (rules[i].chain == chain)
			print_rule(f, &rules[i]);
	}
}

/* ISTIO_OUTPUT has a jump to ISTIO_OUTPUT_DNS where the list has the first rule of that chain. */
static void print_output(FILE *f, const struct oracle *o)
{
	int jumped = 0;
	size_t i;

	print_chain(f, o->output, o->nr_output, OUTPUT_HEAD);
	fprintf(f, "-A OUTPUT%s -j ISTIO_OUTPUT\n",
		o->config->udp_dns == UDP_DNS_FIRST ? " -p tcp" : "");
	print_chain(f, o->output, o->nr_output, OUTPUT_TAIL);
	for (i = 0; i < o->nr_output; i++) {
		if (o->output[i].chain == ISTIO_OUTPUT)
			print_rule(f, &o->output[i]);
		if (o->output[i].chain == ISTIO_OUTPUT_DNS && !jumped++)
			fprintf(f, "-A ISTIO_OUTPUT -j ISTIO_OUTPUT_DNS\n");
	}
	print_chain(f, o->output, o->nr_output, ISTIO_OUTPUT_DNS);
}

/* Without a port to capture Istio leaves the chain alone. */
static void print_inbound_jump(FILE *f, const struct config *c)
{
	if (c->in_include.all || c->in_include.nr)
		fprintf(f, "-A PREROUTING -p tcp -j ISTIO_INBOUND\n");
}

static void print_nat(FILE *f, const struct oracle *o)
{
	const struct config *c = o->config;

	fprintf(f, "*nat\n"
		   "-N ISTIO_INBOUND\n"
		   "-N ISTIO_REDIRECT\n"
		   "-N ISTIO_IN_REDIRECT\n"
		   "-N ISTIO_OUTPUT\n");
	if (o->dns && c->udp_dns == UDP_DNS_BESIDE)
		fprintf(f, "-N ISTIO_OUTPUT_DNS\n");
	fprintf(f, "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports %u\n", c->outbound_port);
	fprintf(f, "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports %u\n", c->inbound_port);
	print_chain(f, o->prerouting, o->nr_prerouting, PREROUTING_HEAD);
	if (!c->tproxy) {
		print_inbound_jump(f, c);
		print_chain(f, o->prerouting, o->nr_prerouting, ISTIO_INBOUND);
	} else { /* nothing leads there, but Istio writes it */
		fprintf(f, "-A ISTIO_INBOUND -p tcp -m tcp --dport %u -j RETURN\n", c->tunnel_port);
	}
	print_output(f, o);
	fprintf(f, "COMMIT\n");
}

/* The agent's and the app's queries can be equal in every address and port: their conntrack entries
 * are kept apart by zones. The first CT target that a packet meets counts.
 */
static void print_zones_of(FILE *f, const char *owner, const struct id_list *ids)
{
	size_t i;

	for (i = 0; i < ids->nr; i++) {
		fprintf(f, "-A OUTPUT -p udp --dport 53 -m owner %s %u -j CT --zone 1\n", owner,
			ids->v[i]);
		fprintf(f, "-A OUTPUT -p udp --sport 15053 -m owner %s %u -j CT --zone 2\n", owner,
			ids->v[i]);
	}
}

static void print_raw(FILE *f, const struct oracle *o)
{
	const struct config *c = o->config;
	char text[PREFIX_TEXT_MAX];
	size_t i;

	fprintf(f, "*raw\n");
	print_zones_of(f, "--uid-owner", &c->uids);
	print_zones_of(f, "--gid-owner", c->gids.nr ? &c->gids : &c->uids);
	if (c->capture_all_dns) {
		fprintf(f, "-A OUTPUT -p udp --dport 53 -j CT --zone 2\n");
		fprintf(f, "-A PREROUTING -p udp --sport 53 -j CT --zone 1\n");
	}
	for (i = 0; !c->capture_all_dns && i < o->nr_servers; i++) {
		prefix_print(&o->servers[i], text);
		fprintf(f, "-A OUTPUT -d %s -p udp --dport 53 -j CT --zone 2\n", text);
		fprintf(f, "-A PREROUTING -s %s -p udp --sport 53 -j CT --zone 1\n", text);
	}
	fprintf(f, "COMMIT\n");
}

static const char *loopback_text(const struct oracle *o)
{
	static char text[PREFIX_TEXT_MAX];

	if (o->v6)
		return "::1/128";
	prefix_print(&o->config->loopback, text);
	return text;
}

/* A captured port: what belongs to a connection is led to lo by its mark, what begins one is given
 * to the listener.
 */
static void print_tproxy_ports(FILE *f, const struct oracle *o)
{
	struct oracle_rule rule;
	size_t i;

	for (i = 0; i < o->nr_prerouting; i++) {
		rule = o->prerouting[i];
		if (rule.chain != ISTIO_INBOUND)
			continue;
		if (rule.target == TO_RETURN) {
			print_rule(f, &rule);
			continue;
		}
		fprintf(f, "-A ISTIO_INBOUND");
		print_ports(f, &rule);
		fprintf(f, " -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT\n");
		fprintf(f, "-A ISTIO_INBOUND");
		print_ports(f, &rule);
		fprintf(f, " -j ISTIO_TPROXY\n");
	}
}

static void print_marks_of(FILE *f, const struct oracle *o, const char *owner,
			   const struct id_list *ids)
{
	size_t i;

	for (i = 0; i < ids->nr; i++)
		fprintf(f, "-A OUTPUT ! -d %s -o lo -p tcp -m owner %s %u -j MARK --set-mark %u\n",
			loopback_text(o), owner, ids->v[i], SELF_MARK);
}

static void print_tproxy(FILE *f, const struct oracle *o)
{
	const struct config *c = o->config;
	__u32 mark = c->tproxy_mark;

	fprintf(f, "-A ISTIO_DIVERT -j MARK --set-mark %u\n", mark);
	fprintf(f, "-A ISTIO_DIVERT -j ACCEPT\n");
	fprintf(f, "-A ISTIO_TPROXY ! -d %s -p tcp -j TPROXY --on-port %u --tproxy-mark %u/%#x\n",
		loopback_text(o), c->inbound_port, mark, -1);
	print_inbound_jump(f, c);
	fprintf(f, "-A ISTIO_INBOUND -p tcp -m mark --mark %u -j RETURN\n", mark);
	fprintf(f, "-A ISTIO_INBOUND -s %s -i lo -p tcp -j RETURN\n",
		o->v6 ? "::6/128" : "127.0.0.6/32");
	fprintf(f, "-A ISTIO_INBOUND -i lo -p tcp -m mark ! --mark %u -j RETURN\n", SELF_MARK);
	print_tproxy_ports(f, o);
	fprintf(f, "-A PREROUTING -p tcp -m mark --mark %u -j CONNMARK --save-mark\n", mark);
	fprintf(f, "-A OUTPUT -o lo -p tcp -m mark --mark %u -j RETURN\n", mark);
	print_marks_of(f, o, "--uid-owner", &c->uids);
	print_marks_of(f, o, "--gid-owner", c->gids.nr ? &c->gids : &c->uids);
	fprintf(f, "-A OUTPUT -p tcp -m connmark --mark %u -j CONNMARK --restore-mark\n", mark);
}

static void print_mangle(FILE *f, const struct oracle *o)
{
	const struct config *c = o->config;

	fprintf(f, "*mangle\n");
	if (c->tproxy)
		fprintf(f, "-N ISTIO_INBOUND\n"
			   "-N ISTIO_DIVERT\n"
			   "-N ISTIO_TPROXY\n");
	if (c->tproxy) {
		print_chain(f, o->prerouting, o->nr_prerouting, PREROUTING_HEAD);
		print_chain(f, o->output, o->nr_output, OUTPUT_HEAD);
	}
	if (c->drop_invalid)
		fprintf(f, "-A PREROUTING -m conntrack --ctstate INVALID -j DROP\n");
	if (c->tproxy)
		print_tproxy(f, o);
	fprintf(f, "COMMIT\n");
}

void oracle_print(FILE *f, const struct oracle *o)
{
	const struct config *c = o->config;

	if (!o->captured)
		return;
	if (c->drop_invalid || c->tproxy)
		print_mangle(f, o);
	print_nat(f, o);
	if (o->dns)
		print_raw(f, o);
	if (o->v6)
		fprintf(f, "# ip address add ::6/128 dev lo nodad\n");
	if (c->tproxy) {
		fprintf(f, "# ip rule add fwmark %u lookup %u\n", c->tproxy_mark, c->tproxy_table);
		fprintf(f, "# ip route add local %s dev lo table %u\n",
			o->v6 ? "::/0" : "0.0.0.0/0", c->tproxy_table);
	}
}
