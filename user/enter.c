/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "enter.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "insn.h"
#include "probe.h"

#define CTX BPF_REG_6

/* clang-format off */
#define LOAD(dst, src, field) LOAD_FIELD(BPF_W, dst, src, struct bpf_sk_lookup, field)
#define STORE(dst, field, src) { .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = (dst), \
	.off = offsetof(struct caller, field), .src_reg = (src) }
/* clang-format on */

/* What most connections of a pod are, the redirected ones: to lo. The result is st_inbound's. */
static const struct bpf_insn pass_loopback[] = {
	LOAD(R2, R1, family),
	SKIP_UNLESS(R2, AF_INET, 5),
	/* if (local_ip4 is in 127.0.0.0/8) pass */
	LOAD(R2, R1, local_ip4),
	NTOHL(R2),
	SHIFT_RIGHT(R2, 24),
	SKIP_IF(R2, 127, 10),
	SKIP(11),
	/* if (local_ip6 is ::1) pass */
	LOAD(R2, R1, local_ip6[0]),
	LOAD(R3, R1, local_ip6[1]),
	OR(R2, R3),
	LOAD(R3, R1, local_ip6[2]),
	OR(R2, R3),
	SKIP_UNLESS(R2, 0, 5),
	LOAD(R3, R1, local_ip6[3]),
	NTOHL(R3),
	SKIP_UNLESS(R3, 1, 2),
	/* pass: */
	SET(R0, SK_PASS),
	EXIT,
};

int enter_load(const struct datapath *dp, __u64 netns_cookie, int loopback_passes, struct st_err *e)
{
	const struct bpf_insn jump[] = {
		/* if (protocol != TCP) pass */
		LOAD(R2, R1, protocol),
		SKIP_IF(R2, ST_TCP, 2),
		SET(R0, SK_PASS),
		EXIT,
		COPY(CTX, R1),
		/* c = &st_caller[0] */
		STORE_ZERO(FP, -4),
		COPY(R2, FP),
		ADD(R2, -4),
		MAP(R1, dp->map[MAP_st_caller]),
		CALL(BPF_FUNC_map_lookup_elem),
		SKIP_IF(R0, 0, 9),
		/* *c = { ctx, netns_cookie } */
		STORE(R0, ctx, CTX),
		WIDE(R1, 0, (__u32)netns_cookie, netns_cookie >> 32),
		STORE(R0, netns, R1),
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
	struct bpf_insn code[LENGTH(pass_loopback) + LENGTH(jump)];
	size_t n = loopback_passes ? LENGTH(pass_loopback) : 0;
	int fd;

	memcpy(code, pass_loopback, n * sizeof(*code));
	memcpy(code + n, jump, sizeof(jump));
	fd = bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, ENTER_NAME, "GPL", code, n + LENGTH(jump),
			   &opts);
	return fd < 0 ? probe_explain(errno, "", e) : fd;
}
