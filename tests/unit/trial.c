/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "trial.h"

#include "../../user/explain.h"

#include <stdio.h>
#include <string.h>

int trial_init(struct trial *t, struct draw *d)
{
	struct option_table table = { "Policy", config_options, &t->config };
	struct st_err e = { 0 };
	int v6;

	*t = (struct trial){ 0 };
	draw_policy(d, &t->line);
	if (config_init(&t->config, &e) ||
	    options_parse("trial", &table, 1, t->line.argc, t->line.argv, &e))
		goto fail;
	draw_pod(d, &t->config, &t->pod);
	if (ruleset_make(&t->config, &t->pod.facts, &t->rs, &e))
		goto fail;
	for (v6 = 0; v6 < 2; v6++) {
		if (oracle_make(&t->config, &t->pod.facts, v6, &t->rules[v6]))
			goto fail;
	}
	return 0;
fail:
	fprintf(stderr, "a policy is refused: %s\n", e.text);
	return -1;
}

void trial_free(struct trial *t)
{
	oracle_free(&t->rules[0]);
	oracle_free(&t->rules[1]);
	ruleset_free(&t->rs);
	config_free(&t->config);
}

static void tell(const struct trial *t, const struct flow *f, int inbound, const char *iface)
{
	const struct pod_facts *pod = &t->pod.facts;
	char text[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 1; i < (size_t)t->line.argc; i++)
		fprintf(stderr, "%s ", t->line.argv[i]);
	fprintf(stderr, "\npod:");
	for (i = 0; i < pod->nr_local; i++) {
		prefix_print(&pod->local[i], text);
		fprintf(stderr, " local %s", text);
	}
	for (i = 0; i < pod->nr_routes; i++) {
		prefix_print(&pod->routes[i].dst, text);
		fprintf(stderr, ", %s dev %s", text, pod->ifaces[pod->routes[i].iface - 1].name);
	}
	for (i = 0; i < pod->nr_resolvers; i++) {
		addr_print(&pod->resolvers[i], text);
		fprintf(stderr, ", resolver %s", text);
	}
	fputc('\n', stderr);
	flow_print(stderr, f, inbound);
	fprintf(stderr, " dev %s\n", iface ? iface : "-");
}

/* What must hold whatever the rules say. Returns why it does not, or NULL. */
static const char *violates(const struct config *c, const struct flow *f, const struct verdict *v,
			    int inbound)
{
	if (v->action == ACTION_PASS)
		return v->port ? "passes, with a port" : NULL;
	if (!v->port)
		return "redirected to port 0";
	if (f->proto != ST_TCP && (f->proto != ST_UDP || f->dport != 53 || v->port != ST_DNS_PORT))
		return "UDP that is no DNS is redirected";
	if (inbound)
		return v->port == c->inbound_port ? NULL
						  : "inbound, but not to the inbound listener";
	if (oracle_is_proxy(c, f) && v->why != WHY_OUT_PROXY_TO_SELF)
		return "the proxy's own traffic is sent back to it";
	if (v->port != c->outbound_port && v->port != c->inbound_port && v->port != ST_DNS_PORT)
		return "redirected to a port that nobody named";
	return NULL;
}

/* explain's walk is of the verdict's own rules. Returns why it is not, or NULL. */
static const char *walks_astray(const struct policy *p, const struct flow *f, int inbound,
				const struct verdict *v)
{
	struct walk w;

	walk_flow(p, f, inbound, &w);
	if (w.verdict.action != v->action || w.verdict.port != v->port || w.verdict.why != v->why)
		return "explain's verdict is another";
	return walk_fault(&w);
}

/* The port where st_inbound sends what the proxy sends to its own pod, in TPROXY mode. */
static __u16 to_self(const struct trial *t, const struct flow *outbound)
{
	struct flow f = *outbound;

	f.src_class = addr_is_zero(&f.src) ? 0 : ruleset_class(&t->rs, &f.src);
	if (!t->config.tproxy || verdict_tproxy(&t->rs.policy, &f, 0) != ORIGIN_TO_SELF)
		return 0;
	f.src_class = 0;
	f.iface_class = ruleset_id(&t->rs, ID_IFACE, t->pod.ifaces[0].index);
	return verdict_inbound(&t->rs.policy, &f).port;
}

static int compare(const struct trial *t, struct flow *f, int v6, int inbound, __u32 iface)
{
	const char *name = iface ? t->pod.ifaces[iface - 1].name : NULL, *why;
	const struct oracle *o = &t->rules[v6];
	struct verdict v;
	__u16 want;

	ruleset_classify(&t->rs, f, inbound);
	f->iface_class = iface ? ruleset_id(&t->rs, ID_IFACE, iface) : 0;
	f->bound_iface = !inbound && iface;
	v = inbound ? verdict_inbound(&t->rs.policy, f) : verdict_outbound(&t->rs.policy, f);
	want = inbound ? oracle_inbound(o, f, name) : oracle_outbound(o, f, name);
	why = violates(&t->config, f, &v, inbound);
	why = why ?: walks_astray(&t->rs.policy, f, inbound, &v);
	if (v.port == want && !why && (inbound || want || to_self(t, f) == oracle_to_self(o, f)))
		return 0;
	tell(t, f, inbound, name);
	fprintf(stderr, "the rules say %u (to itself %u), the verdict %u (%u; 0: pass)%s%s\n", want,
		oracle_to_self(o, f), v.port, to_self(t, f), why ? ": " : "", why ? why : "");
	return -1;
}

int trial_flow(const struct trial *t, struct draw *d)
{
	int v6 = draw(d, 2), inbound = draw(d, 4) == 1;
	struct flow f = draw_flow(d, &t->config, v6, inbound);
	__u32 iface = 0;

	/* What is bound to a device has no route over lo. */
	if (inbound || (draw(d, 8) == 1 && !(ruleset_class(&t->rs, &f.dst) & CLASS_LOCAL)))
		iface = 2 + draw(d, 2);
	return compare(t, &f, v6, inbound, iface);
}
