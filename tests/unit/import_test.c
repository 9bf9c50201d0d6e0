/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules of pods to policy flags. Each file of tests/import says in its first line what it has to
 * come to: "# flags: ..." or "# refused: line N 'rule': why". Refusals that are one line away from
 * one of these files stand in the table below.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/import.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define TESTS_MAX 400

static const char *dir = "tests/import";

static char *read_file(const char *name)
{
	char path[512], *text;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	text = calloc(1, 65536);
	n = fread(text, 1, 65535, f);
	assert_in_range(n, 1, 65534);
	fclose(f);
	return text;
}

/* What import prints, or the error, for text of n bytes. To be freed. */
static char *import_bytes(const char *text, size_t n)
{
	FILE *in = fmemopen((void *)text, n ?: 1, "r"), *out;
	struct st_err e = { 0 };
	struct import i;
	char *printed;
	size_t size;

	if (!n)
		assert_int_equal(fgetc(in), '\0');
	out = open_memstream(&printed, &size);
	if (import_read(in, &i, &e)) {
		assert_true(e.text[0]);
		assert_null(strpbrk(e.text, "\n\r"));
		fprintf(out, "refused: %s", e.text);
	} else {
		fprintf(out, "flags: ");
		import_print(out, &i);
	}
	import_free(&i);
	fclose(in);
	fclose(out);
	printed[strcspn(printed, "\n")] = '\0';
	return printed;
}

static char *import_text(const char *text)
{
	return import_bytes(text, strlen(text));
}

static void one_file(void **state)
{
	char *text = read_file(*state), *want = strndup(text, strcspn(text, "\n")), *got;

	got = import_text(text);
	assert_string_equal(got, want + 2);
	free(got);
	free(want);
	free(text);
}

/* Lines may end as on other systems. */
static void test_carriage_returns(void **state)
{
	char *text = read_file("seed.rules"), *crlf = calloc(2, strlen(text) + 1), *to = crlf, *got;
	const char *c;

	(void)state;
	for (c = text; *c; c++) {
		if (*c == '\n')
			*to++ = '\r';
		*to++ = *c;
	}
	got = import_text(crlf);
	assert_string_equal(got, "flags: ");
	free(got);
	free(crlf);
	free(text);
}

#define NOT_THERE "cannot be expressed: Istio has no such rule there"
#define FORWARDED                                                                          \
	"an interface of virtual machines: forwarded traffic has no socket that could be " \
	"redirected"
#define NO_PORT "is not a port: a number from 1 to 65535"
#define NO_ID "is not an id: a number from 0 to 4294967294"

