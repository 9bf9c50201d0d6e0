// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What somebody in a pod may try against its policy: e2e_intrude CGROUP
 *
 * One line for each attempt, "WHAT ok" or "WHAT ERRNO".
 */
#include "../diff/addr.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define PINS "/sys/fs/bpf/socktables"

static void tell(const char *what, int result)
{
	printf("%s %s\n", what, result < 0 ? errno_name(errno) : "ok");
}

static void by_id(const char *what, int (*next)(__u32, __u32 *), int (*get)(__u32))
{
	__u32 id = 0;
	int fd = next(0, &id);

	/* Whom the kernel tells no id guesses one: they are small numbers. */
	for (id = id ?: 1; id < 2000; id++) {
		fd = get(id);
		if (fd >= 0 || errno != ENOENT)
			break;
	}
	tell(what, fd);
}

static int load(void)
{
	static const struct bpf_insn allow[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);

	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "intruder", "GPL", allow, 2, &opts);
}

int main(int argc, char **argv)
{
	int cgroup;

	if (argc != 2)
		errx(2, "usage: e2e_intrude CGROUP");
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (cgroup < 0)
		err(1, "%s", argv[1]);
	tell("open the policy by its pin", bpf_obj_get(PINS "/st_policy"));
	tell("list the pods", open(PINS "/pods", O_RDONLY | O_DIRECTORY));
	by_id("open a map by its id", bpf_map_get_next_id, bpf_map_get_fd_by_id);
	by_id("open a program by its id", bpf_prog_get_next_id, bpf_prog_get_fd_by_id);
	by_id("open a link by its id", bpf_link_get_next_id, bpf_link_get_fd_by_id);
	tell("load a program for a hook", load());
	tell("make a pin's directory", mkdir(PINS "/intruder", 0700));
	return 0;
}
