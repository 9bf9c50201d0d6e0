/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "show_status.h"

#include <stdlib.h>
#include <string.h>

#define INDENT 13

/* "  LABEL      ", to INDENT columns */
static void label(FILE *f, const char *name)
{
	fprintf(f, "  %-*s ", INDENT - 3, name);
}

static const char *string_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static long long number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static int is_set(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static long long count_of(const json_t *policy, const char *list)
{
	return number_of(json_object_get(json_object_get(policy, "lists"), list), "count");
}

/* "1, 2, 3 and 97 more", or nothing */
static void list(FILE *f, const json_t *policy, const char *name)
{
	const json_t *o = json_object_get(json_object_get(policy, "lists"), name);
	const json_t *first = json_object_get(o, "first"), *v;
	long long count = number_of(o, "count");
	size_t i;

	json_array_foreach((json_t *)first, i, v) {
		fputs(i ? ", " : "", f);
		if (json_is_string(v))
			fputs(json_string_value(v), f);
		else
			fprintf(f, "%lld", (long long)json_integer_value(v));
	}
	if (count > (long long)json_array_size(first))
		fprintf(f, " and %lld more", count - (long long)json_array_size(first));
}

/* A line of its own for a list that is not empty. */
static void list_line(FILE *f, const json_t *policy, const char *words, const char *name)
{
	if (!count_of(policy, name))
		return;
	fprintf(f, "%*s%s ", INDENT, "", words);
	list(f, policy, name);
	putc('\n', f);
}

static void show_outbound(FILE *f, const json_t *p)
{
	const long long cidrs = count_of(p, "outbound_cidrs"),
			ports = count_of(p, "outbound_ports");

	label(f, "outbound");
	if (is_set(p, "outbound_all")) {
		fprintf(f, "all TCP -> %lld\n", number_of(p, "outbound_port"));
		list_line(f, p, "always ports", "outbound_ports");
	} else if (cidrs || ports) {
		fputs("TCP to ", f);
		list(f, p, "outbound_cidrs");
		fputs(cidrs && ports ? ", and to ports " : ports ? "ports " : "", f);
		list(f, p, "outbound_ports");
		fprintf(f, " -> %lld\n", number_of(p, "outbound_port"));
	} else {
		fputs("not captured\n", f);
	}
	list_line(f, p, "not ports", "outbound_ports_excluded");
	list_line(f, p, "not to", "outbound_cidrs_excluded");
	list_line(f, p, "not by or from interfaces", "interfaces_excluded");
	if (is_set(p, "owner_groups_only") && !count_of(p, "owner_groups"))
		fprintf(f, "%*snot of any group\n", INDENT, "");
	list_line(f, p, "only of groups", "owner_groups");
	list_line(f, p, "not of groups", "owner_groups_excluded");
}

static void show_inbound(FILE *f, const json_t *p)
{
	label(f, "inbound");
	if (is_set(p, "inbound_all")) {
		fprintf(f, "all TCP -> %lld", number_of(p, "inbound_port"));
	} else if (is_set(p, "inbound_listed")) {
		fputs("TCP ports ", f);
		list(f, p, "inbound_ports");
		fprintf(f, " -> %lld", number_of(p, "inbound_port"));
	} else {
		fputs("not captured\n", f);
		return;
	}
	if (is_set(p, "tproxy"))
		fprintf(f, ", TPROXY: mark %lld, table %lld", number_of(p, "tproxy_mark"),
			number_of(p, "tproxy_table"));
	putc('\n', f);
	if (is_set(p, "inbound_all"))
		list_line(f, p, "not ports", "inbound_ports_excluded");
	list_line(f, p, "not the mesh's tunnel port", "tunnel_ports");
}

static void show_dns(FILE *f, const json_t *p)
{
	const char *when = string_of(p, "udp_dns");

	label(f, "DNS");
	if (!is_set(p, "dns")) {
		fputs("not captured\n", f);
		return;
	}
	fputs("port 53 of ", f);
	if (is_set(p, "dns_all"))
		fputs("any address", f);
	else
		list(f, p, "dns_servers");
	fprintf(f, " -> %lld", number_of(p, "dns_port"));
	if (strcmp(when, "beside"))
		fprintf(f, "; UDP is decided %s", when);
	putc('\n', f);
}

static void show_policy(FILE *f, const json_t *p)
{
	const char *src4 = string_of(p, "source4"), *src6 = string_of(p, "source6");

	show_outbound(f, p);
	show_inbound(f, p);
	show_dns(f, p);
	label(f, "families");
	fprintf(f, "IPv4 (from %s)", src4 ? src4 : "no address");
	if (is_set(p, "ipv6"))
		fprintf(f, ", IPv6 (from %s)\n", src6 ? src6 : "no address");
	else
		fprintf(f, "; IPv6 not captured\n");
	label(f, "proxy");
	fprintf(f, "uid %lld", number_of(p, "proxy_uid"));
	fputs(count_of(p, "further_proxy_uids") ? ", " : "", f);
	list(f, p, "further_proxy_uids");
	fprintf(f, "; gid %lld", number_of(p, "proxy_gid"));
	fputs(count_of(p, "further_proxy_gids") ? ", " : "", f);
	list(f, p, "further_proxy_gids");
	putc('\n', f);
}

/* How many sockets there are of each port: "TCP 15001: 2", in the order in which they were found. */
static void show_listening(FILE *f, const json_t *all)
{
	const json_t *o, *other;
	long long port, nr;
	const char *proto;
	size_t i, j, n = 0;

	json_array_foreach((json_t *)all, i, o) {
		proto = string_of(o, "protocol");
		port = number_of(o, "port");
		nr = 0;
		json_array_foreach((json_t *)all, j, other) {
			if (number_of(other, "port") != port ||
			    strcmp(string_of(other, "protocol"), proto))
				continue;
			if (j < i)
				break;
			nr++;
		}
		if (nr)
			fprintf(f, "%s%s %lld: %lld", n++ ? ", " : "; ",
				strcmp(proto, "tcp") ? "UDP" : "TCP", port, nr);
	}
}

static void show_health(FILE *f, const struct term *t, const char *word)
{
	enum term_style style = !strcmp(word, "ok")	  ? TERM_GOOD
				: !strcmp(word, "broken") ? TERM_BAD
				: !strcmp(word, "stale")  ? TERM_BAD
							  : TERM_NOTED;

	label(f, "health");
	term_put(f, t, style, word);
	putc('\n', f);
}

static void show_findings(FILE *f, const struct term *t, const json_t *findings)
{
	const char *severity;
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *)findings, i, o) {
		severity = string_of(o, "severity");
		fputs("  ", f);
		if (!strcmp(severity, "note"))
			fputs("note", f);
		else
			term_put(f, t, strcmp(severity, "broken") ? TERM_NOTED : TERM_BAD,
				 "warning");
		fprintf(f, "%*s", INDENT - 2 - (strcmp(severity, "note") ? 7 : 4), "");
		term_wrap(f, t, INDENT, string_of(o, "text"));
	}
}

