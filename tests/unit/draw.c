/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "draw.h"

#include <stdio.h>
#include <string.h>

#include "../../user/values.h"

/* The seed's numbers are splitmix64: small, and the same everywhere. */
__u32 draw(struct draw *d, __u32 n)
{
	__u64 z;

	if (d->bytes) {
		if (!d->left)
			return 0;
		d->left--;
		return *d->bytes++ % n;
	}
	z = d->seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(d, array) (array)[draw(d, LENGTH(array))]

static const char *const ports[] = {
	"22",	 "53",	  "80",	   "443",   "8080",  "15001", "15006",
	"15008", "15009", "15020", "15021", "15053", "15090", "65535"
};
static const char *const ids[] = { "0", "202", "203", "1000", "1337", "2000", "4294967294" };
static const char *const addrs4[] = {
	"10.77.0.2",  "10.77.0.9", "10.77.0.3",	 "10.96.0.10", "127.0.0.1",	  "127.0.0.2",
	"127.0.0.6",  "127.1.2.3", "127.0.0.53", "10.1.2.3",   "10.1.2.4",	  "10.2.0.0",
	"10.78.0.77", "10.79.0.1", "224.0.0.1",	 "0.0.0.1",    "255.255.255.255",
};
static const char *const addrs6[] = {
	"fd77::2", "fd77::9",	"fd77::3",   "fd96::a",	     "::1",
	"::2",	   "::6",	"fd00:1::1", "2001:db8::53", "fd78::77",
	"fd79::1", "fd00:1::2", "ffff::1",   "ff02::1",	     "::fffe:7f00:1",
};

enum kind {
	PORT,
	PORTS,
	PORTS_OR_ALL,
	OWNERS,
	OWNERS_OR_ALL,
	UIDS,
	CIDRS,
	CIDRS_OR_ALL,
	SERVERS,
	BOOL,
	IPV6,
	OUTBOUND,
	INBOUND,
	LOOPBACK,
	IFACES,
	MODE,
	UDP_DNS,
};

static const struct {
	const char *name;
	enum kind kind;
} flags[] = {
	{ "istio-inbound-ports", PORTS_OR_ALL },
	{ "istio-local-exclude-ports", PORTS },
	{ "istio-service-cidr", CIDRS_OR_ALL },
	{ "istio-service-exclude-cidr", CIDRS },
	{ "istio-outbound-ports", PORTS },
	{ "istio-local-outbound-ports-exclude", PORTS },
	{ "proxy-uid", UIDS },
	{ "proxy-gid", OWNERS },
	{ "outbound-owner-groups", OWNERS_OR_ALL },
	{ "outbound-owner-groups-exclude", OWNERS },
	{ "dns-servers", SERVERS },
	{ "redirect-dns", BOOL },
	{ "capture-all-dns", BOOL },
	{ "dual-stack", BOOL },
	{ "ipv6", IPV6 },
	{ "inbound-tunnel-port", PORT },
	{ "ipv4-loopback-cidr", LOOPBACK },
	{ "envoy-port", OUTBOUND },
	{ "inbound-capture-port", INBOUND },
	{ "istio-exclude-interfaces", IFACES },
	{ "istio-inbound-interception-mode", MODE },
	{ "drop-invalid", BOOL },
	{ "udp-dns", UDP_DNS },
};

_Static_assert(LENGTH(flags) <= DRAW_FLAGS, "a line holds every flag once");

static const char *any_addr(struct draw *d, int v6)
{
	return v6 ? PICK(d, addrs6) : PICK(d, addrs4);
}

static void put_element(struct draw *d, char *text, enum kind kind)
{
	static const char *const ifaces[] = { "lo", "eth0", "eth1", "eth+" };
	int v6;

	switch (kind) {
	case PORTS:
	case PORTS_OR_ALL:
		strcpy(text, PICK(d, ports));
		break;
	case IFACES:
		strcpy(text, PICK(d, ifaces));
		break;
	case OWNERS:
	case OWNERS_OR_ALL:
	case UIDS:
		strcpy(text, PICK(d, ids));
		break;
	default:
		v6 = draw(d, 2);
		strcpy(text, any_addr(d, v6));
		if (kind != SERVERS && draw(d, 3))
			sprintf(text + strlen(text), "/%u", draw(d, v6 ? 129 : 33));
	}
}

static void put_list(struct draw *d, char *text, enum kind kind)
{
	int n = draw(d, 4);

	if (kind == UIDS)
		n++;
	if ((kind == PORTS_OR_ALL || kind == OWNERS_OR_ALL || kind == CIDRS_OR_ALL) &&
	    !draw(d, 3)) {
		strcpy(text, "*");
		return;
	}
	for (*text = '\0'; n > 0; n--) {
		text += strlen(text);
		put_element(d, text, kind);
		if (n > 1)
			strcat(text, ",");
	}
}

static void put_value(struct draw *d, char *text, enum kind kind)
{
	static const char *const modes[] = { "on", "on", "off", "auto" };
	static const char *const outbound[] = { "15001", "15101", "80" };
	static const char *const places[] = { "first", "last", "beside" };
	static const char *const inbound[] = { "15006", "15106", "8080" };
	static const char *const loopbacks[] = { "127.0.0.0/8", "127.0.0.1/32", "127.1.0.0/16",
						 "127.0.0.0/24" };

	if (kind == BOOL)
		strcpy(text, draw(d, 2) ? "true" : "false");
	else if (kind == IPV6)
		strcpy(text, PICK(d, modes));
	else if (kind == PORT)
		strcpy(text, PICK(d, ports));
	else if (kind == OUTBOUND)
		strcpy(text, PICK(d, outbound));
	else if (kind == INBOUND)
		strcpy(text, PICK(d, inbound));
	else if (kind == LOOPBACK)
		strcpy(text, PICK(d, loopbacks));
	else if (kind == UDP_DNS)
		strcpy(text, PICK(d, places));
	else if (kind == MODE)
		strcpy(text, draw(d, 2) ? "TPROXY" : "REDIRECT");
	else
		put_list(d, text, kind);
}

void draw_policy(struct draw *d, struct draw_line *ret)
{
	size_t i;

	ret->argv[0] = "random";
	ret->argc = 1;
	for (i = 0; i < LENGTH(flags); i++) {
		if (draw(d, 3) != 1)
			continue;
		sprintf(ret->text[i], "--%s=", flags[i].name);
		put_value(d, ret->text[i] + strlen(ret->text[i]), flags[i].kind);
		ret->argv[ret->argc++] = ret->text[i];
	}
	ret->argv[ret->argc] = NULL;
}

static void add_local(struct draw *d, struct draw_pod *pod)
{
	static const char *const own[] = { "10.77.0.2", "10.77.0.9", "fd77::2", "fd77::9" };
	char text[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 0; i < LENGTH(own); i++)
		prefix_parse(own[i], &pod->local[i], NULL);
	for (; i < LENGTH(pod->local) && draw(d, 4) == 1; i++) {
		put_element(d, text, CIDRS);
		prefix_parse(text, &pod->local[i], NULL);
	}
	pod->facts.local = pod->local;
	pod->facts.nr_local = i;
}

/* The facts have one route to each prefix. */
static int has_route(const struct draw_pod *pod, size_t nr, const struct prefix *dst)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!prefix_compare(&pod->routes[i].dst, dst))
			return 1;
	}
	return 0;
}

