/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One run of istio-iptables: what its flags and its environment ask for. No kernel, no pod. */
#ifndef SOCKTABLES_ISTIO_H
#define SOCKTABLES_ISTIO_H

#include "config.h"
#include "options.h"

struct istio {
	struct config policy;
	__u64 given;   /* bit n: row n of istio_options was set */
	int uid_given; /* else the proxy's uid is that of $ENVOY_USER */
	int dry_run, skip_rule_apply, run_validation;
	int reconcile, force_apply, cleanup_only;
	int ignored;		   /* flags that only matter to iptables */
	const char *ignored_text;  /* and those of them that have a value */
	const char *netns;	   /* --network-namespace; NULL or "": the own one */
	const char *cgroup, *name; /* NULL: found */
	__u16 probe_port;	   /* host order */
	__u32 probe_timeout;	   /* milliseconds */
};

typedef char *(*env_getter)(const char *name); /* getenv(), or a test's own */

/* Flags that an environment variable can set as well, and those that none can; ctx is a struct
 * istio. Ends of tables are rows without a name.
 */
extern const struct option_row istio_options[], istio_only_flags[];

/* For --help: the environment. */
extern const char istio_notes[];

/* The defaults. Returns 0, or -ENOMEM with e filled; istio_free() may follow in any case. */
int istio_init(struct istio *i, struct st_err *e);
void istio_free(struct istio *i);

/* After the command line: takes what it left open from the environment, then the proxy's uid from
 * the file at path passwd. Returns 0, or -errno with e filled, which names the variable.
 */
int istio_read_env(struct istio *i, env_getter get, const char *passwd, struct st_err *e);

/* In words, and as flags of `socktables attach`. resolvers: of the pod's resolv.conf. */
void istio_print_policy(const struct istio *i, int v6, const struct addr_list *resolvers);
void istio_print_attach(const struct istio *i, const char *cgroup, const char *netns,
			const char *name, const struct addr_list *resolvers);

#endif
