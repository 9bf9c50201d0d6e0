// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* See world.h. */
#include "world.h"
#include "../../user/pod_file.h"

#include <err.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* What world.sh does in the pod. */
static const char *const own[] = { "10.77.0.2", "10.77.0.9", "10.78.0.2",
				   "fd77::2",	"fd77::9",   "fd78::2" };
static struct iface ifaces[] = { { "lo", 1 }, { "eth0", 2 }, { "eth1", 3 } };
static const struct {
	const char *dst;
	__u32 iface;
} ways[] = {
	{ "0.0.0.0/0", 2 }, { "10.77.0.0/24", 2 }, { "10.78.0.0/24", 3 }, { "10.79.0.0/16", 3 },
	{ "::/0", 2 },	    { "fd77::/64", 2 },	   { "fd78::/64", 3 },	  { "fd79::/16", 3 },
};

static void fill_pod(struct world *w)
{
	static struct prefix local[LENGTH(own)];
	static struct route routes[LENGTH(ways)];
	struct pod_facts *pod = &w->pod;
	struct prefix p;
	size_t i;

	for (i = 0; i < LENGTH(own); i++) {
		prefix_parse(own[i], &p, NULL);
		if (!w->v6_only || !prefix_is_v4(&p))
			local[pod->nr_local++] = p;
	}
	for (i = 0; i < LENGTH(ways); i++) {
		prefix_parse(ways[i].dst, &p, NULL);
		if (!w->v6_only || !prefix_is_v4(&p))
			routes[pod->nr_routes++] =
				(struct route){ .dst = p, .iface = ways[i].iface };
	}
	pod->local = local;
	pod->routes = routes;
	pod->ifaces = ifaces;
	pod->nr_ifaces = LENGTH(ifaces);
	pod->ipv6 = w->v6_only || w->config.dual_stack;
	pod->spread = 1;
}

static int read_resolvers(struct world *w, struct st_err *e)
{
	if (!w->config.resolv_conf)
		return 0;
	return pod_file_resolvers("", w->config.resolv_conf, &w->pod.resolvers,
				  &w->pod.nr_resolvers, e);
}

void world_init(struct world *w, int argc, char **argv)
{
	struct option_table table = { "Policy", config_options, &w->config };
	struct st_err e = {};
	int istio = 0, v6, n;

	*w = (struct world){};
	for (; argc > 1; argc--, argv++) {
		if (!strcmp(argv[1], "--istio"))
			istio = 1;
		else if (!strcmp(argv[1], "--v6-only"))
			w->v6_only = 1;
		else
			break;
	}
	if (istio ? config_init_istio(&w->config, &e) : config_init(&w->config, &e))
		errx(1, "%s", e.text);
	n = options_parse("attach", &table, 1, argc, argv, &e);
	if (n)
		errx(2, "%s", n < 0 ? e.text : "only flags are taken");
	fill_pod(w);
	if (read_resolvers(w, &e))
		errx(1, "%s", e.text);
	for (v6 = 0; v6 < 2; v6++) {
		if (oracle_make(&w->config, &w->pod, v6, &w->rules[v6]))
			errx(1, "out of memory");
	}
}

/* On a link there is nobody but these, and nobody answers when asked who has another address. */
static int is_deserted(const struct addr *a)
{
	static const char *const links[] = { "10.77.0.0/24", "10.78.0.0/24", "fd77::/64",
					     "fd78::/64" };
	static const char *const hosts[] = { "10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.9",
					     "10.78.0.2", "10.78.0.3", "fd77::2",   "fd77::3",
					     "fd77::4",	  "fd77::9",   "fd78::2",   "fd78::3" };
	struct prefix link;
	struct addr host;
	size_t i;

	for (i = 0; i < LENGTH(hosts); i++) {
		if (!addr_parse(hosts[i], &host) && addr_equal(a, &host))
			return 0;
	}
	for (i = 0; i < LENGTH(links); i++) {
		if (!prefix_parse(links[i], &link, NULL) && prefix_is_v4(&link) == addr_is_v4(a) &&
		    addr_covered(a, &link.addr, link.len))
			return 1;
	}
	return 0;
}

int world_reaches(const struct world *w, const struct addr *a)
{
	__u8 first = addr_byte(a, addr_is_v4(a) ? 12 : 0);

	if (!addr_is_v4(a))
		return first != 0xff && first != 0xfe && !addr_is_zero(a) && !is_deserted(a);
	if (first == 127)
		return a->w[3] != ST_V4(127, 0, 0, 0) && a->w[3] != ST_V4(127, 255, 255, 255);
	return !w->v6_only && first && first < 224 && !is_deserted(a);
}
