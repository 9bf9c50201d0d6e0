/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* istio-iptables' flags and environment: which of them wins, what each variable is called, what is
 * refused. And which part of a cgroup's path is a pod's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/istio.h"
#include "../../user/own_cgroup.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The environment: NAME=VALUE each. */
static const char *const *environment;

static char *get(const char *name)
{
	const char *const *v;
	size_t n = strlen(name);

	for (v = environment; v && *v; v++)
		if (!strncmp(*v, name, n) && (*v)[n] == '=')
			return (char *)*v + n + 1;
	return NULL;
}

/* One run: the command line's words (up to four), then the environment's. As options_parse(). */
static int run(struct istio *i, const char *const args[4], const char *const *env,
	       const char *passwd, struct st_err *e)
{
	struct option_table tables[] = { { "", istio_options, i }, { "", istio_only_flags, i } };
	char *argv[6] = { "test" }, *copies[4] = {};
	int n, argc = 1;

	*e = (struct st_err){ 0 };
	assert_int_equal(istio_init(i, e), 0);
	for (n = 0; n < 4 && args && args[n]; n++)
		argv[argc++] = copies[n] = strdup(args[n]);
	environment = env;
	n = options_parse("test", tables, 2, argc, argv, e);
	if (n >= 0)
		n = istio_read_env(i, get, passwd, e);
	for (argc = 0; argc < 4; argc++)
		free(copies[argc]);
	return n;
}

static void accept(struct istio *i, const char *const args[4], const char *const *env)
{
	struct st_err e;

	if (run(i, args, env, "/dev/null", &e))
		fail_msg("%s", e.text);
}

#define ARGS(...) ((const char *const[4]){ __VA_ARGS__ })
#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_defaults(void **state)
{
	struct istio i;

	(void)state;
	accept(&i, NULL, NULL);
	assert_int_equal(i.policy.outbound_port, 15001);
	assert_int_equal(i.policy.inbound_port, 15006);
	assert_int_equal(i.policy.tunnel_port, 15008);
	assert_int_equal(i.policy.uids.nr, 1);
	assert_int_equal(i.policy.uids.v[0], 1337);
	assert_int_equal(i.policy.gids.nr, 0);
	assert_false(i.policy.include.all || i.policy.in_include.all || i.policy.redirect_dns);
	assert_int_equal(i.probe_port, 15002);
	assert_int_equal(i.probe_timeout, 5000);
	assert_false(i.dry_run || i.skip_rule_apply || i.run_validation || i.reconcile ||
		     i.force_apply || i.cleanup_only);
	istio_free(&i);
}

/* One flag in every place that can set it. */
static void test_precedence(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[4];
		__u16 want;
	} rows[] = {
		{ { NULL }, { NULL }, 15006 },
		{ { NULL }, { "INBOUND_CAPTURE_PORT=2" }, 2 },
		{ { "-z", "1" }, { NULL }, 1 },
		{ { "-z", "1" }, { "INBOUND_CAPTURE_PORT=2" }, 1 },
		{ { "--inbound-capture-port=1" }, { "INBOUND_CAPTURE_PORT=2" }, 1 },
		{ { "-z", "1", "-z", "3" }, { "INBOUND_CAPTURE_PORT=2" }, 3 },
		{ { "-z", "15006" }, { "INBOUND_CAPTURE_PORT=2" }, 15006 },
		{ { "-z", "1" }, { "INBOUND_CAPTURE_PORT=no number" }, 1 },
		{ { NULL }, { "inbound_capture_port=2", "INBOUND-CAPTURE-PORT=2" }, 15006 },
	};
	struct istio i;
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++) {
		accept(&i, rows[n].args, rows[n].env);
		assert_int_equal(i.policy.inbound_port, rows[n].want);
		istio_free(&i);
	}
}

/* The additional variable comes before the flag's own, whatever it says. */
static void test_additional(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[4];
		int dns;
	} rows[] = {
		{ { NULL }, { "REDIRECT_DNS=true" }, 1 },
		{ { NULL }, { "ISTIO_META_DNS_CAPTURE=true" }, 1 },
		{ { NULL }, { "REDIRECT_DNS=true", "ISTIO_META_DNS_CAPTURE=false" }, 0 },
		{ { NULL }, { "REDIRECT_DNS=false", "ISTIO_META_DNS_CAPTURE=1" }, 1 },
		{ { NULL }, { "REDIRECT_DNS=true", "ISTIO_META_DNS_CAPTURE=" }, 0 },
		{ { NULL }, { "REDIRECT_DNS=" }, 0 },
		{ { "--redirect-dns" }, { "ISTIO_META_DNS_CAPTURE=false" }, 1 },
		{ { "--redirect-dns=false" }, { "ISTIO_META_DNS_CAPTURE=true" }, 0 },
		{ { "--redirect-dns=false" }, { "REDIRECT_DNS=true" }, 0 },
	};
	struct istio i;
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++) {
		accept(&i, rows[n].args, rows[n].env);
		assert_int_equal(i.policy.redirect_dns, rows[n].dns);
		istio_free(&i);
	}
	accept(&i, NULL,
	       ENV("DROP_INVALID=false", "INVALID_DROP=true", "DUAL_STACK=false",
		   "ISTIO_DUAL_STACK=true"));
	assert_true(i.policy.drop_invalid && i.policy.dual_stack);
	istio_free(&i);
}

