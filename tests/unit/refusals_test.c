/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every refusal of a policy flag, with its words. One test each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "flags.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define NO_PORT "not a port: a number from 1 to 65535"
#define NO_ID "not an id: a number from 0 to 4294967294"
#define NO_ADDR "not an IPv4 or IPv6 address"
#define NO_LEN4 "the prefix length is not a number from 0 to 32"
#define NO_LEN6 "the prefix length is not a number from 0 to 128"
#define NO_LOOPBACK "not an IPv4 loopback CIDR, /8 to /32"
#define NO_GROUP "neither a gid nor a group's name"
#define NO_STAR "'*' cannot be excluded; -i '' captures no destination"
#define STAR_ALONE "'*' is everything: give it alone"

static const struct refusal {
	const char *flag, *value;
	const char *text;  /* up to the first quote */
	const char *which; /* NULL: the value */
	const char *why;
} refusals[] = {
	{ "-p", "", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "0", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "65536", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "70000", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "4294967376", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "18446744073709551696", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "-80", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "+80", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", " 80", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "80 ", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "080", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "0x50", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "80x", "-p/--envoy-port", NULL, NO_PORT },
	{ "-p", "80,81", "-p/--envoy-port", NULL, NO_PORT },
	{ "-z", "x", "-z/--inbound-capture-port", NULL, NO_PORT },
	{ "-e", "x", "-e/--inbound-tunnel-port", NULL, NO_PORT },
	{ "-b", "80,x", "-b/--istio-inbound-ports", "x", NO_PORT },
	{ "-b", "80, 81", "-b/--istio-inbound-ports", " 81", NO_PORT },
	{ "-b", "8000:8010", "-b/--istio-inbound-ports", NULL, NO_PORT },
	{ "-b", "*,80", "-b/--istio-inbound-ports", NULL, STAR_ALONE },
	{ "-b", "80,*", "-b/--istio-inbound-ports", NULL, STAR_ALONE },
	{ "-b", "**", "-b/--istio-inbound-ports", NULL, NO_PORT },
	{ "-d", "*", "-d/--istio-local-exclude-ports", NULL, NO_PORT },
	{ "-q", "*", "-q/--istio-outbound-ports", NULL, NO_PORT },
	{ "-o", "80,0,90", "-o/--istio-local-outbound-ports-exclude", "0", NO_PORT },
	{ "-u", "", "-u/--proxy-uid", NULL, "without one the proxy would be sent to itself" },
	{ "-u", ",,", "-u/--proxy-uid", NULL, "without one the proxy would be sent to itself" },
	{ "-u", "envoy", "-u/--proxy-uid", NULL, NO_ID },
	{ "-u", "1337,4294967295", "-u/--proxy-uid", "4294967295", NO_ID },
	{ "-u", "-1", "-u/--proxy-uid", NULL, NO_ID },
	{ "-g", "1337,99999999999", "-g/--proxy-gid", "99999999999", NO_ID },
	{ "-i", "10.0.0.0/33", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "10.0.0.0/", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "10.0.0.0/8/8", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "10.0.0.0/-1", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "10.0.0.0/08", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "10.0.0.0/255.0.0.0", "-i/--istio-service-cidr", NULL, NO_LEN4 },
	{ "-i", "fd00::/129", "-i/--istio-service-cidr", NULL, NO_LEN6 },
	{ "-i", "10.0.0/8", "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "10.0.0.256/8", "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "010.0.0.0/8", "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "/8", "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "fd00::%eth0/64", "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "1.2.3.4,example.com", "-i/--istio-service-cidr", "example.com", NO_ADDR },
	{ "-i", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/8",
	  "-i/--istio-service-cidr", NULL, NO_ADDR },
	{ "-i", "::ffff:10.0.0.0/104", "-i/--istio-service-cidr", NULL,
	  "IPv4 inside IPv6: write it as plain IPv4" },
	{ "-i", "*,10.0.0.0/8", "-i/--istio-service-cidr", NULL, STAR_ALONE },
	{ "-x", "*", "-x/--istio-service-exclude-cidr", NULL, NO_STAR },
	{ "-x", "10.0.0.0/8,*", "-x/--istio-service-exclude-cidr", "*", NO_STAR },
	{ "-x", "x", "-x/--istio-service-exclude-cidr", NULL, NO_ADDR },
	{ "-c", "net/1", "-c/--istio-exclude-interfaces", NULL, "not an interface's name" },
	{ "-c", "net1,*", "-c/--istio-exclude-interfaces", "*", "not an interface's name" },
	{ "-c", "abcdefghijklmnop", "-c/--istio-exclude-interfaces", NULL,
	  "longer than an interface's name can be: 15 characters" },
	{ "-k", "k6t-eth0", "-k/--kube-virt-interfaces", NULL,
	  "forwarded traffic has no socket that could be redirected" },
	{ "-m", "NONE", "-m/--istio-inbound-interception-mode", NULL,
	  "nothing would be captured: do not attach this pod" },
	{ "-m", "redirect", "-m/--istio-inbound-interception-mode", NULL,
	  "not an interception mode: REDIRECT or TPROXY" },
	{ "-t", "x", "-t/--istio-inbound-tproxy-mark", NULL, "not a number from 0 to 4294967295" },
	{ "-r", "4294967296", "-r/--istio-inbound-tproxy-route-table", NULL,
	  "not a number from 0 to 4294967295" },
	{ "--redirect-dns=", NULL, "--redirect-dns", "", "neither true nor false" },
	{ "--redirect-dns=yes", NULL, "--redirect-dns", "yes", "neither true nor false" },
	{ "--capture-all-dns=2", NULL, "--capture-all-dns", "2", "neither true nor false" },
	{ "--drop-invalid=x", NULL, "--drop-invalid", "x", "neither true nor false" },
	{ "--dual-stack=x", NULL, "--dual-stack", "x", "neither true nor false" },
	{ "--outbound-owner-groups", "*,java", "--outbound-owner-groups", NULL, STAR_ALONE },
	{ "--outbound-owner-groups", "4294967295", "--outbound-owner-groups", NULL, NO_ID },
	{ "--outbound-owner-groups", "a b", "--outbound-owner-groups", NULL, NO_GROUP },
	{ "--outbound-owner-groups-exclude", "*", "--outbound-owner-groups-exclude", NULL,
	  NO_GROUP },
	{ "--outbound-owner-groups-exclude", "java,-1", "--outbound-owner-groups-exclude", "-1",
	  NO_GROUP },
	{ "--ipv4-loopback-cidr", "", "--ipv4-loopback-cidr", NULL, NO_ADDR },
	{ "--ipv4-loopback-cidr", "127.0.0.0/7", "--ipv4-loopback-cidr", NULL, NO_LOOPBACK },
	{ "--ipv4-loopback-cidr", "128.0.0.1/32", "--ipv4-loopback-cidr", NULL, NO_LOOPBACK },
	{ "--ipv4-loopback-cidr", "::1/128", "--ipv4-loopback-cidr", NULL, NO_LOOPBACK },
	{ "--ipv6=maybe", NULL, "--ipv6", "maybe", "not auto, on or off" },
	{ "--udp-dns=", NULL, "--udp-dns", "", "not first, beside or last" },
	{ "--dns-servers", "10.0.0.1,10.0.0.0/8", "--dns-servers", "10.0.0.0/8", NO_ADDR },
	{ "--dns-servers", "fe80::1%eth0", "--dns-servers", NULL, NO_ADDR },
	{ "--resolv-conf", "", "--resolv-conf", NULL, "not a file's path" },
};

static void one_refusal(void **state)
{
	const struct refusal *r = *state;
	char want[1024];
	struct st_err e;
	struct config c;

	assert_int_equal(flags_parse(&c, r->flag, r->value, &e), -EINVAL);
	snprintf(want, sizeof(want), "%s '%s': %s", r->text, r->which ? r->which : r->value,
		 r->why);
	assert_string_equal(e.text, want);
	assert_true(e.hint[0]);
	config_free(&c);
}

static void test_long_value(void **state)
{
	char value[5000], want[200];
	struct st_err e;
	struct config c;

	(void)state;
	memset(value, '1', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(flags_parse(&c, "-b", value, &e), -EINVAL);
	snprintf(want, sizeof(want), "-b/--istio-inbound-ports '%.120s...': %s", value, NO_PORT);
	assert_string_equal(e.text, want);
	config_free(&c);
}

int main(void)
{
	struct CMUnitTest tests[SIZE(refusals) + 1];
	char names[SIZE(refusals)][160];
	size_t i;

	for (i = 0; i < SIZE(refusals); i++) {
		snprintf(names[i], sizeof(names[i]), "refuses %s %s", refusals[i].flag,
			 refusals[i].value ? refusals[i].value : "");
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = one_refusal,
						.initial_state = (void *)&refusals[i] };
	}
	tests[i] = (struct CMUnitTest)cmocka_unit_test(test_long_value);
	return cmocka_run_group_tests_name("refusals", tests, NULL, NULL) != 0;
}
