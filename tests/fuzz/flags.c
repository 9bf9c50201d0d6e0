/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* libFuzzer on the flags, on whatever reads one word, and on resolv.conf. The first byte selects which.
 * None may crash; what is refused is told in one line; what is accepted prints back to the value that
 * was given, so that nothing is ever cut off or guessed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>

#include "../../user/config.h"
#include "check.h"

#define WORDS_MAX 64

/* The address part of a CIDR and what follows, read and printed by other means than prefix.c's. */
static void print_masked(FILE *f, const char *item)
{
	char host[64] = "", text[INET6_ADDRSTRLEN];
	unsigned char bytes[16] = { 0 };
	int v6 = strchr(item, ':') != NULL, all = v6 ? 128 : 32, len = all, bit;

	snprintf(host, sizeof(host), "%.*s", (int)strcspn(item, "/"), item);
	CHECK(inet_pton(v6 ? AF_INET6 : AF_INET, host, bytes) == 1);
	if (strchr(item, '/'))
		len = atoi(strchr(item, '/') + 1);
	for (bit = len; bit < all; bit++)
		bytes[bit / 8] &= ~(0x80 >> bit % 8);
	inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
	fputs(text, f);
	if (len < all)
		fprintf(f, "/%d", len);
}

/* What a value has to print back as. */
static char *normalize(const struct option_row *row, const char *value)
{
	char *copy = strdup(value), *rest = copy, *item, *ret;
	int nr = 0, is_cidr;
	size_t size;
	FILE *f = open_memstream(&ret, &size);

	is_cidr = strstr(row->name, "cidr") || !strcmp(row->name, "dns-servers");
	while ((item = strsep(&rest, ","))) {
		if (*item && nr++)
			putc(',', f);
		if (is_cidr && *item && strcmp(item, "*"))
			print_masked(f, item);
		else
			fputs(item, f);
	}
	fclose(f);
	free(copy);
	return ret;
}

static void print_one(FILE *f, const struct config *c, const struct option_row *row, size_t i)
{
	const void *field = (const char *)c + row->offset;
	char text[PREFIX_TEXT_MAX] = "";

	if (!strcmp(row->name, "istio-service-cidr"))
		prefix_print(&c->include.v[i], text);
	else if (!strcmp(row->name, "istio-service-exclude-cidr"))
		prefix_print(&c->exclude.v[i], text);
	else if (!strcmp(row->name, "ipv4-loopback-cidr"))
		prefix_print(&c->loopback, text);
	else if (!strcmp(row->name, "dns-servers"))
		addr_print(&c->dns_servers.v[i], text);
	else if (strstr(row->name, "-ports"))
		snprintf(text, sizeof(text), "%u", ((const struct port_list *)field)->v[i]);
	else if (!strncmp(row->name, "proxy-", 6))
		snprintf(text, sizeof(text), "%u", ((const struct id_list *)field)->v[i]);
	else if (strstr(row->name, "interfaces"))
		snprintf(text, sizeof(text), "%s", ((const struct iface_list *)field)->v[i].text);
	else if (strstr(row->name, "groups") && *((const struct group_list *)field)->v[i].name)
		snprintf(text, sizeof(text), "%s", ((const struct group_list *)field)->v[i].name);
	else if (strstr(row->name, "groups"))
		snprintf(text, sizeof(text), "%u", ((const struct group_list *)field)->v[i].gid);
	else if (strstr(row->name, "-port"))
		snprintf(text, sizeof(text), "%u", *(const __u16 *)field);
	else if (strstr(row->name, "tproxy"))
		snprintf(text, sizeof(text), "%u", *(const __u32 *)field);
	fprintf(f, "%s%s", i ? "," : "", text);
}

/* How many elements the value has; *all: it is '*'. */
static size_t count(const struct config *c, const struct option_row *row, int *all)
{
	const void *field = (const char *)c + row->offset;

	*all = 0;
	if (!strcmp(row->name, "istio-service-cidr")) {
		*all = c->include.all;
		return c->include.nr;
	}
	if (!strcmp(row->name, "istio-service-exclude-cidr"))
		return c->exclude.nr;
	if (!strcmp(row->name, "dns-servers"))
		return c->dns_servers.nr;
	if (strstr(row->name, "-ports")) {
		*all = ((const struct port_list *)field)->all;
		return ((const struct port_list *)field)->nr;
	}
	if (strstr(row->name, "groups")) {
		*all = ((const struct group_list *)field)->all;
		return ((const struct group_list *)field)->nr;
	}
	if (!strncmp(row->name, "proxy-", 6))
		return ((const struct id_list *)field)->nr;
	if (strstr(row->name, "interfaces"))
		return ((const struct iface_list *)field)->nr;
	return 1;
}