static void test_lists(void **state)
{
	struct istio i;

	(void)state;
	accept(&i, ARGS("-b", ""), ENV("ISTIO_INBOUND_PORTS=80", "ISTIO_SERVICE_CIDR="));
	assert_int_equal(i.policy.in_include.nr, 0);
	assert_false(i.policy.in_include.all || i.policy.include.all);
	istio_free(&i);
	accept(&i, ARGS("-i", "*"), ENV("ISTIO_INBOUND_PORTS=80,,443", "ISTIO_SERVICE_CIDR="));
	assert_int_equal(i.policy.in_include.nr, 2);
	assert_true(i.policy.include.all);
	istio_free(&i);
	accept(&i, NULL, ENV("ISTIO_OUTBOUND_OWNER_GROUPS=java,202"));
	assert_int_equal(i.policy.groups.nr, 2);
	assert_false(i.policy.groups.all);
	istio_free(&i);
	accept(&i, NULL, ENV("ISTIO_OUTBOUND_OWNER_GROUPS="));
	assert_int_equal(i.policy.groups.nr, 0);
	assert_false(i.policy.groups.all);
	istio_free(&i);
	accept(&i, NULL,
	       ENV("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=ftp",
		   "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8"));
	assert_int_equal(i.policy.groups_exclude.nr, 1);
	assert_int_equal(i.policy.loopback.len, 96 + 8);
	istio_free(&i);
}

/* No variable of Istio's, or none that it reads. */
static void test_not_read(void **state)
{
	struct istio i;

	(void)state;
	accept(&i, NULL,
	       ENV("ENVOY_PORT=1", "INBOUND_INTERCEPTION_MODE=TPROXY", "INBOUND_TPROXY_MARK=1",
		   "CGROUP=/x", "NAME=x", "IPV6=on", "DNS_SERVERS=1.2.3.4", "LOG_AS_JSON=x"));
	assert_int_equal(i.policy.outbound_port, 15001);
	assert_null(i.cgroup);
	assert_null(i.name);
	assert_int_equal(i.policy.ipv6, IPV6_AUTO);
	assert_int_equal(i.policy.tproxy_mark, 1337);
	istio_free(&i);
}