static const struct refusal {
	const char *file;
	const char *find; /* the first line that has this in it ... */
	const char *put;  /* ... is replaced by these ('&': itself), or dropped if NULL */
	const char *at;	  /* what is in the line that is named; NULL: the first of put */
	const char *why;
} refusals[] = {
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n",
	  "-A OUTPUT -d 10.0.0.1/32 -p tcp -j DNAT --to-destination 10.0.0.2\n&", NULL,
	  "cannot be expressed: '--to-destination' is not known here" },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n",
	  "-A OUTPUT -d 10.0.0.1/32 -p tcp -j REDIRECT --to-ports 8080\n&", NULL,
	  "cannot be expressed: Istio has '-A OUTPUT -j ISTIO_OUTPUT' in its place" },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n", "&\n-A OUTPUT -p udp -j REDIRECT",
	  "-p udp -j REDIRECT", NOT_THERE },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n", "-A OUTPUT -g ISTIO_OUTPUT", NULL,
	  "cannot be expressed: Istio has '-A OUTPUT -j ISTIO_OUTPUT' in its place" },
	{ "cni-1.25.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND",
	  "-A PREROUTING -i k6t-eth0 -j ISTIO_REDIRECT\n-A PREROUTING -i k6t-eth0 -j RETURN\n&",
	  NULL, FORWARDED },
	{ "cni-1.25.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND",
	  "-A PREROUTING -d 10.0.0.0/8 -i k6t-eth0 -j ISTIO_REDIRECT\n&", NULL, FORWARDED },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN", NULL,
	  "! --dport 15008 -m owner --gid-owner 1337",
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN' in "
	  "its "
	  "place" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN",
	  "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n&", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -s 127.0.0.6 -o lo -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
	  "&\n-A ISTIO_OUTPUT -p tcp -m tcp --dport 80 -j RETURN", "--dport 80", NOT_THERE },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN", NULL,
	  "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -d 127.0.0.1 -j RETURN' in its place" },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT", NULL, "table nat",
	  "IPv4: '-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001' is missing" },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT",
	  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001-15010", NULL,
	  "cannot be expressed: '--to-ports 15001-15010' " NO_PORT },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT",
	  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001 --random", NULL,
	  "cannot be expressed: '--random' is not known here" },
	{ "cni-1.25.rules", "--dport 15021 -j RETURN",
	  "-A ISTIO_INBOUND -p tcp -m tcp --dport 8000:8010 -j RETURN", NULL,
	  "cannot be expressed: '--dport 8000:8010' " NO_PORT },
	{ "cni-1.25.rules", "--dport 15021 -j RETURN",
	  "-A ISTIO_INBOUND -s 10.0.0.0/8 -p tcp -m tcp --dport 15021 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "--dport 15008 -j RETURN",
	  "-A ISTIO_INBOUND -p tcp -m tcp --dport 15009 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN' in its "
	  "place" },
	{ "cni-1.12.rules", "--dport 15008 -j RETURN", NULL, "--dport 22 -j RETURN",
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "! --uid-owner 1337 -j RETURN",
	  "-A ISTIO_OUTPUT -o lo -p tcp -m tcp ! --dport 53 -m owner ! --uid-owner 1337-1338 -j "
	  "RETURN",
	  NULL, "cannot be expressed: '--uid-owner 1337-1338' " NO_ID },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d 10.0.0.0/8 -m set --match-set mesh dst -j RETURN", "--match-set",
	  "cannot be expressed: 'set' is a match that is not known here" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -m addrtype --dst-type LOCAL -j RETURN", "addrtype",
	  "cannot be expressed: 'addrtype' is a match that is not known here" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32", "&\n-A ISTIO_OUTPUT -d ! -j RETURN",
	  "-d ! -j", "cannot be expressed: '-d -j' is not an IPv4 or IPv6 address" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT ! -d 0.0.0.0/0 -j RETURN", "! -d 0.0.0.0/0",
	  "cannot be expressed: '-d 0.0.0.0/0' is negated, and so matches nothing" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d 10.0.0.1 -d 10.0.0.2 -j RETURN", "-d 10.0.0.1 -d",
	  "cannot be expressed: '-d 10.0.0.2' is there twice" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d fd00::/8 -j RETURN",
	  "fd00::", "an IPv6 address in a table of IPv4" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -o a,b -j RETURN", "a,b",
	  "cannot be expressed: '-o a,b' is not an interface's name that a list can hold" },
	{ "cni-1.25.rules", "--dport 53 -j CT --zone 2", NULL, "--sport 15053 -m owner --gid-owner",
	  "Istio has '-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j CT --zone 2' behind it, which is "
	  "missing" },
	{ "cni-1.25.rules", "--dport 53 -j CT --zone 2", "-A OUTPUT -p udp -j CT --notrack", NULL,
	  "cannot be expressed: '--notrack' is not known here" },
	{ "cni-1.25.rules", "*raw", "*mangle\n-A FORWARD -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n&",
	  "TCPMSS", "cannot be expressed: '--clamp-mss-to-pmtu' is not known here" },
	{ "cni-1.25.rules", "*raw", "*mangle\n-A OUTPUT -j MARK --set-mark 1\nCOMMIT\n&", "MARK",
	  NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n&", "table nat",
	  "there twice for IPv4, the second time from line 22 on" },
	{ "cni-1.25.rules", ":POSTROUTING", "&\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE",
	  "MASQUERADE", NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*filter\n-A INPUT -p tcp -j DROP\nCOMMIT\n&", "DROP",
	  NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*filter\n-A INPUT -m bpf --bytecode 1 -j DROP\nCOMMIT\n&",
	  "bpf", "cannot be expressed: 'bpf' is a match that is not known here" },
	{ "cni-1.25.rules", "*raw", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n&", ":FORWARD DROP",
	  "cannot be expressed: Istio's policies are ACCEPT" },
	{ "listed.rules", "-P FORWARD ACCEPT", "-P FORWARD DROP", NULL,
	  "cannot be expressed: Istio's policies are ACCEPT" },
	{ "listed-nat.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND", NULL, "table nat",
	  "IPv4: '-A PREROUTING -p tcp -j ISTIO_INBOUND' is missing" },
	{ "listed-nat.rules", "-P PREROUTING ACCEPT", NULL, "-N ISTIO_INBOUND",
	  "the lines before it do not tell its table" },
	{ "cni-1.25.rules", "*raw", "*broute", NULL, "not a table of iptables" },
	{ "cni-1.25.rules", "*nat", "nat:", NULL, "not a line of iptables-save or iptables -S" },
	{ "cni-1.25.rules", "*raw", "# Table `nat' is incompatible, use 'nft' tool.\n&", NULL,
	  "there are rules that iptables cannot show" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "-A ISTIO_OUTPUT -m comment --comment \"open -d 127.0.0.1/32 -j RETURN", NULL,
	  "a quote is left open" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32", "--append", NULL, "names no chain" },
	{ "groups-only.rules", "! --gid-owner 203 -m owner ! --gid-owner 1000 -j RETURN",
	  "-A ISTIO_OUTPUT -m owner ! --gid-owner 202 -m owner --gid-owner 203 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -m owner ! --gid-owner 202 -m owner ! "
	  "--gid-owner 203 -j RETURN' in its place" },
	{ "cni-1.30-dual.rules", "! -d ::1/128 -o lo -p tcp -m tcp ! --dport 15008",
	  "-A ISTIO_OUTPUT ! -d ::1/128 -o lo -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT ! -d ::1 -o lo -p tcp ! --dport 15008 "
	  "-m "
	  "owner --gid-owner 1337 -j ISTIO_IN_REDIRECT' in its place" },
	{ "tproxy-1.30-dns.rules", "-j MARK --set-xmark 0x53a/0xffffffff",
	  "-A OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 0 -j MARK --set-xmark "
	  "0x53a/0xff",
	  NULL, "cannot be expressed: '--set-xmark 0x53a/0xff' is a mark with a mask" },
	{ "tproxy-1.30-dns.rules", "-A ISTIO_INBOUND -s 127.0.0.6/32", NULL, "! --mark 0x53a",
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -s 127.0.0.6 -i lo -p tcp -j RETURN' "
	  "in its "
	  "place" },
	{ "cni-1.25.rules", "! -d 127.0.0.1/32 -o lo -p tcp -m multiport",
	  "-A ISTIO_OUTPUT ! -d 10.0.0.0/8 -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
	  NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT ! -d 127.0.0.1 -o lo -p tcp -m "
	  "multiport "
	  "! --dports 53,15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT' in its place" },
	{ "interfaces.rules", "-A PREROUTING -i net1 -j RETURN", NULL, "-A PREROUTING -i eth+",
	  FORWARDED },
};