static void add_routes(struct draw *d, struct draw_pod *pod)
{
	static const char *const defaults[] = { "0.0.0.0/0", "::/0" };
	char text[PREFIX_TEXT_MAX];
	struct route *r;
	size_t i;

	for (i = 0; i < LENGTH(pod->routes); i++) {
		r = &pod->routes[i];
		r->iface = 2 + draw(d, 2);
		if (i < LENGTH(defaults)) {
			prefix_parse(defaults[i], &r->dst, NULL);
			continue;
		}
		if (draw(d, 4) != 1)
			break;
		put_element(d, text, CIDRS);
		prefix_parse(text, &r->dst, NULL);
		if (has_route(pod, i, &r->dst))
			break;
	}
	pod->facts.routes = pod->routes;
	pod->facts.nr_routes = i;
}

void draw_pod(struct draw *d, const struct config *c, struct draw_pod *ret)
{
	static const struct iface ifaces[] = { { "lo", 1 }, { "eth0", 2 }, { "eth1", 3 } };
	size_t i;

	*ret = (struct draw_pod){ .facts = { .ipv6 = c->dual_stack, .spread = 1 } };
	memcpy(ret->ifaces, ifaces, sizeof(ifaces));
	ret->facts.ifaces = ret->ifaces;
	ret->facts.nr_ifaces = LENGTH(ifaces);
	add_local(d, ret);
	add_routes(d, ret);
	for (i = 0; i < LENGTH(ret->resolvers) && draw(d, 3); i++)
		addr_parse(any_addr(d, draw(d, 2)), &ret->resolvers[i]);
	ret->facts.resolvers = ret->resolvers;
	ret->facts.nr_resolvers = i;
}

