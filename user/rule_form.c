/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options of a rule, and the one form of their values. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "prefix.h"
#include "rules_impl.h"
#include "values.h"

static const char *form_cidr(const char *text, char ret[FORM_MAX])
{
	struct prefix p;
	const char *why = prefix_parse(text, &p, NULL);

	if (why)
		return why;
	*ret = '\0';
	if (p.len != (prefix_is_v4(&p) ? 96 : 0))
		prefix_print(&p, ret);
	return NULL;
}

static const char *form_iface(const char *text, char ret[FORM_MAX])
{
	if (strpbrk(text, ",\"\\"))
		return "not an interface's name that a list can hold";
	if (!strcmp(text, "+")) {
		*ret = '\0';
		return NULL;
	}
	return iface_parse(text, ret);
}

static const char *form_protocol(const char *text, char ret[FORM_MAX])
{
	static const char *const names[][2] = {
		{ "tcp", "6" }, { "udp", "17" }, { "", "all" }, { "", "0" }
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcasecmp(text, names[i][0]) || !strcmp(text, names[i][1])) {
			strcpy(ret, names[i][0]);
			return *text ? NULL : "empty";
		}
	}
	return "neither tcp nor udp";
}

static const char *form_port(const char *text, char ret[FORM_MAX])
{
	__u16 port;
	const char *why = port_parse(text, &port);

	if (!why)
		sprintf(ret, "%u", port);
	return why;
}

static const char *form_ports(const char *text, char ret[FORM_MAX])
{
	char copy[FORM_MAX], *rest = copy, *item;
	const char *why = NULL;

	if (strlen(text) >= sizeof(copy))
		return "a longer list of ports than iptables takes";
	strcpy(copy, text);
	*ret = '\0';
	while (!why && (item = strsep(&rest, ","))) {
		if (*ret)
			strcat(ret, ",");
		why = form_port(item, ret + strlen(ret));
	}
	return why;
}

static const char *form_id(const char *text, char ret[FORM_MAX])
{
	__u32 id;
	const char *why = id_parse(text, &id);

	if (!why)
		sprintf(ret, "%u", id);
	return why;
}

/* In one order, each once. */
static const char *form_states(const char *text, char ret[FORM_MAX])
{
	static const char *const names[] = { "INVALID", "NEW", "RELATED", "ESTABLISHED",
					     "UNTRACKED" };
	char copy[FORM_MAX], *rest = copy, *item;
	unsigned int seen = 0;
	size_t i;

	if (strlen(text) >= sizeof(copy))
		return "no list of connection states";
	strcpy(copy, text);
	while ((item = strsep(&rest, ","))) {
		for (i = 0; i < sizeof(names) / sizeof(*names) && strcmp(item, names[i]); i++)
			;
		if (i == sizeof(names) / sizeof(*names))
			return "no list of connection states";
		seen |= 1U << i;
	}
	*ret = '\0';
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (seen >> i & 1)
			sprintf(ret + strlen(ret), "%s%s", *ret ? "," : "", names[i]);
	return NULL;
}

/* VALUE or VALUE/0xffffffff, in any notation. */
static const char *form_mark(const char *text, char ret[FORM_MAX])
{
	unsigned long long value, mask = 0xffffffff;
	char *end;

	if (!isdigit((unsigned char)*text))
		return "not a mark";
	value = strtoull(text, &end, 0);
	if (*end == '/' && isdigit((unsigned char)end[1]))
		mask = strtoull(end + 1, &end, 0);
	if (*end || value > 0xffffffff)
		return "not a mark";
	if (mask != 0xffffffff)
		return "a mark with a mask";
	sprintf(ret, "0x%llx", value);
	return NULL;
}

static const char *form_zone(const char *text, char ret[FORM_MAX])
{
	__u32 zone;

	if (number_parse(text, 1, 65535, &zone))
		return "not a number from 1 to 65535";
	sprintf(ret, "%u", zone);
	return NULL;
}

/* What iptables prints though it says nothing: all of a mark, no address. */
static const char *form_full_mask(const char *text, char ret[FORM_MAX])
{
	*ret = '\0';
	return strcasecmp(text, "0xffffffff") ? "not the whole mark" : NULL;
}