/* The text with one line changed, to be freed. */
static char *edit(const char *text, const struct refusal *r)
{
	const char *at = strstr(text, r->find), *start = at, *end, *put;
	char *edited;
	size_t size;
	FILE *f = open_memstream(&edited, &size);

	if (!at)
		fail_msg("%s: no '%s'", r->file, r->find);
	while (start > text && start[-1] != '\n')
		start--;
	end = at + strcspn(at, "\n");
	fwrite(text, 1, start - text, f);
	for (put = r->put ?: ""; *put; put++)
		if (*put == '&')
			fwrite(start, 1, end - start, f);
		else
			putc(*put, f);
	fputs(r->put ? end : end + 1, f);
	fclose(f);
	return edited;
}

/* "line N 'text'" of the first line with find in it, or "table 'name'". */
static void name_place(const char *text, const char *find, char *ret, size_t size)
{
	const char *at, *c, *start = text;
	int line = 1;

	if (!strncmp(find, "table ", 6)) {
		snprintf(ret, size, "table '%s'", find + 6);
		return;
	}
	at = strstr(text, find);
	if (!at)
		fail_msg("no '%s'", find);
	for (c = text; c < at; c++) {
		if (*c == '\n') {
			line++;
			start = c + 1;
		}
	}
	snprintf(ret, size, "line %d '%.*s'", line, (int)strcspn(start, "\n"), start);
}

static void one_refusal(void **state)
{
	const struct refusal *r = *state;
	char *text = read_file(r->file), *edited = edit(text, r), *got, *first;
	char place[400], want[1000];

	first = strndup(r->put ?: "", strcspn(r->put ?: "", "\n"));
	name_place(edited, r->at ?: first, place, sizeof(place));
	snprintf(want, sizeof(want), "refused: %s: %s", place, r->why);
	got = import_text(edited);
	assert_string_equal(got, want);
	free(first);
	free(got);
	free(edited);
	free(text);
}

#define NO_ISTIO \
	"refused: table 'nat': no chain ISTIO_OUTPUT of IPv4: not the rules of an Istio sidecar"

static void test_nothing(void **state)
{
	static const char *const texts[] = {
		"", "\n\n# only words\n", "*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
		"-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A INPUT -j DROP\n",
		"# Generated by ip6tables-save v1.8.9\n*nat\n-A ISTIO_OUTPUT -j RETURN\nCOMMIT\n"
	};
	char *got;
	size_t i;

	(void)state;
	for (i = 0; i < SIZE(texts); i++) {
		got = import_text(texts[i]);
		assert_string_equal(got, NO_ISTIO);
		free(got);
	}
}

