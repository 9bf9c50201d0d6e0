/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* istio-iptables' flags and environment: tools/istio-iptables/pkg/cmd/root.go and pkg/flag of Istio
 * as of August 2026. What decides, the first one that is there: the command line, an additional
 * variable, the variable of the flag's name, the default. Unlike Istio, which ignores a variable
 * that it cannot read, such a one is an error here.
 */
#include "istio.h"

#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "values.h"

#define ENV_MAX 64
#define TIMEOUT_MAX 3600000 /* an hour */

static int given(struct istio *i, const struct option_row *row)
{
	const struct option_row *with_env = options_find(istio_options, row->name);

	if (with_env)
		i->given |= 1ULL << (with_env - istio_options);
	return 0;
}

/* Policy flags are those of attach: only defaults and help differ. */
static int set_policy(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	const struct option_row *of_attach = options_find(config_options, row->name);
	struct istio *i = ctx;
	int err = of_attach->set(&i->policy, of_attach, value, e);

	return err ? err : given(i, row);
}

/* Empty means: by $ENVOY_USER. */
static int set_uid(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	struct istio *i = ctx;

	i->uid_given = !!*value;
	return i->uid_given ? set_policy(ctx, row, value, e) : given(i, row);
}

static int set_bool(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	int err = option_set_bool(ctx, row, value, e);

	return err ? err : given(ctx, row);
}

static int set_text(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	(void)e;
	*(const char **)((char *)ctx + row->offset) = value;
	return given(ctx, row);
}

static int set_some_text(void *ctx, const struct option_row *row, const char *value,
			 struct st_err *e)
{
	char what[OPTION_TEXT_MAX];

	option_print(row, what);
	return *value ? set_text(ctx, row, value, e)
		      : value_refused(e, what, value, "needs a value");
}

static int set_probe_port(void *ctx, const struct option_row *row, const char *value,
			  struct st_err *e)
{
	const char *why = port_parse(value, &((struct istio *)ctx)->probe_port);
	char what[OPTION_TEXT_MAX];

	option_print(row, what);
	return why ? value_refused(e, what, value, why) : given(ctx, row);
}

/* Go's time.ParseDuration: 5s, 1m30s, 1.5h, 250ms; no sign. Returns 0, or -1. */
static int parse_timeout(const char *text, __u32 *ret)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "ms", 1 },	{ "s", 1e3 },	       { "m", 6e4 },	      { "h", 3.6e6 },
		{ "us", 1e-3 }, { "\xc2\xb5s", 1e-3 }, { "\xce\xbcs", 1e-3 }, { "ns", 1e-6 }
	};
	double total = 0, n;
	size_t digits, unit;
	char *end;

	do {
		digits = strspn(text, "0123456789.");
		n = strtod(text, &end); /* also takes 1e3 and 0x1 */
		if (!digits || digits > 15 || end != text + digits)
			return -1;
		for (unit = 0; unit < sizeof(units) / sizeof(*units); unit++)
			if (strcspn(end, "0123456789.") == strlen(units[unit].name) &&
			    !strncmp(end, units[unit].name, strlen(units[unit].name)))
				break;
		if (unit == sizeof(units) / sizeof(*units))
			return -1;
		total += n * units[unit].ms;
		text = end + strlen(units[unit].name);
	} while (*text);
	if (total < 1 || total > TIMEOUT_MAX)
		return -1;
	*ret = total;
	return 0;
}

static int set_timeout(void *ctx, const struct option_row *row, const char *value, struct st_err *e)
{
	char what[OPTION_TEXT_MAX];

	option_print(row, what);
	if (parse_timeout(value, &((struct istio *)ctx)->probe_timeout))
		return value_refused(e, what, value, "not a time from 1ms to 1h, such as 5s");
	return given(ctx, row);
}

#define AT(member) offsetof(struct istio, member)

