/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "probe.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "hooks.h"
#include "insn.h"
#include "netns.h"

/* What every hook of ours may return. */
#define RETURN_1 SET(R0, 1), EXIT

static int try_prog(enum bpf_prog_type type, int attach_type, const struct bpf_insn *insns,
		    size_t nr)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);
	int fd = bpf_prog_load(type, "st_probe", "GPL", insns, nr, &opts);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}
#define TRY(type, attach_type, insns) try_prog(type, attach_type, insns, LENGTH(insns))

static int try_hook(enum bpf_prog_type type, int attach_type)
{
	static const struct bpf_insn insns[] = { RETURN_1 };

	return TRY(type, attach_type, insns);
}

/* A helper that wants the context, which r1 is already. */
static int try_helper(enum bpf_prog_type type, int attach_type, int helper)
{
	const struct bpf_insn insns[] = { CALL(helper), RETURN_1 };

	return TRY(type, attach_type, insns);
}

static int try_ingress(void)
{
	static const struct bpf_insn insns[] = {
		LOAD_FIELD(BPF_W, R0, R1, struct bpf_sk_lookup, ingress_ifindex),
		RETURN_1,
	};

	return TRY(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, insns);
}

/* Eight bytes from NULL onto the stack: what is read does not matter. */
static int try_kernel_read(void)
{
	static const struct bpf_insn insns[] = {
		COPY(R1, FP), ADD(R1, -8), SET(R2, 8), SET(R3, 0), CALL(BPF_FUNC_probe_read_kernel),
		RETURN_1,
	};

	return TRY(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, insns);
}

static int try_mptcp(void)
{
	static const struct bpf_insn insns[] = {
		LOAD_FIELD(BPF_DW, R1, R1, struct bpf_sock_addr, sk),
		CALL(BPF_FUNC_skc_to_mptcp_sock),
		RETURN_1,
	};

	return TRY(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, insns);
}

/* Want of memory says nothing about the kernel. */
static int lacks(int err)
{
	return err && err != -ENOMEM;
}

void probe_abilities(struct abilities *a)
{
	a->kernel_reads = !lacks(try_kernel_read());
	a->mptcp_known = !lacks(try_mptcp());
}

static int try_map(enum bpf_map_type type, __u32 key, __u32 value, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "st_probe", key, value, 1, &opts);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static enum bpf_prog_type type_of(const struct hook *h)
{
	if (h->type == BPF_CGROUP_SOCK_OPS)
		return BPF_PROG_TYPE_SOCK_OPS;
	if (h->type == BPF_CGROUP_GETSOCKOPT)
		return BPF_PROG_TYPE_CGROUP_SOCKOPT;
	return BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
}

static const char *what_of(const struct hook *h)
{
	static const struct {
		const char *part, *what;
	} table[] = {
		{ "connect", "outbound TCP and connected DNS go to the proxy" },
		{ "sendmsg", "DNS of unconnected sockets goes to the agent" },
		{ "recvmsg", "a DNS reply comes from the resolver that was asked" },
		{ "getpeername", "the app sees whom it dialled" },
		{ "getsockname", "the app sees the pod's address" },
		{ "sockops", "the original destination reaches the proxy" },
		{ "getsockopt", "the proxy's SO_ORIGINAL_DST is answered" },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strstr(h->section, table[i].part))
			return table[i].what;
	return "";
}

struct probing {
	void (*each)(void *ctx, const struct probe_row *row);
	void *ctx;
	int ret;
};

static void tell(struct probing *p, const char *name, const char *what, const char *since,
		 int required, int err)
{
	const struct probe_row row = { name, what, since, required, err };

	if (err == -EPERM)
		p->ret = -EPERM;
	else if (err && required && !p->ret)
		p->ret = -ENOTSUP;
	p->each(p->ctx, &row);
}