static void test_cut_off(void **state)
{
	char *text = read_file("cni-1.25.rules"), *got;

	(void)state;
	*strrchr(text, 'C') = '\0';
	got = import_text(text);
	assert_string_equal(got,
			    "refused: line 19: no COMMIT behind this table: the text was cut off");
	free(got);
	free(text);
}

static void test_nul(void **state)
{
	static const char text[] = "*nat\n-A OUTPUT -j RETURN\0 -s 1.2.3.4\nCOMMIT\n";
	char *got = import_bytes(text, sizeof(text) - 1);

	(void)state;
	assert_string_equal(got, "refused: line 2 '-A OUTPUT -j RETURN': a NUL byte is in it");
	free(got);
}

/* 64 owner groups are what one rule of Istio's takes. */
static void test_many_groups(void **state)
{
	struct refusal r = { "groups-only.rules", "! --gid-owner 203", NULL, NULL, NULL };
	char *text = read_file(r.file), *edited, *got, *rule, *end;
	int i;

	(void)state;
	rule = malloc(65 * 32);
	end = rule + sprintf(rule, "-A ISTIO_OUTPUT");
	for (i = 0; i < 64; i++)
		end += sprintf(end, " -m owner ! --gid-owner %d", 100 + i);
	strcpy(end, " -j RETURN");
	r.put = rule;
	edited = edit(text, &r);
	got = import_text(edited);
	assert_non_null(strstr(got, "--outbound-owner-groups=100,101,"));
	free(edited);
	free(got);
	strcpy(end, " -m owner ! --gid-owner 99 -j RETURN");
	edited = edit(text, &r);
	got = import_text(edited);
	assert_non_null(
		strstr(got, "refused: line 46 '-A ISTIO_OUTPUT -m owner ! --gid-owner 100"));
	free(got);
	free(edited);
	free(rule);
	free(text);
}

/* As many as a policy may have: each is a rule. */
static void test_many_cidrs(void **state)
{
	char *text = read_file("cni-1.25.rules"), *put, *end, *edited, *got;
	struct refusal r = { "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32", NULL, NULL,
			     NULL };
	int i;

	(void)state;
	put = malloc(10001 * 50);
	end = put + sprintf(put, "&");
	for (i = 0; i < 10000; i++)
		end += sprintf(end, "\n-A ISTIO_OUTPUT -d 10.1.%d.%d/32 -j RETURN", i >> 8,
			       i & 255);
	r.put = put;
	edited = edit(text, &r);
	got = import_text(edited);
	assert_non_null(strstr(got, "flags: -e 15008 -d 15020,15021,15090 -x 10.1.0.0,10.1.0.1,"));
	free(got);
	free(edited);
	free(put);
	free(text);
}

static struct CMUnitTest tests[TESTS_MAX];
static size_t nr_tests;

static void add_test(const char *what, const char *name, CMUnitTestFunction run, const void *state)
{
	char *text = malloc(strlen(what) + strlen(name) + 1);

	sprintf(text, "%s%s", what, name);
	if (nr_tests < TESTS_MAX)
		tests[nr_tests++] = (struct CMUnitTest){ .name = text,
							 .test_func = run,
							 .initial_state = (void *)state };
}

static int is_rules_file(const struct dirent *d)
{
	return strstr(d->d_name, ".rules") != NULL;
}

int main(int argc, char **argv)
{
	struct dirent **files;
	int i, nr;

	if (argc > 1)
		dir = argv[1];
	nr = scandir(dir, &files, is_rules_file, alphasort);
	if (nr <= 0) {
		printf("Bail out! %s: no *.rules\n", dir);
		return 1;
	}
	for (i = 0; i < nr; i++)
		add_test("", files[i]->d_name, one_file, files[i]->d_name);
	for (i = 0; i < (int)SIZE(refusals); i++)
		add_test("refuses: ", refusals[i].why, one_refusal, &refusals[i]);
	add_test("", "carriage returns", test_carriage_returns, NULL);
	add_test("", "no rules of Istio's", test_nothing, NULL);
	add_test("", "a text that was cut off", test_cut_off, NULL);
	add_test("", "a NUL byte", test_nul, NULL);
	add_test("", "64 owner groups", test_many_groups, NULL);
	add_test("", "10000 CIDRs", test_many_cidrs, NULL);
	return _cmocka_run_group_tests("import", tests, nr_tests, NULL, NULL) != 0;
}