static int of_family(const struct addr *a, int v6)
{
	return addr_is_v4(a) != v6;
}

struct addr draw_addr(struct draw *d, const struct config *c, int v6)
{
	const struct prefix_list *list = draw(d, 2) ? &c->include : &c->exclude;
	const struct prefix *p = &c->loopback;
	struct addr ret;

	if (draw(d, 2)) {
		if (list->nr)
			p = &list->v[draw(d, list->nr)];
		if (prefix_is_v4(p) != v6 && prefix_end(p, draw(d, NR_ENDS), &ret) &&
		    of_family(&ret, v6))
			return ret;
	}
	addr_parse(any_addr(d, v6), &ret);
	return ret;
}

__u16 draw_port(struct draw *d)
{
	__u16 port;

	port_parse(PICK(d, ports), &port);
	return draw(d, 4) ? port : port % 65535 + 1;
}

__u32 draw_id(struct draw *d)
{
	__u32 id;

	id_parse(PICK(d, ids), &id);
	return id;
}

struct flow draw_flow(struct draw *d, const struct config *c, int v6, int inbound)
{
	struct flow f = { .proto = draw(d, 3) ? ST_TCP : ST_UDP, .uid = -1, .gid = -1 };

	f.dport = draw(d, 3) ? draw_port(d) : 53;
	if (!inbound && draw(d, 10) != 1) {
		f.uid = draw_id(d);
		f.gid = draw_id(d);
	}
	f.dst = draw_addr(d, c, v6);
	if (inbound || !draw(d, 3))
		f.src = draw_addr(d, c, v6);
	return f;
}

void flow_print(FILE *f, const struct flow *flow, int inbound)
{
	char src[PREFIX_TEXT_MAX], dst[PREFIX_TEXT_MAX];

	addr_print(&flow->src, src);
	addr_print(&flow->dst, dst);
	fprintf(f, "%s %s uid %u gid %u from %s to %s port %u", inbound ? "in" : "out",
		flow->proto == ST_TCP ? "tcp" : "udp", flow->uid, flow->gid, src, dst, flow->dport);
}

int prefix_end(const struct prefix *p, enum prefix_end end, struct addr *ret)
{
	int step = end == END_BEFORE ? -1 : end == END_AFTER ? 1 : 0;
	int i, byte, carry = step, last = end == END_LAST || end == END_AFTER;
	__u8 *b = (__u8 *)ret->w;

	*ret = p->addr;
	for (i = p->len; last && i < 128; i++)
		b[i / 8] |= 0x80 >> i % 8;
	for (i = 15; i >= 0 && carry; i--) {
		byte = b[i] + carry;
		b[i] = byte;
		carry = byte > 255 ? 1 : byte < 0 ? -1 : 0;
	}
	return !carry && addr_is_v4(ret) == prefix_is_v4(p);
}