/* Numbers, addresses, names and lists of them; the others have few values, or none that is kept. */
static int prints_back(const struct option_row *row)
{
	return row->metavar && strcmp(row->name, "ipv6") && strcmp(row->name, "udp-dns") &&
	       strcmp(row->name, "kube-virt-interfaces") &&
	       strcmp(row->name, "istio-inbound-interception-mode") &&
	       strcmp(row->name, "resolv-conf");
}

static void check_value(const struct config *c, const struct option_row *row, const char *value)
{
	char *want = normalize(row, value), *got;
	size_t size, i, nr;
	int all;
	FILE *f = open_memstream(&got, &size);

	nr = count(c, row, &all);
	for (i = 0; i < nr; i++)
		print_one(f, c, row, i);
	fputs(all ? "*" : "", f);
	fclose(f);
	CHECK(!strcmp(got, want));
	free(got);
	free(want);
}

/* One flag with any value. */
static void fuzz_flag(char *text, size_t n)
{
	const struct option_row *row = config_options;
	struct st_err e = { 0 };
	struct config c;
	int pick;

	if (!n)
		return;
	for (pick = (unsigned char)*text % 32; pick && row[1].name; pick--)
		row++;
	CHECK(!config_init(&c, &e));
	if (row->set(&c, row, text + 1, &e))
		check_error(&e);
	else if (prints_back(row))
		check_value(&c, row, text + 1);
	else if (!strcmp(row->name, "resolv-conf"))
		CHECK(!strcmp(c.resolv_conf, text + 1));
	config_free(&c);
}

/* A command line, one word a line. */
static void fuzz_line(char *text, size_t n)
{
	char *argv[WORDS_MAX + 1] = { "fuzz" }, *rest = text, *word;
	struct st_err e = { 0 };
	struct config c;
	struct option_table table = { "policy", config_options, &c };
	int argc = 1, left;

	(void)n;
	while (argc < WORDS_MAX && (word = strsep(&rest, "\n")))
		argv[argc++] = word;
	CHECK(!config_init(&c, &e));
	left = options_parse("fuzz", &table, 1, argc, argv, &e);
	if (left < 0 && left != OPTIONS_HELP)
		check_error(&e);
	CHECK(left < argc);
	config_free(&c);
}

/* Whatever reads one word. */
static void fuzz_word(char *text, size_t n)
{
	char name[IFACE_NAME_MAX], printed[PREFIX_TEXT_MAX];
	struct addr a = { 0 }, again;
	struct prefix p;
	__u16 port;
	__u32 id;
	int yes;

	(void)n;
	if (!addr_parse(text, &a)) {
		addr_print(&a, printed);
		CHECK(!addr_parse(printed, &again) && addr_equal(&a, &again));
	}
	if (!prefix_parse(text, &p, NULL)) {
		struct prefix same;

		prefix_print(&p, printed);
		CHECK(!prefix_parse(printed, &same, NULL) && !prefix_compare(&p, &same));
	}
	if (!port_parse(text, &port)) {
		snprintf(printed, sizeof(printed), "%u", port);
		CHECK(!strcmp(printed, text));
	}
	if (!id_parse(text, &id)) {
		snprintf(printed, sizeof(printed), "%u", id);
		CHECK(!strcmp(printed, text));
	}
	if (!iface_parse(text, name))
		CHECK(!strcmp(name, text));
	bool_parse(text, &yes);
}

/* The resolvers, printed as a file, are the same resolvers. */
static void fuzz_resolv(char *text, size_t n)
{
	FILE *f = bytes_open(text, n);
	char *printed, one[PREFIX_TEXT_MAX];
	struct addr *v, *again;
	struct st_err e = { 0 };
	size_t nr, nr_again, size, i;

	CHECK(!config_resolv_conf(f, "-", &v, &nr, &e));
	fclose(f);
	f = open_memstream(&printed, &size);
	for (i = 0; i < nr; i++) {
		addr_print(&v[i], one);
		fprintf(f, "nameserver %s\n", one);
	}
	fputs("\n", f);
	fclose(f);
	f = bytes_open(printed, size);
	CHECK(!config_resolv_conf(f, "-", &again, &nr_again, &e));
	CHECK(nr == nr_again);
	for (i = 0; i < nr; i++)
		CHECK(addr_equal(&v[i], &again[i]));
	fclose(f);
	free(printed);
	free(again);
	free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const fuzz[])(char *text, size_t n) = { fuzz_flag, fuzz_line, fuzz_word,
							      fuzz_resolv };
	char *text;

	if (!size || memchr(data, '@', size)) /* it would name a file */
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0'; /* a file may hold NUL bytes, words cannot */
	fuzz[*data & 3](text, size - 1);
	free(text);
	return 0;
}