const struct option_row istio_options[] = {
	{ "inbound-capture-port", 'z', "PORT", "where inbound TCP goes [15006]", set_policy, 0 },
	{ "inbound-tunnel-port", 'e', "PORT", "left alone inbound and inside the pod [15008]",
	  set_policy, 0 },
	{ "proxy-uid", 'u', "UIDS", "whose sockets are left alone [$ENVOY_USER's, else 1337]",
	  set_uid, 0 },
	{ "proxy-gid", 'g', "GIDS", "the same by group [as the uids]", set_policy, 0 },
	{ "istio-inbound-interception-mode", 'm', "MODE", "REDIRECT or TPROXY [REDIRECT]",
	  set_policy, 0 },
	{ "istio-inbound-ports", 'b', "PORTS", "inbound ports to capture, '*' for all [none]",
	  set_policy, 0 },
	{ "istio-local-exclude-ports", 'd', "PORTS", "left alone with -b '*' [none]", set_policy,
	  0 },
	{ "istio-exclude-interfaces", 'c', "NAMES", "interfaces whose traffic is left alone",
	  set_policy, 0 },
	{ "istio-service-cidr", 'i', "CIDRS", "destinations to capture, '*' for all [none]",
	  set_policy, 0 },
	{ "istio-service-exclude-cidr", 'x', "CIDRS", "destinations to leave alone", set_policy,
	  0 },
	{ "istio-outbound-ports", 'q', "PORTS", "outbound TCP ports to capture in any case",
	  set_policy, 0 },
	{ "istio-local-outbound-ports-exclude", 'o', "PORTS",
	  "outbound ports to leave alone, TCP and UDP", set_policy, 0 },
	{ "kube-virt-interfaces", 'k', "NAMES", "refused: forwarded traffic has no socket",
	  set_policy, 0 },
	{ "istio-inbound-tproxy-mark", 't', "MARK", "with -m TPROXY [1337]", set_policy, 0 },
	{ "istio-inbound-tproxy-route-table", 'r', "TABLE", "with -m TPROXY [133]", set_policy, 0 },
	{ "redirect-dns", 0, NULL,
	  "DNS to the proxy's agent on 15053; also $ISTIO_META_DNS_CAPTURE", set_policy, 0 },
	{ "capture-all-dns", 0, NULL, "any port 53, not only the servers of /etc/resolv.conf",
	  set_policy, 0 },
	{ "dual-stack", 0, NULL,
	  "IPv6 counts though the first address is IPv4; also $ISTIO_DUAL_STACK", set_policy, 0 },
	{ "dry-run", 'n', NULL, "only print what would be set", set_bool, AT(dry_run) },
	{ "skip-rule-apply", 0, NULL, "change nothing, for --run-validation", set_bool,
	  AT(skip_rule_apply) },
	{ "run-validation", 0, NULL, "see that connections are redirected; exit 126 if not",
	  set_bool, AT(run_validation) },
	{ "iptables-probe-port", 0, "PORT", "what the validation dials [15002]", set_probe_port,
	  0 },
	{ "probe-timeout", 0, "TIME", "how long the validation tries [5s]", set_timeout, 0 },
	{ "reconcile", 0, NULL, "replace another policy that is in place, instead of failing",
	  set_bool, AT(reconcile) },
	{ "force-apply", 0, NULL, "apply without looking at what is in place", set_bool,
	  AT(force_apply) },
	{ "cleanup-only", 0, NULL, "stop capturing; no error if nothing is", set_bool,
	  AT(cleanup_only) },
	{ "network-namespace", 0, "FILE", "another namespace than the own one; needs --cgroup",
	  set_text, AT(netns) },
	{ "drop-invalid", 0, NULL,
	  "of no effect: without conntrack nothing is invalid; also $INVALID_DROP", set_policy, 0 },
	{ "cni-mode", 0, NULL, "of no effect: there is no iptables lock", set_bool, AT(ignored) },
	{ "native-nftables", 0, NULL, "of no effect: there are no rules", set_bool, AT(ignored) },
	{ "force-iptables-binary", 0, "NAME", "of no effect: iptables is not run", set_text,
	  AT(ignored_text) },
	{ 0 },
};

/* The first has no variable in Istio either. --log_* are pilot-agent's, and given to it by Istio's
 * injector; the last four are flags of older Istio.
 */
const struct option_row istio_only_flags[] = {
	{ "envoy-port", 'p', "PORT", "where outbound TCP goes [15001]", set_policy, 0 },
	{ "cgroup", 0, "DIR", "the pod's cgroup v2 directory, if it cannot be found", set_some_text,
	  AT(cgroup) },
	{ "name", 0, "NAME", "what to call the pod [the cgroup's last component]", set_some_text,
	  AT(name) },
	{ "log_output_level", 0, "LEVELS", "this and all below: of no effect", set_text,
	  AT(ignored_text) },
	{ "log_as_json", 0, NULL, "", set_bool, AT(ignored) },
	{ "log_caller", 0, "SCOPES", "", set_text, AT(ignored_text) },
	{ "log_stacktrace_level", 0, "LEVELS", "", set_text, AT(ignored_text) },
	{ "log_target", 0, "FILES", "", set_text, AT(ignored_text) },
	{ "restore-format", 'f', NULL, "", set_bool, AT(ignored) },
	{ "iptables-trace-logging", 0, NULL, "", set_bool, AT(ignored) },
	{ "host-nsenter-exec", 0, NULL, "", set_bool, AT(ignored) },
	{ "force-legacy-iptables", 0, NULL, "", set_bool, AT(ignored) },
	{ 0 },
};

