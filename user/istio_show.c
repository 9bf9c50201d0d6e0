/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For --dry-run: the policy in words, and as flags of attach. */
#include "istio.h"

#include <string.h>

#include "../include/policy.h"
#include "values.h"

/* Each prints one element of a list. */
static void put_port(const void *v)
{
	printf("%u", *(const __u16 *)v);
}

static void put_id(const void *v)
{
	printf("%u", *(const __u32 *)v);
}

static void put_prefix(const void *v)
{
	char text[PREFIX_TEXT_MAX];

	prefix_print(v, text);
	printf("%s", text);
}

/* A CIDR that was written with a loopback address as its host part. */
static void put_loopback(const void *v)
{
	const struct prefix *p = v;
	struct prefix as_given = *p;

	addr_parse(prefix_is_v4(p) ? "127.0.0.1" : "::1", &as_given.addr);
	put_prefix(addr_covered(&as_given.addr, &p->addr, p->len) ? &as_given : p);
}

static void put_addr(const void *v)
{
	char text[PREFIX_TEXT_MAX];

	addr_print(v, text);
	printf("%s", text);
}

static void put_group(const void *v)
{
	const struct owner_group *g = v;

	if (g->name[0])
		word_print(stdout, g->name);
	else
		printf("%u", g->gid);
}

static void put_iface(const void *v)
{
	word_print(stdout, ((const struct iface_name *)v)->text);
}

/* A list as a flag has it. */
struct text {
	const void *v;
	size_t nr, size;
	int all;
	void (*put)(const void *v);
};

#define TEXT(list, put) ((struct text){ (list).v, (list).nr, sizeof(*(list).v), 0, put })
#define TEXT_OR_ALL(list, put) \
	((struct text){ (list).v, (list).nr, sizeof(*(list).v), (list).all, put })

static void put_list(const struct text *t)
{
	size_t n;

	if (t->all)
		printf("*");
	for (n = 0; n < t->nr; n++) {
		printf("%s", n ? "," : "");
		t->put((const char *)t->v + n * t->size);
	}
}

/* -i. That an address in it was a loopback one counts; where the host bits said so, they are gone. */
static struct text included(const struct config *c)
{
	int is_cleared = c->loopback_included;
	size_t n;

	for (n = 0; n < c->include.nr; n++)
		is_cleared &= !addr_is_loopback(&c->include.v[n].addr);
	return is_cleared ? TEXT_OR_ALL(c->include, put_loopback)
			  : TEXT_OR_ALL(c->include, put_prefix);
}

/* ", TEXT LIST", unless the list is empty. */
static void put_if(const char *text, struct text t)
{
	if (!t.nr && !t.all)
		return;
	printf(", %s ", text);
	put_list(&t);
}

static void print_outbound(const struct config *c)
{
	struct text to = included(c);

	printf("  outbound   ");
	if (to.all)
		printf("TCP to everywhere -> %u", c->outbound_port);
	else if (!to.nr && !c->out_include.nr)
		printf("not captured");
	else
		printf("TCP as listed -> %u", c->outbound_port);
	if (!to.all)
		put_if("to", to);
	put_if("in any case ports", TEXT(c->out_include, put_port));
	put_if("but not to", TEXT(c->exclude, put_prefix));
	put_if("but not ports", TEXT(c->out_exclude, put_port));
	putchar('\n');
}

static void print_owners(const struct config *c)
{
	if (c->groups.all && !c->groups_exclude.nr)
		return;
	printf("  owners     ");
	if (c->groups.all) {
		printf("all");
		put_if("but not groups", TEXT(c->groups_exclude, put_group));
	} else {
		printf("%s", c->groups.nr ? "only some" : "none");
		put_if("groups", TEXT(c->groups, put_group));
	}
	putchar('\n');
}

static void print_inbound(const struct config *c)
{
	struct text ports = TEXT_OR_ALL(c->in_include, put_port);

	printf("  inbound    ");
	if (!ports.all && !ports.nr)
		printf("not captured");
	else
		printf("TCP %s -> %u", ports.all ? "to all ports" : "as listed", c->inbound_port);
	if (!ports.all)
		put_if("ports", ports);
	else
		put_if("but not ports", TEXT(c->in_exclude, put_port));
	printf(", tunnel port %u left alone%s\n", c->tunnel_port, c->tproxy ? "; TPROXY" : "");
}

