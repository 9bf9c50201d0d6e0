/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a person asked for: the policy flags, checked and typed. Knows nothing of a pod, and opens no
 * file but the lists that a value @FILE names. The flags are istio-iptables' own, with its meaning.
 */
#ifndef SOCKTABLES_CONFIG_H
#define SOCKTABLES_CONFIG_H

#include <stdio.h>

#include "err.h"
#include "options.h"
#include "prefix.h"
#include "values.h"

struct port_list {
	__u16 *v; /* host order, as given: unsorted, perhaps twice */
	size_t nr;
	int all; /* '*'; then the list is empty */
};

struct id_list {
	__u32 *v; /* uids or gids as the pod sees them, in order; the first is special */
	size_t nr;
};

struct prefix_list {
	struct prefix *v;
	size_t nr;
	int all; /* '*'; then the list is empty */
};

struct addr_list {
	struct addr *v;
	size_t nr;
};

struct owner_group {
	char name[64]; /* until config_resolve_groups(); empty: gid is valid */
	__u32 gid;
};

struct group_list {
	struct owner_group *v;
	size_t nr;
	int all; /* '*'; then the list is empty */
};

struct iface_name {
	char text
		[IFACE_NAME_MAX]; /* with a last '+' it stands for all that begin so, as in iptables */
};

struct iface_list {
	struct iface_name *v;
	size_t nr;
};

/* Where Istio's rules decide on DNS over UDP. */
enum udp_dns {
	UDP_DNS_BESIDE, /* beside DNS over TCP: since 1.25 */
	UDP_DNS_FIRST,	/* apart from the rest, before the source 127.0.0.6 is looked at: to 1.22 */
	UDP_DNS_LAST,	/* behind the destinations that are left alone: 1.23 and 1.24 */
};

enum ipv6_mode { IPV6_AUTO, IPV6_ON, IPV6_OFF };

struct config {
	__u64 given; /* bit n: row n of config_options was set: config_given() */
	__u16 outbound_port, inbound_port, tunnel_port; /* host order */
	struct id_list uids;				/* never empty */
	struct id_list gids;		  /* empty: the uids are the gids too, as in Istio */
	struct port_list in_include;	  /* -b */
	struct port_list in_exclude;	  /* -d, of no effect unless in_include.all */
	struct port_list out_include;	  /* -q */
	struct port_list out_exclude;	  /* -o */
	struct prefix_list include;	  /* -i */
	struct prefix_list exclude;	  /* -x */
	int loopback_included;		  /* -i has an element whose address is a loopback one */
	struct prefix loopback;		  /* --ipv4-loopback-cidr */
	struct group_list groups;	  /* --outbound-owner-groups */
	struct group_list groups_exclude; /* of no effect unless groups.all */
	struct iface_list ifaces;	  /* -c */
	int redirect_dns, capture_all_dns, drop_invalid, dual_stack;
	enum ipv6_mode ipv6;
	struct addr_list dns_servers;	 /* instead of a resolv.conf, if given */
	char *resolv_conf;		 /* a path to read instead of the pod's; NULL: the pod's */
	int tproxy;			 /* -m TPROXY */
	__u32 tproxy_mark, tproxy_table; /* -t, -r: of no effect without TPROXY */
	/* What no flag of Istio tells, as each release has but one way. -e makes both new, since who
	 * names the tunnel port has an Istio that knows of it.
	 */
	int old_rules; /* the tunnel port is not exempt when the proxy calls its own pod: to 1.17 */
	enum udp_dns udp_dns;
};

/* The policy flags, for options_parse(); ctx is a struct config. */
extern const struct option_row config_options[];

/* The defaults of attach: all TCP and DNS, with Istio's usual exceptions. Returns 0 or -ENOMEM with
 * e filled. In every case config_free() may follow.
 */
int config_init(struct config *c, struct st_err *e);

/* The defaults of istio-iptables: nothing is captured unless asked for. Returns as config_init().
 */
int config_init_istio(struct config *c, struct st_err *e);

/* The value of a flag that attach starts from, as text. That of -e is "": to give it changes more
 * than the port.
 */
const char *config_default(const char *name);

/* Frees what c points to, not c. Twice is harmless. */
void config_free(struct config *c);

/* A copy whose proxy owners and owner groups are its own, to be changed; all else it has from C, which
 * has to stay. Returns 0, or -ENOMEM with e filled; config_free_owners() may follow in any case.
 */
int config_copy_owners(const struct config *c, struct config *ret, struct st_err *e);
void config_free_owners(struct config *copy);

/* 1 if the flag of that long name was given, whatever its value. */
int config_given(const struct config *c, const char *name);

/* Turns the names of owner groups into gids. resolve returns 0 and the gid, or -errno: -ENOENT if
 * there is no such group; it may fill e itself. Returns 0, or -errno with e filled; groups resolved so
 * far stay so.
 */
int config_resolve_groups(struct config *c,
			  int (*resolve)(void *ctx, const char *name, __u32 *ret_gid), void *ctx,
			  struct st_err *e);

/* The nameservers of a resolv.conf, into a new array that the caller frees (NULL if there are
 * none). Lines are read as the C libraries read them, and what they ignore is ignored, but all
 * nameservers count, not only the first three, as in Istio. The scope of fe80::1%eth0 is dropped:
 * the address is matched on every interface. PATH is for messages. Returns 0, or -errno with e filled.
 */
int config_resolv_conf(FILE *f, const char *path, struct addr **ret, size_t *nr, struct st_err *e);

#endif
