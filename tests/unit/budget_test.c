/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What it costs the verifier to load each program as the command loads it, and what is left of the
 * program then, beside what tests/unit/budgets says. "unit_budget_test record" prints that file. Needs
 * root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "st_all.skel.h"
#include "st_live.skel.h"

#define BUDGETS "tests/unit/budgets"

/* Numbers are compared with those of the same kernel series and the same clang. Another kernel's verifier
 * prunes more or less, and gives up at 1,000,000 instructions: half of it is for changes to come.
 */
#define LIMIT 500000
#define MORE 10 /* per cent over the budget fail */
#define LESS 25 /* so many below it ask for a lower one */

struct cost {
	char object[16], name[16];
	__u32 verified, bytes; /* verified: 0 before Linux 5.16, which does not tell */
};

struct costs {
	struct cost cost[64];
	size_t nr;
	char made_by[128];
};

static void maker(char *text, size_t size)
{
	struct utsname u;

	uname(&u);
	snprintf(text, size, "kernel %d.%d on %s, clang %d", atoi(u.release),
		 atoi(strchr(u.release, '.') + 1), u.machine, BPF_CLANG);
}

/* Loads and looks; returns 0, or -errno */
static int cost_of(struct bpf_object *obj, const char *label, struct costs *c)
{
	int err = bpf_object__load(obj);
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, obj) {
		struct bpf_prog_info info = {};
		struct cost *to = c->cost + c->nr++;
		__u32 size = sizeof(info);

		err = err ?: bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size);
		snprintf(to->object, sizeof(to->object), "%s", label);
		snprintf(to->name, sizeof(to->name), "%s", bpf_program__name(prog));
		to->verified = info.verified_insns;
		to->bytes = info.xlated_prog_len;
	}
	return err;
}

static int cost_all(const char *label, struct costs *c)
{
	struct st_all *skel = st_all__open();
	int err;

	if (!skel)
		return -1;
	skel->rodata->kernel_reads = !strcmp(label, "all-reads");
	err = cost_of(skel->obj, label, c);
	st_all__destroy(skel);
	return err;
}

static int cost_live(const char *label, struct costs *c)
{
	struct st_live *skel = st_live__open();
	struct bpf_map *map;
	int err;

	if (!skel)
		return -1;
	bpf_object__for_each_map(map, skel->obj)
		bpf_map__set_autocreate(map,
					map == skel->maps.st_origin || map == skel->maps.st_number);
	err = cost_of(skel->obj, label, c);
	st_live__destroy(skel);
	return err;
}

/* The datapath as loaded where the owner can be read from the socket's file, and where not; the
 * program of each pod; those that a drain runs.
 */
static const struct object {
	const char *label;
	int (*cost)(const char *label, struct costs *c);
} objects[] = { { "all-reads", cost_all }, { "all-task", cost_all }, { "live", cost_live } };
#define NR_OBJECTS (sizeof(objects) / sizeof(*objects))

static struct costs budgets;

static int read_budgets(const char *path, struct costs *c)
{
	FILE *f = fopen(path, "re");
	char line[256];
	struct cost *to;

	if (!f) {
		perror(path);
		return -1;
	}
	while (fgets(line, sizeof(line), f)) {
		to = c->cost + c->nr;
		if (!strncmp(line, "# by ", 5))
			snprintf(c->made_by, sizeof(c->made_by), "%.*s",
				 (int)strcspn(line + 5, "\n"), line + 5);
		else if (*line != '#' && sscanf(line, "%15s %15s %u %u", to->object, to->name,
						&to->verified, &to->bytes) == 4)
			c->nr++;
	}
	fclose(f);
	return 0;
}

static const struct cost *budget_of(const struct cost *c)
{
	size_t i;

	for (i = 0; i < budgets.nr; i++)
		if (!strcmp(budgets.cost[i].object, c->object) &&
		    !strcmp(budgets.cost[i].name, c->name))
			return budgets.cost + i;
	return NULL;
}

/* 1 if the number left its budget, after saying so */
static int leaves(const struct cost *c, const char *what, __u64 was, __u64 now)
{
	const char *fault = NULL;

	if (now * 100 > was * (100 + MORE))
		fault = "more than the budget; if it has to be, 'make budgets' records it";
	else if (now * 100 < was * (100 - LESS))
		fault = "well done; 'make budgets' keeps it so";
	if (fault)
		print_message("# %s %s: %s: %llu -> %llu: %s\n", c->object, c->name, what, was, now,
			      fault);
	return !!fault;
}

static int judge(const struct cost *c, int same_maker)
{
	const struct cost *was = budget_of(c);

	print_message("# %-9s %-15s %6u instructions verified, %6u bytes\n", c->object, c->name,
		      c->verified, c->bytes);
	if (!was) {
		print_message("# %s %s: has no budget: 'make budgets' records one\n", c->object,
			      c->name);
		return 1;
	}
	if (same_maker)
		return leaves(c, "instructions verified", was->verified, c->verified) |
		       leaves(c, "bytes", was->bytes, c->bytes);
	if (c->verified <= LIMIT)
		return 0;
	print_message("# %s %s: %u instructions verified: more than %u\n", c->object, c->name,
		      c->verified, LIMIT);
	return 1;
}

static void test_object(void **state)
{
	const struct object *o = *state;
	struct costs c = {};
	size_t i, known = 0;
	int bad = 0;

	assert_int_equal(o->cost(o->label, &c), 0);
	maker(c.made_by, sizeof(c.made_by));
	if (strcmp(c.made_by, budgets.made_by))
		print_message("# budgets are by %s, this is %s: the limit is %u\n", budgets.made_by,
			      c.made_by, LIMIT);
	for (i = 0; i < c.nr; i++)
		bad += judge(c.cost + i, !strcmp(c.made_by, budgets.made_by));
	for (i = 0; i < budgets.nr; i++)
		known += !strcmp(budgets.cost[i].object, o->label);
	assert_int_equal(bad, 0);
	assert_int_equal(known, c.nr); /* else there are budgets of programs that are no more */
}

static int record(void)
{
	struct costs c = {};
	size_t i;

	for (i = 0; i < NR_OBJECTS; i++)
		if (objects[i].cost(objects[i].label, &c))
			return 1;
	maker(c.made_by, sizeof(c.made_by));
	printf("# Object, program, instructions that the verifier processed, bytes after it. `make "
	       "budgets` writes this.\n"
	       "# by %s\n",
	       c.made_by);
	for (i = 0; i < c.nr; i++)
		printf("%-9s %-15s %6u %6u\n", c.cost[i].object, c.cost[i].name, c.cost[i].verified,
		       c.cost[i].bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[NR_OBJECTS] = {};
	char names[NR_OBJECTS][64];
	size_t i;

	if (argc > 1 && !strcmp(argv[1], "record"))
		return record();
	if (read_budgets(argc > 1 ? argv[1] : BUDGETS, &budgets))
		return 2;
	for (i = 0; i < NR_OBJECTS; i++) {
		snprintf(names[i], sizeof(names[i]), "verifier budget: %s", objects[i].label);
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = test_object,
						.initial_state = (void *)&objects[i] };
	}
	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
