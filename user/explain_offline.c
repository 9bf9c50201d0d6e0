/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* explain without a pod: a policy by its flags or by an iptables dump, and what the pod would be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain_cmd.h"
#include "pod_file.h"
#include "ruleset_impl.h"
#include "values.h"

static const char *parse_addr(const char *text, void *ret)
{
	return addr_parse(text, ret);
}

/* As netns_facts() finds them in a pod: the first of each family is what its traffic leaves with. */
static int add_local(const char *text, int dual_stack, struct pod_facts *pod, struct st_err *e)
{
	const struct list list = { .text = text };
	struct addr *addrs = NULL;
	size_t nr = 0, i;
	int err, v4;

	err = list_parse("--local", &list, sizeof(*addrs), parse_addr, (void **)&addrs, &nr, e);
	if (err)
		return err;
	pod->local = calloc(nr + 1, sizeof(*pod->local));
	if (!pod->local) {
		free(addrs);
		return err_sys(e, ENOMEM, "--local", NULL);
	}
	for (i = 0; i < nr; i++) {
		v4 = addr_is_v4(&addrs[i]);
		pod->local[pod->nr_local++] = (struct prefix){ addrs[i], 128 };
		if (addr_is_zero(v4 ? &pod->src4 : &pod->src6))
			*(v4 ? &pod->src4 : &pod->src6) = addrs[i];
	}
	pod->ipv6 = !addr_is_zero(&pod->src6) && (dual_stack || addr_is_zero(&pod->src4));
	free(addrs);
	return 0;
}

/* Interfaces are taken at their word: -c names what there is, --iface what the flow goes by. */
static int add_ifaces(const struct config *c, struct pod_facts *pod, struct st_err *e)
{
	size_t i, n;

	pod->ifaces = calloc(c->ifaces.nr + 1, sizeof(*pod->ifaces));
	if (!pod->ifaces)
		return err_sys(e, ENOMEM, "interfaces", NULL);
	for (i = 0; i < c->ifaces.nr; i++) {
		memcpy(pod->ifaces[i].name, c->ifaces.v[i].text, IFACE_NAME_MAX);
		n = strlen(pod->ifaces[i].name);
		if (n && pod->ifaces[i].name[n - 1] == '+')
			pod->ifaces[i].name[n - 1] = '\0';
		pod->ifaces[i].index = i + 2; /* 1 is lo */
	}
	pod->nr_ifaces = c->ifaces.nr;
	return 0;
}

static int add_resolvers(const struct config *c, struct pod_facts *pod, struct st_err *e)
{
	if (!c->resolv_conf)
		return 0;
	return pod_file_resolvers("", c->resolv_conf, &pod->resolvers, &pod->nr_resolvers, e);
}

static void set_iface(const struct config *c, const struct question *q, struct flow *f)
{
	size_t i;

	if (!q->iface)
		return;
	f->bound_iface = !q->inbound;
	f->bound_lo = !q->inbound && !strcmp(q->iface, "lo");
	for (i = 0; i < c->ifaces.nr; i++)
		if (iface_fits(c->ifaces.v[i].text, q->iface))
			f->iface_class = IFACE_EXCLUDED;
}

static void add_notes(struct answer *a, const struct config *c, const char *local)
{
	if (!local)
		answer_note(a, "the pod's own addresses are not known: only loopback counts as "
			       "local; --local ADDRESS,... gives them");
	if (c->ipv6 == IPV6_AUTO)
		answer_note(a, "IPv6 is %scaptured%s: --ipv6=auto goes by the pod's addresses",
			    a->policy.flags & POLICY_V6 ? "" : "not ", local ? ", by --local" : "");
	if (c->redirect_dns && !(a->policy.flags & POLICY_DNS))
		answer_note(a, "DNS is not captured, as no nameserver is known: --dns-servers or "
			       "--resolv-conf gives them");
	if (c->ifaces.nr && !a->q->iface)
		answer_note(a, "by which interface it goes is not known: --iface NAME tells");
}

int answer_offline(struct answer *a, struct config *c, const char *local, struct st_err *e)
{
	const struct addr none = {};
	struct flow f = a->q->flow;
	struct pod_facts pod = { .spread = 1 };
	struct ruleset rs = {};
	int err = 0;

	if (local)
		err = add_local(local, c->dual_stack, &pod, e);
	err = err ?: add_ifaces(c, &pod, e);
	err = err ?: add_resolvers(c, &pod, e);
	err = err ?: ruleset_make(c, &pod, &rs, e);
	if (!err) {
		a->policy = rs.policy;
		ruleset_classify(&rs, &f, a->q->inbound);
		if (!a->q->inbound && rs.policy.flags & POLICY_TPROXY && !addr_is_zero(&f.src))
			f.src_class = ruleset_class(&rs, &f.src);
		set_iface(c, a->q, &f);
		a->nr_listeners = -1;
		err = answer_find(a, &f, &none, e);
		add_notes(a, c, local);
	}
	ruleset_free(&rs);
	free(pod.local);
	free(pod.ifaces);
	free(pod.resolvers);
	return err;
}
