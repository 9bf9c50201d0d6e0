// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Attaches the load balancer of lb.bpf.c to a cgroup, until that is removed:
 *
 *	e2e_lb CGROUP after|before SERVICE4 BACKEND4 SERVICE6 BACKEND6
 *
 * before: its programs run before those of the cgroups below (BPF_F_PREORDER, Linux 6.16)
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "lb.skel.h"

#ifndef BPF_F_PREORDER
#define BPF_F_PREORDER (1U << 6)
#endif

static void parse(int family, const char *text, void *to)
{
	if (inet_pton(family, text, to) != 1)
		errx(2, "%s: not an address", text);
}

int main(int argc, char **argv)
{
	unsigned int flags = BPF_F_ALLOW_MULTI;
	struct bpf_program *prog;
	struct lb *lb;
	int cgroup;

	if (argc != 7)
		errx(2, "usage: e2e_lb CGROUP after|before SERVICE4 BACKEND4 SERVICE6 BACKEND6");
	if (!strcmp(argv[2], "before"))
		flags |= BPF_F_PREORDER;
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY);
	lb = lb__open();
	if (cgroup < 0 || !lb)
		err(1, "%s", argv[1]);
	parse(AF_INET, argv[3], (void *)&lb->rodata->service4);
	parse(AF_INET, argv[4], (void *)&lb->rodata->backend4);
	parse(AF_INET6, argv[5], (void *)lb->rodata->service6);
	parse(AF_INET6, argv[6], (void *)lb->rodata->backend6);
	if (lb__load(lb))
		err(1, "load");
	bpf_object__for_each_program(prog, lb->obj)
		if (bpf_prog_attach(bpf_program__fd(prog), cgroup,
				    bpf_program__expected_attach_type(prog), flags))
			err(1, "attach");
	lb__destroy(lb);
	return 0;
}