static void test_proxy_uid(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[4];
		__u32 uid;
	} rows[] = {
		{ { NULL }, { NULL }, 1338 }, /* the file's istio-proxy */
		{ { NULL }, { "ENVOY_USER=envoy" }, 101 },
		{ { NULL }, { "ENVOY_USER=env" }, 1337 },
		{ { NULL }, { "ENVOY_USER=" }, 1337 },
		{ { NULL }, { "ENVOY_USER=envoy", "PROXY_UID=5" }, 5 },
		{ { NULL }, { "ENVOY_USER=envoy", "PROXY_UID=" }, 101 },
		{ { "-u", "6" }, { "ENVOY_USER=envoy", "PROXY_UID=5" }, 6 },
		{ { "-u", "" }, { "ENVOY_USER=envoy", "PROXY_UID=5" }, 101 },
		{ { "-u", "6", "-u", "" }, { "PROXY_UID=5" }, 1338 },
		{ { "-u", "", "-u", "6" }, { "PROXY_UID=5" }, 6 },
	};
	char passwd[] = "/tmp/istio_env_test.XXXXXX";
	FILE *f = fdopen(mkstemp(passwd), "w");
	struct st_err e;
	struct istio i;
	size_t n;

	(void)state;
	fputs("root:x:0:0::/:\nistio-proxy:x:1338:7::/:\nenvoy:x:101:7::/:\n", f);
	fclose(f);
	for (n = 0; n < SIZE(rows); n++) {
		assert_int_equal(run(&i, rows[n].args, rows[n].env, passwd, &e), 0);
		assert_int_equal(i.policy.uids.v[0], rows[n].uid);
		assert_int_equal(i.policy.uids.nr, 1);
		istio_free(&i);
	}
	unlink(passwd);
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		__u32 ms; /* 0: refused */
	} rows[] = {
		{ "5s", 5000 },
		{ "300ms", 300 },
		{ "1m30s", 90000 },
		{ "1.5s", 1500 },
		{ ".5s", 500 },
		{ "1h", 3600000 },
		{ "2000us", 2 },
		{ "2000\xc2\xb5s", 2 },
		{ "5", 0 },
		{ "", 0 },
		{ "s", 0 },
		{ "0s", 0 },
		{ "-5s", 0 },
		{ "5 s", 0 },
		{ "5sec", 0 },
		{ "1e3s", 0 },
		{ "0x10s", 0 },
		{ "1.2.3s", 0 },
		{ "2h", 0 },
		{ "5s ", 0 },
		{ "99999999999999999999s", 0 },
	};
	char variable[64];
	struct st_err e;
	struct istio i;
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++) {
		snprintf(variable, sizeof(variable), "PROBE_TIMEOUT=%s", rows[n].text);
		assert_int_equal(run(&i, NULL, ENV(variable), "/dev/null", &e),
				 rows[n].ms ? 0 : -EINVAL);
		if (rows[n].ms)
			assert_int_equal(i.probe_timeout, rows[n].ms);
		istio_free(&i);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *variable, *text;
	} rows[] = {
		{ "ISTIO_INBOUND_PORTS=80,x",
		  "variable 'ISTIO_INBOUND_PORTS': -b/--istio-inbound-ports 'x': not a port: a "
		  "number from 1 to 65535" },
		{ "INBOUND_TUNNEL_PORT=",
		  "variable 'INBOUND_TUNNEL_PORT': -e/--inbound-tunnel-port '': not a port: a "
		  "number from 1 to 65535" },
		{ "ISTIO_META_DNS_CAPTURE=yes",
		  "variable 'ISTIO_META_DNS_CAPTURE': --redirect-dns 'yes': neither true nor "
		  "false" },
		{ "DRY_RUN=maybe", "variable 'DRY_RUN': -n/--dry-run 'maybe': neither true nor "
				   "false" },
		{ "PROXY_UID=,", "variable 'PROXY_UID': -u/--proxy-uid ',': without one the proxy "
				 "would be sent to itself" },
		{ "KUBE_VIRT_INTERFACES=net1",
		  "variable 'KUBE_VIRT_INTERFACES': -k/--kube-virt-interfaces 'net1': forwarded "
		  "traffic has no socket that could be redirected" },
		{ "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=",
		  "variable 'ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR': --ipv4-loopback-cidr '': not an "
		  "IPv4 or IPv6 address" },
		{ "IPTABLES_PROBE_PORT=0",
		  "variable 'IPTABLES_PROBE_PORT': --iptables-probe-port '0': not a port: a "
		  "number from 1 to 65535" },
	};
	struct st_err e;
	struct istio i;
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++) {
		assert_int_equal(run(&i, NULL, ENV(rows[n].variable), "/dev/null", &e), -EINVAL);
		assert_string_equal(e.text, rows[n].text);
		istio_free(&i);
	}
}

/* A flag is called the same here and in attach. */
static void test_names(void **state)
{
	const struct option_row *rows[] = { istio_options, istio_only_flags }, *row, *of_attach;
	int common = 0, all = 0;
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++)
		for (row = rows[n]; row->name; row++) {
			of_attach = options_find(config_options, row->name);
			all++;
			if (!of_attach)
				continue;
			common++;
			assert_int_equal(row->letter, of_attach->letter);
			assert_int_equal(!row->metavar, !of_attach->metavar);
		}
	assert_int_equal(common, 20); /* all but what istio-iptables has no flag for */
	assert_true(all <= 64);
}

static void test_pod_prefix(void **state)
{
	static const struct {
		const char *pod, *rest;
	} rows[] = {
		{ "/kubepods/pod1-2", "/abc" },
		{ "/kubepods/burstable/pod1-2", "/abc" },
		{ "/kubepods/besteffort/pod1-2", "" },
		{ "/kubelet/kubepods/besteffort/pod1-2", "/abc/def" },
		{ "/sys/fs/cgroup/kubepods/pod1", "/x" },
		{ "/kubepods.slice/kubepods-pod1_2.slice", "/cri-containerd-x.scope" },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
		  "/crio-x.scope/container" },
		{ "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice", "/x.scope" },
		{ "/kubepods/podouter/x/kubelet/kubepods/podinner", "/x" },
		{ "/kubepods/pod1", "/abc/pods/burstable/podlike" },
		{ "", "/" },
		{ "", "" },
		{ "", "/user.slice/session-1.scope" },
		{ "", "/machine/pod1/abc" },
		{ "", "/kubepods" },
		{ "", "/kubepods/burstable/pod" },
		{ "", "/kubepods.slice/kubepods-burstable.slice/x.scope" },
		{ "", "/libpod_parent/libpod-abc" },
		{ "", "/burstable/pod1" },
	};
	char path[256];
	size_t n;

	(void)state;
	for (n = 0; n < SIZE(rows); n++) {
		snprintf(path, sizeof(path), "%s%s", rows[n].pod, rows[n].rest);
		assert_int_equal(cgroup_pod_prefix(path), strlen(rows[n].pod));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_additional), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_not_read),   cmocka_unit_test(test_proxy_uid),
		cmocka_unit_test(test_timeouts),   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_pod_prefix),
	};

	return cmocka_run_group_tests_name("istio-iptables' flags and environment", tests, NULL,
					   NULL) != 0;
}
