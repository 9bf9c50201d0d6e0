/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What people and Prometheus are shown of counters and long lines, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/stats.h"
#include "../../user/term.h"

static char *text;
static size_t size;

static FILE *begin(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &size);
}

static void label_is(const char *value, const char *want)
{
	FILE *f = begin();

	prometheus_label(f, value);
	fclose(f);
	assert_string_equal(text, want);
}

static void labels(void **state)
{
	(void)state;
	label_is("", "");
	label_is("web-1.0_x", "web-1.0_x");
	label_is("a\"b", "a\\\"b");
	label_is("a\\b", "a\\\\b");
	label_is("a\nb", "a\\nb");
	label_is("\\n\"\n", "\\\\n\\\"\\n");
}

static void directions(void **state)
{
	(void)state;
	assert_int_equal(direction_of(WHY_OUT_CAPTURED), DIRECTION_OUT);
	assert_int_equal(direction_of(WHY_OUT_DNS), DIRECTION_OUT);
	assert_int_equal(direction_of(WHY_IN_NO_LISTENER), DIRECTION_IN);
	assert_int_equal(direction_of(WHY_DNS_REPLY), DIRECTION_OTHER);
	assert_int_equal(direction_of(WHY_ORIGDST_DIRECT), DIRECTION_OTHER);
}

/* One pod, and what was counted of one reason. */
static struct stats reading(struct pod_stats *p, __u64 v4, __u64 v6, time_t at)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->name, "web\"");
	p->cookie = 7;
	p->c.n[WHY_OUT_CAPTURED][0] = v4;
	p->c.n[WHY_OUT_CAPTURED][1] = v6;
	return (struct stats){ .pods = p, .nr = 1, .at = { .tv_sec = at } };
}

static void show(const struct stats *now, const struct stats *before)
{
	const struct term none = {};
	FILE *f = begin();

	stats_show(f, &none, now, before);
	fclose(f);
}

static void rates(void **state)
{
	struct pod_stats a, b;
	struct stats before = reading(&a, 3, 1, 100), now = reading(&b, 6, 3, 102);

	(void)state;
	show(&now, NULL);
	assert_non_null(strstr(text, "out-captured                  6          3  the dest"));
	assert_null(strstr(text, "a second"));
	show(&now, &before);
	assert_non_null(strstr(text, "a second"));
	assert_non_null(strstr(text, "out-captured                  6          3        2.5  the"));
	/* Attached anew, and another pod: nothing to compare with. */
	show(&before, &now);
	assert_null(strstr(text, "-2.5"));
	b.cookie = 8;
	before.at.tv_sec = 99;
	show(&now, &before);
	assert_non_null(strstr(text, "out-captured                  6          3          -  the"));
}

static void metrics(void **state)
{
	struct pod_stats p;
	const struct stats now = reading(&p, 6, 3, 0);
	FILE *f = begin();

	(void)state;
	stats_prometheus(f, &now);
	fclose(f);
	assert_non_null(strstr(text, "socktables_verdicts_total{pod=\"web\\\"\",direction=\"out\","
				     "reason=\"out-captured\",family=\"ipv6\"} 3\n"));
}

static void wrapped(int width, const char *line, const char *want)
{
	const struct term t = { .width = width };
	FILE *f = begin();

	term_wrap(f, &t, 4, line);
	fclose(f);
	assert_string_equal(text, want);
}

static void wrapping(void **state)
{
	(void)state;
	wrapped(0, "one two three four five six seven eight",
		"one two three four five six seven eight\n");
	wrapped(28, "one two three four five six", "one two three four five\n    six\n");
	wrapped(27, "one two three four five", "one two three four five\n");
	wrapped(26, "one two three four five", "one two three four\n    five\n");
	wrapped(10, "one two three four", "one two three four\n"); /* too narrow to help */
	wrapped(26, "/a/path/that/is/longer/than/that x", "/a/path/that/is/longer/than/that x\n");
}

static void redrawing(void **state)
{
	const struct term t = { .can_redraw = 1, .width = 5, .height = 3 };
	FILE *f = begin();

	(void)state;
	term_redraw(f, &t, "12345678\n\033[1mab\033[mcdefg\nno room\n");
	fclose(f);
	assert_string_equal(text, "\033[H12345\033[K\n\033[1mab\033[mcde\033[K\n\033[J");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels),   cmocka_unit_test(directions),
		cmocka_unit_test(rates),    cmocka_unit_test(metrics),
		cmocka_unit_test(wrapping), cmocka_unit_test(redrawing),
	};
	int failed = cmocka_run_group_tests_name("show", tests, NULL, NULL);

	free(text);
	return failed;
}