static void show_links(FILE *f, const json_t *links)
{
	const json_t *effective = json_object_get(links, "effective");

	label(f, "links");
	fprintf(f, "%lld of %lld", number_of(links, "attached"), number_of(links, "expected"));
	if (json_is_integer(effective))
		fprintf(f, ", %lld effective", (long long)json_integer_value(effective));
	putc('\n', f);
}

static void show_pod(FILE *f, const struct term *t, const json_t *o)
{
	const json_t *policy = json_object_get(o, "policy");
	const char *netns = string_of(o, "netns");

	term_put(f, t, TERM_STRONG, string_of(o, "name"));
	fprintf(f, ": %s\n", string_of(o, "state"));
	show_health(f, t, string_of(o, "health"));
	label(f, "cgroup");
	fprintf(f, "%s\n", string_of(o, "cgroup"));
	label(f, "netns");
	fprintf(f, "%s%sinode %lld, cookie %lld%s\n", netns ? netns : "", netns ? ", " : "",
		number_of(o, "netns_inode"), number_of(o, "netns_cookie"),
		is_set(policy, "host_network") ? ", the host's own" : "");
	show_links(f, json_object_get(o, "links"));
	show_policy(f, policy);
	label(f, "listeners");
	fprintf(f, "%lld for inbound", number_of(o, "inbound_listeners"));
	show_listening(f, json_object_get(o, "listening"));
	putc('\n', f);
	show_findings(f, t, json_object_get(o, "findings"));
}

void show_status(FILE *f, const struct term *t, const json_t *pods)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(pods))
		fputs("no pod is attached\n", f);
	json_array_foreach((json_t *)pods, i, o) {
		if (i)
			putc('\n', f);
		show_pod(f, t, o);
	}
}
