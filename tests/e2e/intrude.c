// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What somebody in pod d may try against its policy: e2e_intrude CGROUP
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

/* The next id; whom the kernel tells none guesses it. 0: that was the last one. */
static __u32 next_link(__u32 id)
{
	if (!bpf_link_get_next_id(id, &id))
		return id;
	return errno != ENOENT && id < 2000 ? id + 1 : 0;
}

/* The link on connect() of that cgroup; -1: it cannot be had. */
static int link_of(__u64 cgroup_id)
{
	struct bpf_link_info info;
	__u32 id = 0, size;
	int fd;

	while ((id = next_link(id))) {
		fd = bpf_link_get_fd_by_id(id);
		if (fd < 0 && errno != ENOENT)
			return -1;
		if (fd < 0)
			continue;
		info = (struct bpf_link_info){};
		size = sizeof(info);
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) &&
		    info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == cgroup_id &&
		    info.cgroup.attach_type == BPF_CGROUP_INET4_CONNECT)
			return fd;
		close(fd);
	}
	errno = ENOENT;
	return -1;
}

/* Of a link; -1: it cannot be had. */
static int program_of(int link)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(link, &info, &size) ? -1
							  : bpf_prog_get_fd_by_id(info.prog_id);
}

static int detach(int link)
{
	return link < 0 ? link : bpf_link_detach(link);
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
	int cgroup, link, error;
	struct stat st;

	if (argc != 2)
		errx(2, "usage: e2e_intrude CGROUP");
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (cgroup < 0 || fstat(cgroup, &st))
		err(1, "%s", argv[1]);
	tell("open the policy by its pin", bpf_obj_get(PINS "/st_policy"));
	tell("list the pods", open(PINS "/pods", O_RDONLY | O_DIRECTORY));
	by_id("open a map by its id", bpf_map_get_next_id, bpf_map_get_fd_by_id);
	by_id("open a program by its id", bpf_prog_get_next_id, bpf_prog_get_fd_by_id);
	by_id("open a link by its id", bpf_link_get_next_id, bpf_link_get_fd_by_id);
	tell("load a program for a hook", load());
	link = link_of(st.st_ino);
	error = errno;
	tell("take our program off its hook",
	     bpf_prog_detach2(program_of(link), cgroup, BPF_CGROUP_INET4_CONNECT));
	errno = error;
	tell("detach a link by its id", detach(link));
	tell("detach a link by its pin", detach(bpf_obj_get(PINS "/pods/d/st_connect6")));
	tell("make a pin's directory", mkdir(PINS "/intruder", 0700));
	return 0;
}
