/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The noun status: builds JSON; show_status.c prints the plain form from that. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "pod.h"
#include "pod_health.h"
#include "pod_sums.h"
#include "show_status.h"
#include "watch.h"

struct status_args {
	int json, check;
	__u32 watch;
};

static const struct option_row status_rows[] = {
	{ "check", 0, NULL, "exit status 1 unless the health of every pod that is shown is ok",
	  option_set_bool, offsetof(struct status_args, check) },
	{ "watch", 0, "[=SECONDS]", WATCH_HELP, watch_set, offsetof(struct status_args, watch) },
	{ "json", 0, NULL, "machine-readable output; with --watch one line each", option_set_bool,
	  offsetof(struct status_args, json) },
	{},
};

const struct option_table status_tables[1] = { { .title = "flags", .rows = status_rows } };

const char status_notes[] =
	"  socktables status\n"
	"  socktables status web --check > /dev/null || echo web is not well\n"
	"  socktables status --watch=1\n"
	"  socktables status --json | jq -r '.[] | select(.health != \"ok\") | .name'\n"
	"\n"
	"health is the worst that was found:\n"
	"  ok        nothing speaks against it\n"
	"  draining  detach --drain is under way: new connections go direct, live ones are kept\n"
	"  degraded  captured, but a part of it does not work as the policy demands\n"
	"  broken    connections fail, or pass the proxy by\n"
	"  stale     its cgroup or its network namespace is gone\n"
	"warnings say why; notes do not count. What may not be looked at for want of a capability "
	"does\n"
	"not count either, and is a note.\n";

static const char *const state_names[] = {
	[POD_ATTACHED] = "attached",
	[POD_INCOMPLETE] = "incomplete",
	[POD_DRAINING] = "draining",
	[POD_STALE] = "stale",
};

static const char *const severity_names[] = {
	[SEVERITY_NOTE] = "note",
	[SEVERITY_WARNING] = "warning",
	[SEVERITY_DEGRADED] = "degraded",
	[SEVERITY_BROKEN] = "broken",
};

static json_t *flag(const struct policy *p, __u32 bit)
{
	return json_boolean(p->flags & bit);
}

static json_t *addr_json(const struct addr *a)
{
	char text[PREFIX_TEXT_MAX];

	if (addr_is_zero(a))
		return json_null();
	addr_print(a, text);
	return json_string(text);
}

static json_t *list_json(const struct list_sum *s, int is_cidrs)
{
	json_t *first = json_array();
	char text[PREFIX_TEXT_MAX];
	unsigned int i;

	for (i = 0; i < s->nr && i < SUM_FIRST; i++) {
		if (is_cidrs)
			prefix_print(&s->cidrs[i], text);
		json_array_append_new(first,
				      is_cidrs ? json_string(text) : json_integer(s->numbers[i]));
	}
	return json_pack("{si so}", "count", (int)s->nr, "first", first);
}

static json_t *lists_json(const struct policy_sum *sum)
{
	json_t *lists = json_object(), *names = json_array();
	unsigned int i;

	for (i = 0; i < NR_LISTS; i++)
		json_object_set_new(lists, list_names[i],
				    list_json(&sum->lists[i], i <= LIST_DNS_SERVERS));
	for (i = 0; i < sum->nr_ifaces && i < SUM_IFACES; i++)
		json_array_append_new(names, json_stringn(sum->ifaces[i],
							  strnlen(sum->ifaces[i], IFACE_NAME_MAX)));
	json_object_set_new(lists, "interfaces_excluded",
			    json_pack("{si so}", "count", (int)sum->nr_ifaces, "first", names));
	return lists;
}

static const char *udp_dns(const struct policy *p)
{
	return p->flags & POLICY_UDP_DNS_FIRST	? "first"
	       : p->flags & POLICY_UDP_DNS_LAST ? "last"
						: "beside";
}

