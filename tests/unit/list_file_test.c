/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists that stand in a file: what is read, and every refusal with its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "flags.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIB (1 << 20)
#define INCLUDE "-i/--istio-service-cidr"

static char path[] = "/tmp/list_file_test.XXXXXX"; /* a file of ours */
static char value[sizeof(path) + 1];		   /* '@' and it */

static void write_file(const char *text, size_t size)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static void accept_file(struct config *c, const char *flag, const char *text)
{
	write_file(text, strlen(text));
	flags_accept(c, flag, value);
}

/* The error of that flag with this value; %s in WANT is the file's path. */
static void refuse(const char *flag, const char *arg, int err, const char *want)
{
	char text[1024];
	struct st_err e;
	struct config c;

	snprintf(text, sizeof(text), want, path);
	assert_int_equal(flags_parse(&c, flag, arg, &e), -err);
	assert_string_equal(e.text, text);
	config_free(&c);
}

static void refuse_file(const char *flag, const char *text, const char *want)
{
	write_file(text, strlen(text));
	refuse(flag, value, EINVAL, want);
}

static void assert_prefixes(const struct prefix_list *list, const char *const *want, size_t nr)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	assert_int_equal(list->nr, nr);
	for (i = 0; i < nr; i++) {
		prefix_print(&list->v[i], text);
		assert_string_equal(text, want[i]);
	}
}

static void test_separators(void **state)
{
	static const char *const want[] = { "10.0.0.0/8", "fd00::/8", "192.0.2.1", "192.0.2.2" };
	static const char *const texts[] = {
		"10.0.0.0/8,fd00::/8,192.0.2.1,192.0.2.2",
		"10.0.0.0/8\nfd00::/8\n192.0.2.1\n192.0.2.2\n",
		"10.0.0.0/8\r\nfd00::/8\r\n192.0.2.1\r\n192.0.2.2",
		"\n\n,, 10.0.0.0/8 ,\tfd00::/8\v192.0.2.1\f,\n192.0.2.2,\n",
		"# 10.9.0.0/16\n10.0.0.0/8 # ours\nfd00::/8#, 10.9.0.0/16\n192.0.2.1 192.0.2.2 ##",
	};
	struct config c;
	size_t i;

	(void)state;
	for (i = 0; i < SIZE(texts); i++) {
		accept_file(&c, "-i", texts[i]);
		assert_prefixes(&c.include, want, SIZE(want));
		assert_false(c.include.all);
		config_free(&c);
	}
}

static void test_every_list(void **state)
{
	struct config c;

	(void)state;
	accept_file(&c, "-b", "80\n443");
	assert_int_equal(c.in_include.nr, 2);
	config_free(&c);
	accept_file(&c, "-d", "80\n443");
	assert_int_equal(c.in_exclude.nr, 2);
	config_free(&c);
	accept_file(&c, "-q", "80\n443");
	assert_int_equal(c.out_include.nr, 2);
	config_free(&c);
	accept_file(&c, "-o", "80\n443");
	assert_int_equal(c.out_exclude.nr, 2);
	config_free(&c);
	accept_file(&c, "-x", "10.0.0.0/8\n10.0.0.0/9");
	assert_int_equal(c.exclude.nr, 2);
	config_free(&c);
	accept_file(&c, "-u", "1337\n0");
	assert_int_equal(c.uids.nr, 2);
	config_free(&c);
	accept_file(&c, "-g", "1337\n0");
	assert_int_equal(c.gids.nr, 2);
	config_free(&c);
	accept_file(&c, "-c", "eth1\nnet+");
	assert_int_equal(c.ifaces.nr, 2);
	assert_string_equal(c.ifaces.v[1].text, "net+");
	config_free(&c);
	accept_file(&c, "--dns-servers", "10.96.0.10\nfd96::a");
	assert_int_equal(c.dns_servers.nr, 2);
	config_free(&c);
	accept_file(&c, "--outbound-owner-groups", "java\n202");
	assert_int_equal(c.groups.nr, 2);
	assert_string_equal(c.groups.v[0].name, "java");
	config_free(&c);
	accept_file(&c, "--outbound-owner-groups-exclude", "java\n202");
	assert_int_equal(c.groups_exclude.nr, 2);
	config_free(&c);
}

/* As the value '*' and the empty value. */
static void test_all_and_nothing(void **state)
{
	struct config c;

	(void)state;
	flags_accept(&c, "-i", "");
	config_free(&c);
	accept_file(&c, "-i", "# everything\n *\n");
	assert_true(c.include.all);
	config_free(&c);
	accept_file(&c, "-b", "*");
	assert_true(c.in_include.all);
	config_free(&c);
	accept_file(&c, "-i", "# nothing\n");
	assert_int_equal(c.include.all + c.include.nr, 0);
	assert_true(config_given(&c, "istio-service-cidr"));
	config_free(&c);
	accept_file(&c, "-b", "");
	assert_int_equal(c.in_include.all + c.in_include.nr, 0);
	config_free(&c);
	accept_file(&c, "-k", "\n");
	config_free(&c);
	refuse_file("-i", "10.0.0.0/8\n*\n", INCLUDE " '*': '*' is everything: give it alone");
	refuse_file("-u", "#1337\n",
		    "-u/--proxy-uid '@%s': without one the proxy would be sent to itself");
}

