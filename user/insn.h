/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* BPF instructions by name, as in the kernel's <linux/filter.h>, which is not for user space. */
#ifndef SOCKTABLES_INSN_H
#define SOCKTABLES_INSN_H

#include <stddef.h>

#include <linux/bpf.h>

#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define FP BPF_REG_10

/* clang-format off */
#define SET(dst, number) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (dst), .imm = (number) }
#define COPY(dst, src) { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (dst), .src_reg = (src) }
#define ADD(dst, number) { .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (dst), .imm = (number) }
#define OR(dst, src) { .code = BPF_ALU64 | BPF_OR | BPF_X, .dst_reg = (dst), .src_reg = (src) }
#define SHIFT_RIGHT(dst, n) { .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = (dst), .imm = (n) }
#define NTOHL(dst) { .code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = (dst), .imm = 32 }
#define LOAD_FIELD(size, dst, src, type, field) { .code = BPF_LDX | BPF_MEM | (size), .dst_reg = (dst), \
	.src_reg = (src), .off = offsetof(type, field) }
#define STORE_ZERO(dst, offset) { .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = (dst), .off = (offset) }
#define WIDE(dst, src, low, high) { .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = (dst), \
	.src_reg = (src), .imm = (low) }, { .imm = (high) }
#define MAP(dst, fd) WIDE(dst, BPF_PSEUDO_MAP_FD, fd, 0)
#define CALL(helper) { .code = BPF_JMP | BPF_CALL, .imm = (helper) }
#define SKIP(n) { .code = BPF_JMP | BPF_JA, .off = (n) }
#define SKIP_IF(reg, number, n) { .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (reg), \
	.imm = (number), .off = (n) }
#define SKIP_UNLESS(reg, number, n) { .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = (reg), \
	.imm = (number), .off = (n) }
#define EXIT { .code = BPF_JMP | BPF_EXIT }
/* clang-format on */

#define LENGTH(code) (sizeof(code) / sizeof(*(code)))

#endif