const char istio_notes[] =
	"  socktables istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' "
	"-d 15090,15021,15020\n"
	"  socktables istio-iptables --run-validation --skip-rule-apply\n"
	"\n"
	"environment, where the command line leaves something open:\n"
	"  the flag's name in capitals, '_' for '-'; ISTIO_META_DNS_CAPTURE, ISTIO_DUAL_STACK\n"
	"  and INVALID_DROP before that. Only here:\n"
	"  ISTIO_OUTBOUND_OWNER_GROUPS          capture only these owners, at most 64 [*]\n"
	"  ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE  owners to leave alone, if the former is *\n"
	"  ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR    what counts as loopback [127.0.0.1/32]\n"
	"  ENVOY_USER                           whose uid is the proxy's [istio-proxy]\n"
	"\n"
	"The pod is the own network namespace, and of the own cgroup's ancestors the one that\n"
	"kubelet made for a pod: kubepods/[burstable/|besteffort/]pod..., or "
	"*kubepods*-pod*.slice\n"
	"with systemd; the own cgroup if there is none. Where a cgroup namespace hides the "
	"ancestors,\n"
	"the node's cgroup2 tree has to be mounted somewhere in the container. /sys/fs/bpf has to "
	"be\n"
	"the node's.\n"
	"\n"
	"a list may stand in a file, as with attach: -i @FILE\n"
	"exit status: 0 done, 1 failed or wrong usage, 126 validation failed\n";

int istio_init(struct istio *i, struct st_err *e)
{
	*i = (struct istio){ .probe_port = 15002, .probe_timeout = 5000 };
	return config_init_istio(&i->policy, e);
}

void istio_free(struct istio *i)
{
	config_free(&i->policy);
}

/* The variable's name is put before what the flag's setter says. An empty boolean is false, as what
 * Go makes of it.
 */
static int set_from_env(void *ctx, const struct option_row *row, const char *env, const char *value,
			struct st_err *e)
{
	struct st_err why = {};
	int err = row->set(ctx, row, !row->metavar && !*value ? "false" : value, &why);

	if (!err)
		return 0;
	err_set(e, -err, "variable", env, "%s", why.text);
	if (why.hint[0])
		err_hint(e, "%s", why.hint);
	return err;
}

static void env_name(const struct option_row *row, char name[ENV_MAX])
{
	size_t n;

	for (n = 0; n < ENV_MAX - 1 && row->name[n]; n++)
		name[n] = row->name[n] == '-' ? '_' : toupper((unsigned char)row->name[n]);
	name[n] = '\0';
}

struct variable {
	const char *name, *flag;
};

static const char *additional(const struct option_row *row)
{
	static const struct variable more[] = { { "ISTIO_META_DNS_CAPTURE", "redirect-dns" },
						{ "INVALID_DROP", "drop-invalid" },
						{ "ISTIO_DUAL_STACK", "dual-stack" } };
	size_t n;

	for (n = 0; n < sizeof(more) / sizeof(*more); n++)
		if (!strcmp(more[n].flag, row->name))
			return more[n].name;
	return NULL;
}

static int read_flags(struct istio *i, env_getter get, struct st_err *e)
{
	const struct option_row *row;
	const char *value, *more;
	char name[ENV_MAX];
	int err = 0;

	for (row = istio_options; row->name && !err; row++) {
		if (i->given >> (row - istio_options) & 1)
			continue;
		more = additional(row);
		value = more ? get(more) : NULL;
		if (value)
			snprintf(name, sizeof(name), "%s", more);
		else
			env_name(row, name);
		if (value || (value = get(name)))
			err = set_from_env(i, row, name, value, e);
	}
	return err;
}

/* Variables for which Istio has no flag. */
static int read_others(struct istio *i, env_getter get, struct st_err *e)
{
	static const struct variable v[] = {
		{ "ISTIO_OUTBOUND_OWNER_GROUPS", "outbound-owner-groups" },
		{ "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "outbound-owner-groups-exclude" },
		{ "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "ipv4-loopback-cidr" }
	};
	const char *value;
	int err = 0;
	size_t n;

	for (n = 0; n < sizeof(v) / sizeof(*v) && !err; n++) {
		value = get(v[n].name);
		if (value)
			err = set_from_env(&i->policy, options_find(config_options, v[n].flag),
					   v[n].name, value, e);
	}
	return err;
}

/* As Istio: a user that is not known, or a file that cannot be read, leaves it at 1337. */
static int find_uid(struct istio *i, const char *user, const char *passwd, struct st_err *e)
{
	const struct option_row *row = options_find(config_options, "proxy-uid");
	FILE *f = fopen(passwd, "re");
	char text[16] = "1337";
	struct passwd *p;

	while (f && (p = fgetpwent(f)))
		if (!strcmp(p->pw_name, user)) {
			snprintf(text, sizeof(text), "%u", p->pw_uid);
			break;
		}
	if (f)
		fclose(f);
	return row->set(&i->policy, row, text, e);
}

int istio_read_env(struct istio *i, env_getter get, const char *passwd, struct st_err *e)
{
	const char *user = get("ENVOY_USER");
	int err = read_flags(i, get, e);

	err = err ?: read_others(i, get, e);
	if (err || i->uid_given)
		return err;
	return find_uid(i, user ? user : "istio-proxy", passwd, e);
}
