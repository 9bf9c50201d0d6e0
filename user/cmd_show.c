/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Nouns: status, stats. Each builds JSON; the plain form is printed from that. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cgroup.h"
#include "cmd.h"
#include "pod.h"
#include "why.h"

static const struct option_row noun_rows[] = {
	{ "json", 0, NULL, "machine-readable output", option_set_bool,
	  offsetof(struct noun_args, json) },
	{},
};

const struct option_table noun_tables[1] = { { .title = "flags", .rows = noun_rows } };

static const char *const state_names[] = {
	[POD_ATTACHED] = "attached",
	[POD_INCOMPLETE] = "incomplete",
	[POD_DRAINING] = "draining",
	[POD_STALE] = "stale",
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

static json_t *policy_json(const struct policy *p)
{
	return json_pack("{sisisisI sI so so so so so so so so so so}", "outbound_port",
			 p->outbound_port, "inbound_port", p->inbound_port, "dns_port", ST_DNS_PORT,
			 "proxy_uid", (json_int_t)p->uid, "proxy_gid", (json_int_t)p->gid,
			 "outbound_all", flag(p, POLICY_OUT_ALL), "inbound_all",
			 flag(p, POLICY_IN_ALL), "inbound_listed", flag(p, POLICY_IN_SOME), "dns",
			 flag(p, POLICY_DNS), "dns_all", flag(p, POLICY_DNS_ALL), "ipv6",
			 flag(p, POLICY_V6), "loopback_spread", flag(p, POLICY_SPREAD), "source4",
			 addr_json(&p->src4), "source6", addr_json(&p->src6), "host_network",
			 flag(p, POLICY_HOST));
}

/* Of programs before ours, on the cgroup or an ancestor: where something is dialled is theirs to say. */
static void add_earlier_programs(json_t *list, const char *cgroup, const struct pod *pod)
{
	static const int dialling[] = { HOOK_st_connect4, HOOK_st_connect6, HOOK_st_sendmsg4,
					HOOK_st_sendmsg6 };
	char name[BPF_OBJ_NAME_LEN];
	const struct hook *h;
	size_t i;
	__u32 id;

	for (i = 0; i < sizeof(dialling) / sizeof(*dialling); i++) {
		h = &hooks[dialling[i]];
		id = cgroup_runs_before(cgroup, h, pod->prog[dialling[i]], name);
		if (id)
			json_array_append_new(
				list,
				json_sprintf(
					"program %u (%s) runs before ours at %s: if it "
					"rewrites a destination, the proxy is told the new one",
					id, name, h->section));
	}
}

static json_t *warnings_json(const struct datapath *dp, const struct pod *pod, const char *cgroup)
{
	const char *build = dp->version.build;
	struct st_err ignored = {};
	json_t *list = json_array();

	if (strcmp(build, datapath_build()))
		json_array_append_new(
			list, json_sprintf("the programs are %s%s: 'socktables upgrade' brings "
					   "those of this build, %s",
					   *build ? "build " : "of several builds", build,
					   datapath_build()));
	if (pod->state == POD_ATTACHED && pod_has_changed(dp, pod, &ignored) > 0)
		json_array_append_new(list, json_string("its addresses, routes or interfaces have "
							"changed: 'socktables update' or "
							"'agent' looks again"));
	if (pod->state != POD_ATTACHED)
		json_array_append_new(list, json_string(pod->why));
	else if (!pod->nr_listeners && pod->policy.flags & (POLICY_IN_ALL | POLICY_IN_SOME))
		json_array_append_new(list, json_sprintf("nothing listens on port %d: inbound "
							 "connections are refused",
							 pod->policy.inbound_port));
	if (cgroup)
		add_earlier_programs(list, cgroup, pod);
	return list;
}

static int add_status(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	const struct policy *p = &pod->policy;
	char cgroup[PATH_MAX];
	json_t *o;
	int err;

	err = cgroup_path(p->cgroup_id, cgroup);
	if (err)
		strcpy(cgroup, err == -EPERM ? "unknown: needs CAP_DAC_READ_SEARCH" : "gone");
	o = json_pack("{ss ss ss sI sI sI s{si si} ss si so so}", "name", p->name, "state",
		      state_names[pod->state], "cgroup", cgroup, "cgroup_id",
		      (json_int_t)p->cgroup_id, "netns_inode", (json_int_t)p->netns_ino,
		      "netns_cookie", (json_int_t)pod->cookie, "links", "attached", pod->nr_links,
		      "expected", NR_LINKS, "build", dp->version.build, "inbound_listeners",
		      pod->nr_listeners, "policy", policy_json(p), "warnings",
		      warnings_json(dp, pod, err ? NULL : cgroup));
	if (!o)
		return err_sys(e, ENOMEM, "status", p->name);
	return json_array_append_new(ctx, o) ? err_sys(e, ENOMEM, "status", p->name) : 0;
}

static void print_policy(const json_t *p)
{
	const char *src;
	json_int_t in, out, dns, uid, gid;
	int out_all, in_all, in_some, dns_on, dns_all, v6;

	json_unpack((json_t *)p, "{sI sI sI sI sI sb sb sb sb sb sb}", "outbound_port", &out,
		    "inbound_port", &in, "dns_port", &dns, "proxy_uid", &uid, "proxy_gid", &gid,
		    "outbound_all", &out_all, "inbound_all", &in_all, "inbound_listed", &in_some,
		    "dns", &dns_on, "dns_all", &dns_all, "ipv6", &v6);
	printf("  outbound   %s -> %lld\n", out_all ? "all but exceptions" : "as listed",
	       (long long)out);
	if (in_all || in_some)
		printf("  inbound    %s -> %lld\n", in_all ? "all but exceptions" : "as listed",
		       (long long)in);
	else
		printf("  inbound    not captured\n");
	if (dns_on)
		printf("  DNS        %s -> %lld\n",
		       dns_all ? "port 53 of any address" : "the pod's nameservers",
		       (long long)dns);
	else
		printf("  DNS        not captured\n");
	src = json_string_value(json_object_get(p, "source4"));
	printf("  families   IPv4 (from %s)", src ? src : "no address");
	src = json_string_value(json_object_get(p, "source6"));
	if (v6)
		printf(", IPv6 (from %s)\n", src ? src : "no address");
	else
		printf("; IPv6 not captured\n");
	printf("  proxy      uid %lld, gid %lld\n", (long long)uid, (long long)gid);
}

static void print_status(const json_t *pods)
{
	const char *name, *state, *cgroup;
	json_int_t ino, cookie, links, expected, listeners;
	json_t *o, *policy, *warnings, *w;
	size_t i, j;

	if (!json_array_size(pods))
		puts("no pod is attached");
	json_array_foreach((json_t *)pods, i, o) {
		json_unpack(o, "{ss ss ss sI sI s{sI sI} sI so so}", "name", &name, "state", &state,
			    "cgroup", &cgroup, "netns_inode", &ino, "netns_cookie", &cookie,
			    "links", "attached", &links, "expected", &expected, "inbound_listeners",
			    &listeners, "policy", &policy, "warnings", &warnings);
		printf("%s%s: %s\n", i ? "\n" : "", name, state);
		printf("  cgroup     %s\n", cgroup);
		printf("  netns      inode %lld, cookie %lld%s\n", (long long)ino,
		       (long long)cookie,
		       json_is_true(json_object_get(policy, "host_network")) ? ", the host's own"
									     : "");
		printf("  links      %lld of %lld\n", (long long)links, (long long)expected);
		print_policy(policy);
		printf("  listeners  %lld for inbound\n", (long long)listeners);
		json_array_foreach(warnings, j, w)
			printf("  warning    %s\n", json_string_value(w));
	}
}

static json_t *family_json(const struct counters *c, int v6)
{
	json_t *o = json_object();
	int i;

	for (i = 0; i < WHY_COUNT; i++)
		json_object_set_new(o, why_name(i), json_integer(c->n[i][v6]));
	return o;
}

static int add_stats(void *ctx, const struct datapath *dp, const struct pod *pod, struct st_err *e)
{
	struct counters c;
	json_t *o;
	int err = pod_counters(dp, pod->cookie, &c);

	if (err && err != -ENOENT)
		return err_sys(e, -err, "counters", pod->policy.name);
	o = json_pack("{ss so so}", "name", pod->policy.name, "ipv4", family_json(&c, 0), "ipv6",
		      family_json(&c, 1));
	if (!o || json_array_append_new(ctx, o))
		return err_sys(e, ENOMEM, "counters", pod->policy.name);
	return 0;
}

static void print_stats(const json_t *pods)
{
	json_int_t v4, v6;
	size_t i;
	json_t *o;
	int why;

	json_array_foreach((json_t *)pods, i, o) {
		printf("%s%s:\n  %-20s %10s %10s  meaning\n", i ? "\n" : "",
		       json_string_value(json_object_get(o, "name")), "reason", "IPv4", "IPv6");
		for (why = 0; why < WHY_COUNT; why++) {
			v4 = json_integer_value(
				json_object_get(json_object_get(o, "ipv4"), why_name(why)));
			v6 = json_integer_value(
				json_object_get(json_object_get(o, "ipv6"), why_name(why)));
			if (v4 || v6)
				printf("  %-20s %10lld %10lld  %s\n", why_name(why), (long long)v4,
				       (long long)v6, why_text(why));
		}
	}
}

/* Reads all pods or one into an array by add(), and prints that as JSON or by print(). */
static int show(const struct command *self, int argc, char **argv,
		int (*add)(void *ctx, const struct datapath *dp, const struct pod *pod,
			   struct st_err *e),
		void (*print)(const json_t *pods), struct st_err *e)
{
	struct noun_args a = {};
	void *ctx[] = { &a };
	char **args;
	int status, n = cmd_parse(self, ctx, argc, argv, &args, &status, e);
	const char *name;
	json_t *pods;

	if (n < 0)
		return status;
	name = n ? args[0] : NULL;
	if (n > 1) {
		err_set(e, EINVAL, "argument", args[1], "not expected");
		return EXIT_USAGE;
	}
	if (name && pod_check_name(name, e))
		return EXIT_USAGE;
	if (cmd_begin(self, e))
		return EXIT_FAILED;
	pods = json_array();
	status = cmd_result(pod_read(name, add, pods, e), name, e);
	if (status == EXIT_DONE && a.json)
		return json_put(pods);
	if (status == EXIT_DONE)
		print(pods);
	json_decref(pods);
	return status;
}

int cmd_status(const struct command *self, int argc, char **argv, struct st_err *e)
{
	return show(self, argc, argv, add_status, print_status, e);
}

int cmd_stats(const struct command *self, int argc, char **argv, struct st_err *e)
{
	return show(self, argc, argv, add_stats, print_stats, e);
}
