/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The answer of explain: found, and put into words or JSON. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "cmd.h"
#include "explain_cmd.h"
#include "why.h"

void answer_note(struct answer *a, const char *text, ...)
{
	va_list ap;

	if (a->nr_notes == NOTES_MAX)
		return;
	va_start(ap, text);
	vsnprintf(a->notes[a->nr_notes++], sizeof(a->notes[0]), text, ap);
	va_end(ap);
}

/* The connection that leaves with TPROXY's leave, as it arrives. */
static void find_then(struct answer *a, const struct flow *f)
{
	struct flow in = {
		.src = a->seen.source,
		.dst = f->dst,
		.dport = f->dport,
		.proto = f->proto,
		.transparent = a->seen.transparent,
		.port_class = f->port_class,
		/* by lo, as what is local goes */
		.iface_class = f->dst_class & CLASS_IFACE_EXCLUDED ? IFACE_EXCLUDED : 0,
	};

	a->has_then = a->seen.to_self || a->seen.transparent;
	if (a->has_then)
		walk_flow(&a->policy, &in, 1, &a->then);
}

int answer_find(struct answer *a, const struct flow *f, const struct addr *class_source,
		struct st_err *e)
{
	const char *fault;

	walk_flow(&a->policy, f, a->q->inbound, &a->walk);
	seen_of(&a->policy, f, a->q->inbound, &a->walk.verdict, class_source, a->q->mark, &a->seen);
	find_then(a, f);
	fault = walk_fault(&a->walk);
	fault = fault || !a->has_then ? fault : walk_fault(&a->then);
	return fault ? err_set(e, EIO, "rules", NULL, "not what decided: %s", fault) : 0;
}

static int goes_to_proxy(const struct answer *a)
{
	return a->walk.verdict.action == ACTION_REDIRECT;
}

static int is_refused(const struct answer *a)
{
	const struct walk *last = a->has_then ? &a->then : &a->walk;

	return (a->q->inbound || a->has_then) && last->verdict.action == ACTION_REDIRECT &&
	       !a->nr_listeners;
}

static const char *owner_text(const struct walk_step *s)
{
	return s->owner == 1 ? " (by uid)" : s->owner == 2 ? " (by gid)" : "";
}

/* The rule that decided is the last that fits. */
static const struct walk_step *winner(const struct walk *w)
{
	size_t i = w->nr;

	while (i--)
		if (w->v[i].fits)
			return &w->v[i];
	return NULL;
}

static void print_walk(const char *title, const struct walk *w)
{
	const struct walk_step *s, *won = winner(w);

	printf("\n%s:\n", title);
	for (s = w->v; s < w->v + w->nr; s++)
		printf("  %-7s %-20s %s%s\n",
		       s == won	 ? "DECIDES"
		       : s->fits ? "fits"
				 : "no",
		       why_name(s->why), why_text(s->why), owner_text(s));
}

/* ADDRESS:PORT as FLOW has it; the port as text. */
static void put_end(const struct addr *a, const char *port, char *text, size_t size)
{
	char host[PREFIX_TEXT_MAX];

	if (addr_is_zero(a)) {
		snprintf(text, size, "any of the pod's addresses");
		return;
	}
	addr_print(a, host);
	snprintf(text, size, addr_is_v4(a) ? "%s:%s" : "[%s]:%s", host, port);
}

#define END_MAX (PREFIX_TEXT_MAX + 32)

struct ends {
	char dialled[END_MAX], source[END_MAX], proxy[END_MAX];
};

static void find_ends(const struct answer *a, struct ends *t)
{
	char port[16];

	snprintf(port, sizeof(port), "%u", a->q->flow.dport);
	put_end(&a->q->flow.dst, port, t->dialled, sizeof(t->dialled));
	put_end(&a->seen.source, "its port", t->source, sizeof(t->source));
	if (a->q->inbound && addr_is_zero(&a->seen.source))
		snprintf(t->source, sizeof(t->source), "the caller's address");
	snprintf(port, sizeof(port), "%u", a->seen.proxy_port);
	put_end(&a->seen.proxy, port, t->proxy, sizeof(t->proxy));
}

static void print_seen_in(const struct answer *a, const struct ends *t)
{
	if (!goes_to_proxy(a)) {
		printf("  app    who listens at %s gets it: getpeername %s\n", t->dialled,
		       t->source);
		printf("  proxy  has no part in it\n");
		return;
	}
	printf("  proxy  gets it by its listener on port %u\n", a->walk.verdict.port);
	printf("         getsockname and SO_ORIGINAL_DST %s, getpeername %s\n", t->dialled,
	       t->source);
	printf("  app    sees what the proxy sends on\n");
}