static void test_line_is_named(void **state)
{
	(void)state;
	refuse_file("-i", "nonsense",
		    INCLUDE " 'nonsense': not an IPv4 or IPv6 address (line 1 of %s)");
	refuse_file("-i", "# one\n10.0.0.0/8, # two\n\n 10.0.0.0/9\t10.0.0.0/33",
		    INCLUDE " '10.0.0.0/33': the prefix length is not a number from 0 to 32 "
			    "(line 4 of %s)");
	refuse_file("-i", "10.0.0.0/8\r\nx\r\n",
		    INCLUDE " 'x': not an IPv4 or IPv6 address (line 2 of %s)");
	refuse_file("-o", "80\n443 0\n",
		    "-o/--istio-local-outbound-ports-exclude '0': "
		    "not a port: a number from 1 to 65535 (line 2 of %s)");
	refuse_file("-x", "10.0.0.0/8\n*\n",
		    "-x/--istio-service-exclude-cidr '*': '*' cannot be excluded; -i '' captures "
		    "no destination (line 2 of %s)");
	refuse_file("-k", "\nnet1",
		    "-k/--kube-virt-interfaces 'net1': forwarded traffic has no "
		    "socket that could be redirected (line 2 of %s)");
	/* Only a whole value is a file, and no file names another. */
	refuse_file("-i", "10.0.0.0/8 @/dev/null",
		    INCLUDE " '@/dev/null': not an IPv4 or IPv6 address (line 1 of %s)");
	refuse("-i", "10.0.0.0/8,@/dev/null", EINVAL,
	       INCLUDE " '@/dev/null': not an IPv4 or IPv6 address");
	refuse("-p", "@/dev/null", EINVAL,
	       "-p/--envoy-port '@/dev/null': not a port: a number from 1 to 65535");
}

static void test_no_list(void **state)
{
	(void)state;
	refuse("-i", "@", ENOENT, INCLUDE " '@': No such file or directory");
	refuse("-i", "@/nonexistent", ENOENT,
	       INCLUDE " '@/nonexistent': No such file or directory");
	refuse("-i", "@/proc/self", EISDIR, INCLUDE " '@/proc/self': Is a directory");
	refuse("-i", "@/dev/null", EINVAL, INCLUDE " '@/dev/null': neither a file nor a pipe");
	refuse("-k", "@/nonexistent", ENOENT,
	       "-k/--kube-virt-interfaces '@/nonexistent': No such file or directory");
	write_file("10.0.0.0/8\0fd00::/8\n", 20);
	refuse("-i", value, EINVAL, INCLUDE " '@%s': not a text: it has a NUL byte");
	write_file("10.0.0.0/8\n\0", 12);
	refuse("-i", value, EINVAL, INCLUDE " '@%s': not a text: it has a NUL byte");
	write_file("10.0.0.0/8", 10);
	if (geteuid()) {
		chmod(path, 0);
		refuse("-i", value, EACCES, INCLUDE " '@%s': Permission denied");
		chmod(path, 0600);
	}
}

static void test_size(void **state)
{
	char *text = malloc(16 * MIB + 1);
	struct config c;

	(void)state;
	memset(text, '\n', 16 * MIB + 1);
	memcpy(text, "10.0.0.0/8", 10);
	memcpy(text + 16 * MIB - 8, "fd00::/8", 8);
	write_file(text, 16 * MIB);
	flags_accept(&c, "-i", value);
	assert_int_equal(c.include.nr, 2);
	config_free(&c);
	write_file(text, 16 * MIB + 1);
	refuse("-i", value, EINVAL, INCLUDE " '@%s': more than 16 MiB");
	free(text);
}

/* As with @<(command): its size is not known before, and it comes in pieces. */
static void test_pipe(void **state)
{
	struct config c;
	char fd[32], want[128];
	int ends[2], i;
	FILE *f;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	if (!fork()) {
		close(ends[0]);
		f = fdopen(ends[1], "w");
		for (i = 0; i < 50000; i++)
			fprintf(f, "10.%d.%d.%d/32\n", i >> 16, i >> 8 & 255, i & 255);
		fclose(f);
		_exit(0);
	}
	close(ends[1]);
	snprintf(fd, sizeof(fd), "@/dev/fd/%d", ends[0]);
	flags_accept(&c, "-x", fd);
	assert_int_equal(c.exclude.nr, 50000);
	config_free(&c);
	snprintf(want, sizeof(want), INCLUDE " '%s': the pipe was read before, for another list",
		 fd);
	refuse("-i", fd, EINVAL, want);
	close(ends[0]);
}

/* What a path has in it must not become more than one line. */
static void test_odd_path(void **state)
{
	char odd[] = "/tmp/list_file_test\n\033.XXXXXX", arg[64], *end;
	struct st_err e;
	struct config c;
	int fd = mkstemp(odd);

	(void)state;
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	snprintf(arg, sizeof(arg), "@%s", odd);
	assert_int_equal(flags_parse(&c, "-i", arg, &e), -EINVAL);
	end = strstr(e.text, "(line 1 of /tmp/list_file_test\\x0a\\x1b.");
	assert_non_null(end);
	config_free(&c);
	unlink(odd);
	assert_int_equal(flags_parse(&c, "-i", arg, &e), -ENOENT);
	assert_null(strchr(e.text, '\n'));
	config_free(&c);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	snprintf(value, sizeof(value), "@%s", path);
	return fd < 0 || close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_separators),
		cmocka_unit_test(test_every_list),
		cmocka_unit_test(test_all_and_nothing),
		cmocka_unit_test(test_line_is_named),
		cmocka_unit_test(test_no_list),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_odd_path),
	};

	return cmocka_run_group_tests_name("list_file", tests, make_file, remove_file) != 0;
}