static const char *form_no_address(const char *text, char ret[FORM_MAX])
{
	struct addr a;

	*ret = '\0';
	if (strcmp(text, "0.0.0.0") && (addr_parse(text, &a) || !addr_is_zero(&a)))
		return "an address to redirect to";
	return NULL;
}

static const char *form_text(const char *text, char ret[FORM_MAX])
{
	(void)text;
	*ret = '\0';
	return NULL;
}

static const struct option_form options[] = {
	{ { "-s", "--source", "--src" }, NULL, "-s", RANK_SOURCE, form_cidr },
	{ { "-d", "--destination", "--dst" }, NULL, "-d", RANK_DESTINATION, form_cidr },
	{ { "-i", "--in-interface" }, NULL, "-i", RANK_IN, form_iface },
	{ { "-o", "--out-interface" }, NULL, "-o", RANK_OUT, form_iface },
	{ { "-p", "--protocol", "--proto" }, NULL, "-p", RANK_PROTOCOL, form_protocol },
	{ { "--sport", "--source-port" }, NULL, "--sport", RANK_SPORT, form_port },
	{ { "--dport", "--destination-port" }, NULL, "--dport", RANK_DPORT, form_port },
	{ { "--dports", "--destination-ports" }, NULL, "--dports", RANK_DPORTS, form_ports },
	{ { "--ctstate", "--state" }, NULL, "--ctstate", RANK_STATE, form_states },
	{ { "--mark" }, "mark", "--mark", RANK_MARK, form_mark },
	{ { "--mark" }, "connmark", "--connmark", RANK_CONNMARK, form_mark },
	{ { "--uid-owner" }, NULL, "--uid-owner", RANK_OWNER, form_id },
	{ { "--gid-owner" }, NULL, "--gid-owner", RANK_OWNER, form_id },
	{ { "--comment" }, "comment", NULL, RANK_OWNER, form_text },
	{ { "--to-ports", "--to-port" }, "REDIRECT", "--to-ports", RANK_ARGUMENT, form_port },
	{ { "--zone" }, "CT", "--zone", RANK_ARGUMENT, form_zone },
	{ { "--set-mark", "--set-xmark" }, "MARK", "--set-mark", RANK_ARGUMENT, form_mark },
	{ { "--save-mark" }, "CONNMARK", "--save-mark", RANK_ARGUMENT, NULL },
	{ { "--restore-mark" }, "CONNMARK", "--restore-mark", RANK_ARGUMENT, NULL },
	{ { "--nfmask" }, "CONNMARK", NULL, RANK_ARGUMENT, form_full_mask },
	{ { "--ctmask" }, "CONNMARK", NULL, RANK_ARGUMENT, form_full_mask },
	{ { "--on-port" }, "TPROXY", "--on-port", RANK_ARGUMENT, form_port },
	{ { "--on-ip" }, "TPROXY", NULL, RANK_ARGUMENT, form_no_address },
	{ { "--tproxy-mark" }, "TPROXY", "--tproxy-mark", RANK_TPROXY_MARK, form_mark },
	{ { "--log-prefix", "--log-level" }, "LOG", NULL, RANK_ARGUMENT, form_text },
	{ { "--nflog-prefix" }, "NFLOG", NULL, RANK_ARGUMENT, form_text },
	{ { "--nflog-group", "--nflog-size", "--nflog-threshold" },
	  "NFLOG",
	  NULL,
	  RANK_ARGUMENT,
	  form_text },
};

const struct option_form *option_form(const char *name, const char *match, const char *target)
{
	const struct option_form *o;
	size_t i;

	for (o = options; o < options + sizeof(options) / sizeof(*options); o++) {
		if (o->module && (!match || strcmp(o->module, match)) &&
		    (!target || strcmp(o->module, target)))
			continue;
		for (i = 0; i < 3 && o->names[i]; i++)
			if (!strcmp(name, o->names[i]))
				return o;
	}
	return NULL;
}

int match_known(const char *name)
{
	static const char *const names[] = { "tcp",	  "udp",       "owner",
					     "multiport", "comment",   "mark",
					     "connmark",  "conntrack", "state" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}