int probe(void (*each)(void *ctx, const struct probe_row *row), void *ctx)
{
	struct probing p = { .each = each, .ctx = ctx };
	const struct hook *h;
	__u64 cookie;

	for (h = hooks; h < hooks + NR_HOOKS; h++)
		tell(&p, h->section, what_of(h), h->since, 1, try_hook(type_of(h), h->type));
	tell(&p, "sk_lookup", "inbound TCP goes to the proxy", INBOUND_SINCE, 1,
	     try_hook(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP));
	tell(&p, "interface in sk_lookup", "inbound of excluded interfaces is left alone", "5.17",
	     1, try_ingress());
	tell(&p, "map sk_storage", "what is remembered dies with the socket", "5.2", 1,
	     libbpf_probe_bpf_map_type(BPF_MAP_TYPE_SK_STORAGE, NULL) > 0 ? 0 : -EINVAL);
	tell(&p, "map lpm_trie", "lists of CIDRs", "4.11", 1,
	     try_map(BPF_MAP_TYPE_LPM_TRIE, 24, 4, BPF_F_NO_PREALLOC));
	tell(&p, "map sockhash", "listeners of the proxy", "4.18", 1,
	     try_map(BPF_MAP_TYPE_SOCKHASH, 16, 8, 0));
	tell(&p, "SO_NETNS_COOKIE", "pods are told apart", "5.14", 1, netns_own_cookie(&cookie));
	tell(&p, "netns cookie in connect", "pods are told apart", "5.7", 1,
	     try_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT,
			BPF_FUNC_get_netns_cookie));
	tell(&p, "netns cookie in sockops", "pods are told apart", "5.15", 1,
	     try_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, BPF_FUNC_get_netns_cookie));
	tell(&p, "netns cookie in getsockopt", "pods are told apart", "5.15", 1,
	     try_helper(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT,
			BPF_FUNC_get_netns_cookie));
	tell(&p, "kernel BTF", "programs find what they need in the kernel's structures", "5.4", 1,
	     access("/sys/kernel/btf/vmlinux", R_OK) ? -errno : 0);
	tell(&p, "kernel reads in connect",
	     "the owner of a socket's file; else that of the task counts", "5.10", 0,
	     try_kernel_read());
	tell(&p, "MPTCP sockets in connect", "an MPTCP client sees whom it dialled", "5.19", 0,
	     try_mptcp());
	return p.ret;
}

static void first_missing(void *ctx, const struct probe_row *row)
{
	struct probe_row *first = ctx;

	if (row->err && row->required && !first->name)
		*first = *row;
}

/* The last line that says something, since an error has one line; not that it failed as a whole. */
static void last_line(const char *text, char *line, size_t size)
{
	static const char prefix[] = "libbpf: ", whole[] = "failed to load ";
	size_t n;

	*line = 0;
	for (; *text; text += n) {
		n = strcspn(text, "\n");
		if (!strncmp(text, prefix, strlen(prefix))) {
			text += strlen(prefix);
			n -= strlen(prefix);
		}
		if (n && strncmp(text, whole, strlen(whole)))
			snprintf(line, size, "%.*s", (int)n, text);
		n += text[n] == '\n';
	}
}

int probe_explain(int code, const char *libbpf_says, struct st_err *e)
{
	struct probe_row missing = {};
	char line[512];

	if (code == EPERM || code == EACCES)
		err_hint(e, "needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: are you root?");
	if (code == EPERM)
		return err_sys(e, code, "loading the BPF programs", NULL);
	/* What the kernel lacks, libbpf looks for in its modules; it says EINVAL if it may not. */
	if (strstr(libbpf_says, "failed to iterate BTF objects"))
		return err_set(e, EPERM, "capability", "SYS_ADMIN",
			       "missing: before Linux 6.2 programs cannot be loaded without it");
	probe(first_missing, &missing);
	if (missing.name) {
		err_hint(e, "'socktables probe' lists what this kernel can do");
		return err_set(e, code, "kernel", missing.name, "%s; needs Linux %s (%s)",
			       strerror(-missing.err), missing.since, missing.what);
	}
	last_line(libbpf_says, line, sizeof(line));
	return err_set(e, code, "loading the BPF programs", NULL, "%s%s%s", strerror(code),
		       line[0] ? "; libbpf: " : "", line);
}
