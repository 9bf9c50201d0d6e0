/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "enter.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include <bpf/bpf.h>

#include "probe.h"

#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define CTX BPF_REG_6
#define FP BPF_REG_10

/* As in the kernel's <linux/filter.h>, which is not for user space. */
#define SET(dst, number)                                                               \
	{                                                                              \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (dst), .imm = (number) \
	}
#define COPY(dst, src)                                                                  \
	{                                                                               \
		.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (dst), .src_reg = (src) \
	}
#define ADD(dst, number)                                                               \
	{                                                                              \
		.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (dst), .imm = (number) \
	}
#define STORE_ZERO(dst, offset)                                                     \
	{                                                                           \
		.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = (dst), .off = (offset) \
	}
#define STORE(dst, offset, src)                                                        \
	{                                                                              \
		.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = (dst), .off = (offset), \
		.src_reg = (src)                                                       \
	}
#define WIDE(dst, src, low, high)                                                                \
	{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = (dst), .src_reg = (src), .imm = (low) }, \
	{                                                                                        \
		.imm = (high)                                                                    \
	}
#define MAP(dst, fd) WIDE(dst, BPF_PSEUDO_MAP_FD, fd, 0)
#define CALL(helper)                                        \
	{                                                   \
		.code = BPF_JMP | BPF_CALL, .imm = (helper) \
	}
#define SKIP_IF_ZERO(reg, n)                                                    \
	{                                                                       \
		.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (reg), .off = (n) \
	}
#define EXIT                               \
	{                                  \
		.code = BPF_JMP | BPF_EXIT \
	}

int enter_load(const struct datapath *dp, __u64 netns_cookie, struct st_err *e)
{
	const struct bpf_insn code[] = {
		COPY(CTX, R1),
		/* c = &st_caller[0] */
		STORE_ZERO(FP, -4),
		COPY(R2, FP),
		ADD(R2, -4),
		MAP(R1, dp->map[MAP_st_caller]),
		CALL(BPF_FUNC_map_lookup_elem),
		SKIP_IF_ZERO(R0, 9),
		/* *c = { ctx, netns_cookie } */
		STORE(R0, offsetof(struct caller, ctx), CTX),
		WIDE(R1, 0, (__u32)netns_cookie, netns_cookie >> 32),
		STORE(R0, offsetof(struct caller, netns), R1),
		/* goto st_jump[0] */
		COPY(R1, CTX),
		MAP(R2, dp->map[MAP_st_jump]),
		SET(R3, 0),
		CALL(BPF_FUNC_tail_call),
		/* nothing there: rather refused than past the proxy */
		SET(R0, SK_DROP),
		EXIT,
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_SK_LOOKUP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, ENTER_NAME, "GPL", code,
			       sizeof(code) / sizeof(*code), &opts);

	return fd < 0 ? probe_explain(errno, "", e) : fd;
}
