/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slots of what is known of a destination, as a program and those that interrupt it use them on one CPU: a
 * signal handler is such an interruption.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../include/known.h"

#define KEYS 3	     /* that share the slot */
#define ENOUGH 3000  /* interruptions */
#define MOST 1000000 /* thousand steps, at worst */

static struct known_slot slot;
static volatile sig_atomic_t interrupted;

/* A policy and a flow to a destination, and what is known of it: each its own. */
static struct policy policy_of(__u32 n)
{
	return (struct policy){ .made = n };
}

static struct flow flow_to(__u32 n)
{
	return (struct flow){ .dst = { .w = { n, n, n, n } }, .dport = n };
}

static void put(__u32 n)
{
	struct known known = { ~n, ~n, ~n, { .w = { ~n, ~n, ~n, ~n } } };
	struct policy p = policy_of(n);
	struct flow f = flow_to(n);

	known_write(&slot, &p, &f, &known);
}

static int get(__u32 n, struct known *ret)
{
	struct policy p = policy_of(n);
	struct flow f = flow_to(n);

	return known_read(&slot, &p, &f, ret);
}

static void put_number(__u32 n, __u32 number)
{
	struct policy p = policy_of(n);
	struct flow f = flow_to(n);

	known_write_number(&slot, &p, &f, number);
}

static void assert_of(const struct known *k, __u32 n)
{
	struct known want = { ~n, ~n, ~n, { .w = { ~n, ~n, ~n, ~n } } };

	assert_memory_equal(k, &want, sizeof(want));
}

static void empty(void)
{
	memset(&slot, 0, sizeof(slot));
	interrupted = 0;
}

/* Now and then another key comes, and the first again, all within what was interrupted. */
static void interrupt(int sig)
{
	(void)sig;
	put(1 + interrupted % KEYS);
	if (interrupted++ & 1)
		put(1 + interrupted % KEYS);
}

static void test_reads_what_was_written(void **state)
{
	struct known k = {};
	__u32 n;

	(void)state;
	empty();
	for (n = 1; n <= KEYS; n++) {
		assert_int_equal(get(n, &k), 0);
		put(n);
		assert_int_equal(get(n, &k), 1);
		assert_of(&k, n);
	}
}

/* Each part of the key counts. */
static void test_takes_no_other_key(void **state)
{
	struct known k = {};
	int i;

	(void)state;
	put(7);
	for (i = 0; i < 6; i++) {
		struct policy p = policy_of(7);
		struct flow f = flow_to(7);

		p.made += i == 0;
		f.dport += i == 1;
		if (i >= 2)
			f.dst.w[i - 2]++;
		assert_int_equal(known_read(&slot, &p, &f, &k), 0);
	}
}

/* A number comes later, when the slot may be another's. */
static void test_number(void **state)
{
	struct known k = {};

	(void)state;
	put(1);
	put_number(1, ~1u - 1);
	assert_int_equal(get(1, &k), 1);
	assert_int_equal(k.number, ~1u - 1);
	put(2);
	put_number(1, 5);
	assert_int_equal(get(2, &k), 1);
	assert_of(&k, 2);
}

/* Whoever is being interrupted goes on where it was: its slot is left alone. */
static void test_half_written(void **state)
{
	struct known k = {};

	(void)state;
	empty();
	put(1);
	slot.seq++;
	assert_int_equal(get(1, &k), 0);
	put(2);
	put_number(1, 5);
	slot.seq++;
	assert_int_equal(get(1, &k), 1);
	assert_of(&k, 1);
}

/* Whatever is interrupted where: what is found is what belongs to the key. */
static void test_interrupted(void **state)
{
	struct itimerspec often = { { 0, 17000 }, { 0, 17000 } };
	struct sigaction action = { .sa_handler = interrupt };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	unsigned long i, found = 0;
	struct known k = {};
	timer_t timer;
	__u32 n;

	(void)state;
	empty();
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
	for (i = 0; i < MOST * 1000ul && interrupted < ENOUGH; i++) {
		n = 1 + i % KEYS;
		put(n);
		put_number(n, ~n);
		if (!get(n, &k))
			continue;
		found++;
		assert_of(&k, n);
	}
	assert_int_equal(timer_delete(timer), 0);
	assert_true(interrupted >= ENOUGH);
	assert_true(found > ENOUGH);
}

/* Destinations like those of a pod are spread over the slots, and so are pods. */
static void test_spread(void **state)
{
	static unsigned char used[KNOWN_SLOTS];
	int pod, host, taken = 0;
	struct policy p = {};
	struct flow f = {};

	(void)state;
	for (pod = 0; pod < 16; pod++) {
		p.made = 1000000000ull * (pod + 1);
		for (host = 0; host < 64; host++) {
			f.dst = (struct addr){ .w = { 0, 0, ST_BE32(0xffff),
						      ST_BE32(0x0a600000 + host) } };
			f.dport = 80 + (host & 1) * 363;
			assert_true(known_at(&p, &f) < KNOWN_SLOTS);
			used[known_at(&p, &f)] = 1;
		}
	}
	for (host = 0; host < KNOWN_SLOTS; host++)
		taken += used[host];
	assert_true(taken > 1024 * 3 / 4); /* 906 are to be expected of chance */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_was_written),
		cmocka_unit_test(test_takes_no_other_key),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_half_written),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
