// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Another owner of a hook: e2e_holder CGROUP exclusive|override|multi
 * attaches a program named "holder", which allows everything, to the cgroup's connect4 hook in that
 * way. It stays until the cgroup is removed.
 *
 *	e2e_holder PIN replace
 * puts that program into a pinned link to such a hook, in the place of its own.
 */
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>

int main(int argc, char **argv)
{
	static const struct bpf_insn allow[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);
	int prog, cgroup, link, flags;

	if (argc != 3)
		errx(2, "usage: e2e_holder CGROUP exclusive|override|multi, or PIN replace");
	flags = !strcmp(argv[2], "multi")      ? BPF_F_ALLOW_MULTI
		: !strcmp(argv[2], "override") ? BPF_F_ALLOW_OVERRIDE
					       : 0;
	prog = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "holder", "GPL", allow, 2, &opts);
	if (!strcmp(argv[2], "replace")) {
		link = bpf_obj_get(argv[1]);
		if (prog < 0 || link < 0 || bpf_link_update(link, prog, NULL))
			err(1, "%s", argv[1]);
		return 0;
	}
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (cgroup < 0)
		err(1, "%s", argv[1]);
	if (prog < 0 || bpf_prog_attach(prog, cgroup, BPF_CGROUP_INET4_CONNECT, flags))
		err(1, "attach");
	return 0;
}
