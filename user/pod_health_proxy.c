/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is the proxy there, and its DNS agent, and are they who the policy says? */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "cgroup.h"
#include "holders.h"
#include "pod_health.h"

struct checking {
	const struct datapath *dp;
	const struct pod *pod;
	const struct policy_sum *sum;
	struct health *h;
};

static int is_proxy_id(const struct checking *c, __u32 kind, __u32 first, __u32 id)
{
	const struct id_key k = { c->pod->policy.id, kind, id };
	__u32 class;

	return id == first ||
	       (!bpf_map_lookup_elem(c->dp->map[MAP_st_ids], &k, &class) && class & OWNER_PROXY);
}

static int is_used(const struct checking *c, __u16 port)
{
	size_t i;

	for (i = 0; i < c->h->listening.nr; i++)
		if (c->h->listening.v[i].port == port)
			return 1;
	return 0;
}

/* What is not served by either family is broken, what is not by one of those captured degraded. */
static void check_served(const struct checking *c, __u8 proto, __u16 port, const char *code,
			 const char *what)
{
	const int v6 = !!(c->pod->policy.flags & POLICY_V6);
	const int has4 = listening_serves(&c->h->listening, proto, port, 0);
	const int has6 = !v6 || listening_serves(&c->h->listening, proto, port, 1);
	const char *name = proto == ST_TCP ? "TCP" : "UDP";

	if (has4 && has6)
		return;
	if (!has4 && (!v6 || !has6))
		health_add(c->h, SEVERITY_BROKEN, code, "nothing listens on %s port %d%s: %s", name,
			   port,
			   is_used(c, port) ? " of loopback, though there are sockets of that port"
					    : "",
			   what);
	else
		health_add(c->h, SEVERITY_DEGRADED, code,
			   "nothing listens on %s port %d by IPv%d: %s", name, port, has4 ? 6 : 4,
			   what);
}

static void check_inbound(const struct checking *c)
{
	const int port = c->pod->policy.inbound_port;

	if (c->pod->nr_listeners) {
		if (c->h->has_listening)
			check_served(c, ST_TCP, port, "inbound-down",
				     "inbound connections of that family are refused");
		return;
	}
	if (c->h->has_listening && is_used(c, port))
		health_add(c->h, SEVERITY_BROKEN, "inbound-unknown",
			   "what listens on port %d was never registered: made outside of the "
			   "pod's cgroup, or MPTCP, or no slot was free: inbound connections are "
			   "refused",
			   port);
	else
		health_add(c->h, SEVERITY_BROKEN, "inbound-down",
			   "nothing listens on port %d: inbound connections are refused", port);
}

struct owner {
	const struct checking *c;
	struct holder last;
};

/* Of several processes that hold a socket one is enough. */
static int is_proxy(void *ctx, const struct holder *h)
{
	const struct policy *p;
	struct owner *o = ctx;

	o->last = *h;
	p = &o->c->pod->policy;
	return is_proxy_id(o->c, ID_UID, p->uid, h->uid) ||
	       is_proxy_id(o->c, ID_GID, p->gid, h->gid);
}

/* The socket keeps the uid that its maker had, who may have become the proxy's user afterwards, or be
 * the proxy by its group: the process tells.
 */
static void check_owner(const struct checking *c, const struct listening *s)
{
	const struct policy *p = &c->pod->policy;
	struct owner o = { .c = c };
	int found;

	if (is_proxy_id(c, ID_UID, p->uid, s->uid))
		return;
	found = *c->h->cgroup == '/' ? holders_find(c->h->cgroup, s->inode, is_proxy, &o) : -EACCES;
	if (found > 0)
		return;
	if (o.last.pid)
		health_add(
			c->h, SEVERITY_BROKEN, "wrong-owner",
			"what listens on port %d is no proxy to the policy (uid %u, gid %u), but "
			"process %d (%s) of uid %u, gid %u: what it sends is captured, too",
			s->port, p->uid, p->gid, o.last.pid, o.last.comm, o.last.uid, o.last.gid);
	else
		health_add(c->h, SEVERITY_WARNING, "wrong-owner",
			   "what listens on port %d was made by uid %u, not the proxy's %u: if its "
			   "process is still of that user, what it sends is captured, too",
			   s->port, s->uid, p->uid);
}

/* Hooks look at the cgroup in which a socket was made. */
static void check_cgroup(const struct checking *c, const struct listening *s)
{
	const size_t len = strlen(c->h->cgroup);
	char path[PATH_MAX];

	if (*c->h->cgroup != '/' || !s->cgroup_id || cgroup_path(s->cgroup_id, path))
		return;
	if (!strncmp(path, c->h->cgroup, len) && (!path[len] || path[len] == '/'))
		return;
	health_add(
		c->h, SEVERITY_BROKEN, "outside-cgroup",
		"what listens on port %d was made in another cgroup, %s: it is not told original "
		"destinations",
		s->port, path);
}

/* Once for each port, whatever the number of its sockets: by the first that there is something wrong
 * with.
 */
static void check_owners(const struct checking *c)
{
	const struct listening_list *list = &c->h->listening;
	size_t before, i, j;

	for (i = 0; i < list->nr; i++) {
		for (j = 0; j < i && list->v[j].port != list->v[i].port; j++)
			;
		if (j < i)
			continue; /* this port was looked at */
		for (before = c->h->nr; j < list->nr && c->h->nr == before; j++) {
			if (list->v[j].port != list->v[i].port)
				continue;
			check_owner(c, &list->v[j]);
			if (list->v[j].port != ST_DNS_PORT)
				check_cgroup(c, &list->v[j]);
		}
	}
}

static int captures_outbound(const struct checking *c)
{
	return c->pod->policy.flags & POLICY_OUT_ALL || c->sum->lists[LIST_OUT_CIDRS].nr ||
	       c->sum->lists[LIST_OUT_PORTS].nr;
}

void pod_health_proxy(const struct datapath *dp, const struct pod *pod,
		      const struct policy_sum *sum, const struct netns *ns, struct health *h)
{
	const struct checking c = { dp, pod, sum, h };
	const struct policy *p = &pod->policy;
	const __u16 ports[] = { p->outbound_port, p->inbound_port, ST_DNS_PORT };
	struct st_err why = {};

	h->has_listening = ns && !listening_read(ns, ports, sizeof(ports) / sizeof(*ports),
						 &h->listening, &why);
	if (p->flags & (POLICY_IN_ALL | POLICY_IN_SOME))
		check_inbound(&c);
	if (!h->has_listening) {
		if (ns)
			health_add(h, SEVERITY_NOTE, "sockets-hidden",
				   "who listens was not looked at: %s", why.text);
		return;
	}
	if (captures_outbound(&c))
		check_served(&c, ST_TCP, p->outbound_port, "outbound-down",
			     "outbound connections are refused");
	if (p->flags & POLICY_DNS) {
		check_served(&c, ST_UDP, ST_DNS_PORT, "dns-down", "DNS queries are refused");
		check_served(&c, ST_TCP, ST_DNS_PORT, "dns-down", "DNS over TCP is refused");
	}
	check_owners(&c);
}