static json_t *policy_json(const struct policy *p, const struct policy_sum *sum)
{
	json_t *o, *more;

	o = json_pack("{sisisisI sI so so so so so so so so so so}", "outbound_port",
		      p->outbound_port, "inbound_port", p->inbound_port, "dns_port", ST_DNS_PORT,
		      "proxy_uid", (json_int_t)p->uid, "proxy_gid", (json_int_t)p->gid,
		      "outbound_all", flag(p, POLICY_OUT_ALL), "inbound_all",
		      flag(p, POLICY_IN_ALL), "inbound_listed", flag(p, POLICY_IN_SOME), "dns",
		      flag(p, POLICY_DNS), "dns_all", flag(p, POLICY_DNS_ALL), "ipv6",
		      flag(p, POLICY_V6), "loopback_spread", flag(p, POLICY_SPREAD), "source4",
		      addr_json(&p->src4), "source6", addr_json(&p->src6), "host_network",
		      flag(p, POLICY_HOST));
	more = json_pack("{so sI sI ss so so so}", "tproxy", flag(p, POLICY_TPROXY), "tproxy_mark",
			 (json_int_t)p->tproxy_mark, "tproxy_table", (json_int_t)p->tproxy_table,
			 "udp_dns", udp_dns(p), "ipv6_auto", flag(p, POLICY_V6_AUTO),
			 "owner_groups_only", flag(p, POLICY_GROUPS_ONLY), "lists",
			 lists_json(sum));
	if (json_object_update_new(o, more)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* Returns nonzero if there is no memory: a finding that is not shown would be one that was not made. */
static int findings_json(const struct health *h, json_t *findings, json_t *warnings)
{
	const struct finding *f;
	int err = 0;

	for (f = h->findings; f < h->findings + h->nr; f++) {
		err |= json_array_append_new(findings, json_pack("{ss ss ss}", "severity",
								 severity_names[f->severity],
								 "code", f->code, "text", f->text));
		if (f->severity != SEVERITY_NOTE)
			err |= json_array_append_new(warnings, json_string(f->text));
	}
	return err;
}

static json_t *listening_json(const struct health *h)
{
	const struct listening *s;
	json_t *list;

	if (!h->has_listening)
		return json_null();
	list = json_array();
	for (s = h->listening.v; s < h->listening.v + h->listening.nr; s++) {
		char text[PREFIX_TEXT_MAX] = "::";

		if (!addr_is_zero(&s->addr))
			addr_print(&s->addr, text);
		json_array_append_new(list,
				      json_pack("{ss si ss sI}", "protocol",
						s->proto == ST_TCP ? "tcp" : "udp", "port", s->port,
						"address", text, "uid", (json_int_t)s->uid));
	}
	return list;
}

static json_t *pod_json(const struct datapath *dp, const struct pod *pod,
			const struct policy_sum *sum, const struct health *h)
{
	json_t *findings = json_array(), *warnings = json_array();
	const struct policy *p = &pod->policy;

	if (findings_json(h, findings, warnings)) {
		json_decref(findings);
		json_decref(warnings);
		return NULL;
	}
	return json_pack("{ss ss ss so sI so sI sI s{si si so} ss si s{si si} so so so so}", "name",
			 p->name, "state", state_names[pod->state], "health", health_words[h->word],
			 "cgroup", json_quoted(h->cgroup), "cgroup_id", (json_int_t)p->cgroup_id,
			 "netns", *h->netns ? json_quoted(h->netns) : json_null(), "netns_inode",
			 (json_int_t)p->netns_ino, "netns_cookie", (json_int_t)pod->cookie, "links",
			 "attached", pod->nr_links, "expected", NR_LINKS, "effective",
			 h->nr_effective < 0 ? json_null() : json_integer(h->nr_effective), "build",
			 dp->version.build, "inbound_listeners", pod->nr_listeners, "numbers",
			 "given", pod->nr_numbers, "of", ST_NUMBERS_POD, "policy",
			 policy_json(p, sum), "warnings", warnings, "findings", findings,
			 "listening", listening_json(h));
}

/* The lists of all pods are read once, with the first one. */
struct reading {
	json_t *pods;
	struct policy_sums sums;
	int have_sums, is_well;
};

static int add_pod(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	static const struct policy_sum empty;
	struct reading *r = ctx;
	const struct policy_sum *sum;
	struct health *h;
	json_t *o;
	int err = r->have_sums ? 0 : pod_sums_read(dp, &r->sums, e);

	if (err)
		return err;
	r->have_sums = 1;
	sum = pod_sums_of(&r->sums, pod->policy.id) ?: &empty;
	h = malloc(sizeof(*h));
	if (!h)
		return err_sys(e, ENOMEM, "status", pod->policy.name);
	err = pod_health(dp, pod, sum, h, e);
	if (!err) {
		r->is_well &= h->word == HEALTH_OK;
		o = pod_json(dp, pod, sum, h);
		if (json_array_append_new(r->pods, o))
			err = err_sys(e, ENOMEM, "status", pod->policy.name);
	}
	pod_health_free(h);
	free(h);
	return err;
}

struct drawing {
	const struct status_args *args;
	const char *name;
	int is_well;
};

static int draw(void *ctx, FILE *f, const struct term *t, struct st_err *e)
{
	struct reading r = { .pods = json_array(), .is_well = 1 };
	struct drawing *d = ctx;
	int status = cmd_result(pod_read(d->name, add_pod, &r, e), d->name, e);

	if (status == EXIT_DONE) {
		if (d->args->watch && !d->args->json)
			watch_stamp(f);
		if (d->args->json)
			json_dumpf(r.pods, f, d->args->watch ? JSON_COMPACT : JSON_INDENT(2));
		else
			show_status(f, t, r.pods);
		if (d->args->json || d->args->watch)
			putc('\n', f);
	}
	d->is_well = r.is_well;
	pod_sums_free(&r.sums);
	json_decref(r.pods);
	return status;
}

int cmd_status(const struct command *self, int argc, char **argv, struct st_err *e)
{
	struct status_args a = {};
	struct drawing d = { .args = &a };
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);

	if (n < 0)
		return status;
	if (cmd_one_pod(n, args, &d.name, e))
		return EXIT_USAGE;
	if (a.check && a.watch) {
		err_set(e, EINVAL, "flags", NULL, "--check looks once, --watch again and again");
		return EXIT_USAGE;
	}
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	status = watch_run(a.watch, draw, &d, e);
	return status == EXIT_DONE && a.check && !d.is_well ? EXIT_FAILED : status;
}
