// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* See emit.h. */
#include "emit.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const
	verbs[] = { [BY_CONNECT] = "connect", [BY_SEND] = "send", [BY_NBCONNECT] = "nbconnect" };

static void print_who(const struct who *who)
{
	printf("%u:%u", who->uid, who->gid);
	if (who->uid != who->user_uid || who->gid != who->user_gid)
		printf(">%u:%u", who->user_uid, who->user_gid);
}

static void print_target(const char *verb, const struct addr *a, __u16 port)
{
	char text[PREFIX_TEXT_MAX];

	addr_print(a, text);
	printf(addr_is_v4(a) ? " %s=%s:%u" : " %s=[%s]:%u", verb, text, port);
}

/* What the kernel makes of no address: the source, or loopback. */
static struct addr resolve_any(const struct out_flow *f)
{
	struct addr ret = f->dst;

	if (!addr_is_zero(&f->dst))
		return ret;
	if (f->src && (!f->v6 || f->mapped))
		return *f->src;
	addr_parse(f->v6 && !f->mapped ? "::1" : "127.0.0.1", &ret);
	return ret;
}

static __u16 predict(const struct world *w, const struct out_flow *f)
{
	struct flow flow = { .proto = f->proto,
			     .dport = f->port,
			     .uid = f->who.uid,
			     .gid = f->who.gid,
			     .dst = resolve_any(f) };

	const struct oracle *o = &w->rules[!addr_is_v4(&flow.dst)];
	__u16 port;

	if (f->src)
		flow.src = *f->src;
	port = oracle_outbound(o, &flow, NULL);
	return port ? port : oracle_to_self(o, &flow);
}

void emit_outbound(const struct world *w, const struct out_flow *f)
{
	print_who(&f->who);
	printf(" %s%c", f->proto == ST_TCP ? "tcp" : "udp", f->mapped ? 'm' : f->v6 ? '6' : '4');
	if (f->src)
		print_target("bind", f->src, 0);
	if (addr_is_zero(&f->dst))
		printf(" %s=any:%u", verbs[f->how], f->port);
	else
		print_target(verbs[f->how], &f->dst, f->port);
	printf("\t%u\n", predict(w, f));
}

void emit_inbound(const struct world *w, int proto, const struct addr *dst, __u16 port)
{
	struct flow flow = { .proto = proto, .dport = port, .uid = -1, .gid = -1, .dst = *dst };
	struct prefix second4, second6;
	const char *iface = "eth0";
	int v6 = !addr_is_v4(dst);

	addr_parse(v6 ? "fd77::3" : "10.77.0.3", &flow.src);
	prefix_parse("10.78.0.0/24", &second4, NULL);
	prefix_parse("fd78::/64", &second6, NULL);
	if (addr_covered(dst, &second4.addr, second4.len) ||
	    addr_covered(dst, &second6.addr, second6.len))
		iface = "eth1";
	printf("peer %s%c", proto == ST_TCP ? "tcp" : "udp", v6 ? '6' : '4');
	print_target("connect", dst, port);
	printf("\t%u\n", oracle_inbound(&w->rules[v6], &flow, iface));
}

void emit_steps(const struct who *who, const char *protocol, ...)
{
	const char *step;
	va_list args;

	print_who(who);
	printf(" %s", protocol);
	va_start(args, protocol);
	while ((step = va_arg(args, const char *)))
		printf(" %s", step);
	va_end(args);
	printf("\t-\n");
}