static void print_dns(const struct config *c, const struct addr_list *resolvers)
{
	printf("  DNS        ");
	if (!c->redirect_dns || (!c->capture_all_dns && !resolvers->nr)) {
		printf("not captured%s\n", c->redirect_dns ? ": no nameserver is known" : "");
		return;
	}
	printf("port 53 -> %u, of ", ST_DNS_PORT);
	if (c->capture_all_dns) {
		puts("any address");
		return;
	}
	put_list(&TEXT(*resolvers, put_addr));
	putchar('\n');
}

void istio_print_policy(const struct istio *i, int v6, const struct addr_list *resolvers)
{
	const struct config *c = &i->policy;

	print_outbound(c);
	print_owners(c);
	print_inbound(c);
	print_dns(c, resolvers);
	printf("  families   IPv4%s\n", v6 ? ", IPv6" : "; IPv6 not captured");
	printf("  proxy      uid ");
	put_list(&TEXT(c->uids, put_id));
	printf(", gid ");
	put_list(c->gids.nr ? &TEXT(c->gids, put_id) : &TEXT(c->uids, put_id));
	putchar('\n');
	if (!c->ifaces.nr)
		return;
	printf("  interfaces left alone: ");
	put_list(&TEXT(c->ifaces, put_iface));
	putchar('\n');
}

/* A flag that says what attach's default does not. Elements bring the quotes that they need, '*' and '' get
 * theirs here.
 */
static void put_flag(const char *flag, struct text t)
{
	printf(" %s ", flag);
	if (t.all || !t.nr)
		putchar('\'');
	put_list(&t);
	if (t.all || !t.nr)
		putchar('\'');
}

static void put_flag_if(const char *flag, struct text t)
{
	if (t.nr)
		put_flag(flag, t);
}

static void put_owner_flags(const struct config *c)
{
	put_flag("-u", TEXT(c->uids, put_id));
	put_flag("-g", c->gids.nr ? TEXT(c->gids, put_id) : TEXT(c->uids, put_id));
	if (!c->groups.all)
		put_flag("--outbound-owner-groups", TEXT(c->groups, put_group));
	put_flag_if("--outbound-owner-groups-exclude", TEXT(c->groups_exclude, put_group));
}

static void put_dns_flags(const struct config *c, const struct addr_list *resolvers)
{
	int dns = c->redirect_dns && (c->capture_all_dns || resolvers->nr);

	printf(" --redirect-dns=%s", dns ? "true" : "false");
	if (!dns)
		return;
	printf(" --capture-all-dns=%s", c->capture_all_dns ? "true" : "false");
	if (!c->capture_all_dns)
		put_flag("--dns-servers", TEXT(*resolvers, put_addr));
}

void istio_print_attach(const struct istio *i, const char *cgroup, const char *netns,
			const char *name, const struct addr_list *resolvers)
{
	const struct config *c = &i->policy;

	printf("  socktables attach --cgroup ");
	word_print(stdout, cgroup);
	printf(" --netns ");
	word_print(stdout, netns);
	if (name) {
		printf(" --name ");
		word_print(stdout, name);
	}
	printf(" -p %u -z %u -e %u", c->outbound_port, c->inbound_port, c->tunnel_port);
	if (c->tproxy)
		printf(" -m TPROXY -t %u -r %u", c->tproxy_mark, c->tproxy_table);
	put_flag("-b", TEXT_OR_ALL(c->in_include, put_port));
	put_flag("-d", TEXT(c->in_exclude, put_port));
	put_flag("-i", included(c));
	put_flag_if("-x", TEXT(c->exclude, put_prefix));
	put_flag_if("-q", TEXT(c->out_include, put_port));
	put_flag("-o", TEXT(c->out_exclude, put_port));
	put_flag_if("-c", TEXT(c->ifaces, put_iface));
	put_owner_flags(c);
	put_dns_flags(c, resolvers);
	printf(" --ipv4-loopback-cidr ");
	put_prefix(&c->loopback);
	printf("%s\n", c->dual_stack ? " --dual-stack" : "");
}