static void print_seen_out(const struct answer *a, const struct ends *t)
{
	int udp = a->q->flow.proto == ST_UDP;

	printf("  app    getpeername %s, getsockname %s\n", t->dialled, t->source);
	if (udp && goes_to_proxy(a))
		printf("         the reply comes from %s\n", t->dialled);
	if (!goes_to_proxy(a)) {
		printf("  proxy  has no part in it%s\n",
		       a->has_then ? " as it leaves; see below" : "");
		return;
	}
	printf("  proxy  %s gets it at %s%s\n",
	       a->walk.verdict.port == ST_DNS_PORT ? "its DNS agent" : "its listener", t->proxy,
	       a->seen.spread ? ", or all over 127.0.0.0/8 if that is on the wildcard" : "");
	if (udp)
		printf("         the query comes from %s\n", t->source);
	else
		printf("         SO_ORIGINAL_DST %s, getpeername %s\n", t->dialled, t->source);
}

int answer_print(const struct answer *a)
{
	const struct verdict *v = &a->walk.verdict;
	struct ends t;
	int i;

	if (v->action == ACTION_PASS)
		printf("pass: left alone\n");
	else
		printf("redirect: to port %u\n", v->port);
	printf("reason: %s: %s\n", why_name(v->why), why_text(v->why));
	print_walk("the rules that were asked, in order", &a->walk);
	if (a->has_then)
		print_walk("as it arrives, since the proxy is transparent (-m TPROXY)", &a->then);
	printf("\nwhat is seen:\n");
	find_ends(a, &t);
	if (a->q->inbound)
		print_seen_in(a, &t);
	else
		print_seen_out(a, &t);
	if (is_refused(a))
		printf("\nnow it would be refused: nothing of the proxy listens on port %u\n",
		       a->policy.inbound_port);
	for (i = 0; i < a->nr_notes; i++)
		printf("%snote: %s\n", i ? "" : "\n", a->notes[i]);
	return EXIT_DONE;
}

static json_t *walk_json(const struct walk *w)
{
	const struct walk_step *s, *won = winner(w);
	json_t *list = json_array(), *o;

	for (s = w->v; s < w->v + w->nr; s++) {
		o = json_pack("{ss ss sb sb}", "reason", why_name(s->why), "text", why_text(s->why),
			      "fits", s->fits, "decides", s == won);
		if (s->owner)
			json_object_set_new(o, "owner", json_string(s->owner == 1 ? "uid" : "gid"));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *addr_json(const struct addr *a)
{
	char text[PREFIX_TEXT_MAX];

	if (addr_is_zero(a))
		return json_null();
	addr_print(a, text);
	return json_string(text);
}

/* By the names of the calls that show it; null: not known, or the proxy has no part in it. */
static json_t *seen_json(const struct answer *a)
{
	const struct flow *f = &a->q->flow;
	char dialled[END_MAX], port[16];
	int to_proxy = goes_to_proxy(a), udp = f->proto == ST_UDP;
	json_t *app, *proxy = json_null();

	snprintf(port, sizeof(port), "%u", f->dport);
	put_end(&f->dst, port, dialled, sizeof(dialled));
	if (a->q->inbound)
		app = to_proxy ? json_null()
			       : json_pack("{so ss}", "peer", addr_json(&a->seen.source), "name",
					   dialled);
	else
		app = json_pack("{ss so}", "peer", dialled, "name", addr_json(&a->seen.source));
	if (to_proxy && udp)
		json_object_set_new(app, "reply_from", json_string(dialled));
	if (to_proxy)
		proxy = json_pack("{so si sb so}", "name", addr_json(&a->seen.proxy), "port",
				  a->seen.proxy_port, "spread", a->seen.spread, "peer",
				  addr_json(&a->seen.source));
	if (to_proxy && !udp)
		json_object_set_new(proxy, "original_destination", json_string(dialled));
	return json_pack("{so so}", "app", app, "proxy", proxy);
}

int answer_json(const struct answer *a)
{
	const struct verdict *v = &a->walk.verdict;
	json_t *o, *notes = json_array();
	int i;

	for (i = 0; i < a->nr_notes; i++)
		json_array_append_new(notes, json_string(a->notes[i]));
	o = json_pack("{ss? ss ss ss si so so so so sb}", "pod", a->pod, "action",
		      v->action == ACTION_PASS ? "pass" : "redirect", "reason", why_name(v->why),
		      "text", why_text(v->why), "port", v->port, "rules", walk_json(&a->walk),
		      "rules_inbound", a->has_then ? walk_json(&a->then) : json_null(), "seen",
		      seen_json(a), "notes", notes, "no_listener", is_refused(a));
	return json_put(o);
}
