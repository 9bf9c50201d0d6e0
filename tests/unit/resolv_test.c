/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which nameservers are found in a resolv.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/config.h"

static const struct file {
	const char *name, *text, *want;
} files[] = {
	{ "empty", "", "" },
	{ "of Kubernetes",
	  "search ns.svc.cluster.local svc.cluster.local cluster.local\n"
	  "nameserver 10.96.0.10\noptions ndots:5\n",
	  "10.96.0.10 " },
	{ "without newline at the end", "nameserver 10.96.0.10", "10.96.0.10 " },
	{ "both families, in order", "nameserver fd96::a\nnameserver 10.96.0.10\n",
	  "fd96::a 10.96.0.10 " },
	{ "more than three",
	  "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
	  "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 " },
	{ "comments",
	  "# nameserver 10.0.0.1\n; nameserver 10.0.0.2\nnameserver 10.0.0.3 # ours\n"
	  "nameserver 10.0.0.4;no\n#nameserver 10.0.0.5\n",
	  "10.0.0.3 10.0.0.4 " },
	{ "blanks and carriage returns", " nameserver\t 10.0.0.1 \r\n\n\t\nnameserver 10.0.0.2\r\n",
	  "10.0.0.1 10.0.0.2 " },
	{ "scope is dropped", "nameserver fe80::1%eth0\n", "fe80::1 " },
	{ "what libc reads as IPv4", "nameserver 10.1\nnameserver 0x0a000002\n",
	  "10.0.0.1 10.0.0.2 " },
	{ "junk",
	  "nameserver\nnameserver dns.example.com\nnameserver 10.0.0.256\nnameserverx 10.0.0.1\n"
	  "NAMESERVER 10.0.0.2\nnameserver fd96::a::b\nnameserver [fd96::a]:53\n"
	  "nameserver 10.0.0.1,10.0.0.2\nserver 10.0.0.4\n",
	  "" },
	{ "only the first address of a line", "nameserver 10.0.0.1 10.0.0.2\n", "10.0.0.1 " },
};

static void one_file(void **state)
{
	const struct file *file = *state;
	char found[512] = "", text[PREFIX_TEXT_MAX];
	struct st_err e = { 0 };
	struct addr *v;
	size_t i, nr;
	FILE *f = tmpfile();

	assert_non_null(f);
	fputs(file->text, f);
	rewind(f);
	assert_int_equal(config_resolv_conf(f, "/etc/resolv.conf", &v, &nr, &e), 0);
	fclose(f);
	for (i = 0; i < nr; i++) {
		addr_print(&v[i], text);
		strcat(strcat(found, text), " ");
	}
	assert_string_equal(found, file->want);
	assert_true(nr ? v != NULL : v == NULL);
	free(v);
}

static void test_unreadable(void **state)
{
	struct st_err e = { 0 };
	struct addr *v = NULL;
	size_t nr = 0;
	FILE *f = fopen("/", "r"); /* opens, but reading fails */

	(void)state;
	assert_non_null(f);
	assert_int_equal(config_resolv_conf(f, "/", &v, &nr, &e), -EISDIR);
	assert_string_equal(e.text, "resolv.conf '/': Is a directory");
	fclose(f);
}

int main(void)
{
	struct CMUnitTest tests[sizeof(files) / sizeof(files[0]) + 1];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		tests[i] = (struct CMUnitTest){ .name = files[i].name,
						.test_func = one_file,
						.initial_state = (void *)&files[i] };
	tests[i] = (struct CMUnitTest)cmocka_unit_test(test_unreadable);
	return cmocka_run_group_tests_name("resolv.conf", tests, NULL, NULL) != 0;
}
