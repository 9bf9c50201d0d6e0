#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A pod's life with few commands, since each takes long in an emulated guest: every program, iterator and
# way of changing links that we ask a kernel for is used once.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/../e2e/e2e.sh"
env_private "$@"

NEXT=$TEST_BIN/next/socktables

refuses_without_proxy() {
	attach a
	same "$REFUSED" "$(reach a)"
}

captures() {
	same "$CAPTURED" "$(reach a)"
}

# What the kernel has or lets programs do, no less and no more
uses_all() {
	local reads=1 mptcp=0
	! grep -qsF '[confidentiality]' /sys/kernel/security/lockdown || reads=0
	! grep -q ' bpf_skc_to_mptcp_sock$' /proc/kallsyms || mptcp=1
	same "{\"kernel_reads\":$reads,\"mptcp_known\":$mptcp}" "$(abilities)"
}

updates() {
	"$ST" update a --ipv6=on -o 80
	same "outside outside agent agent proxy proxy" "$(reach a)" "with -o 80"
	"$ST" update a --ipv6=on
	still proxy out4 in6
}

# before Linux 6.2 it takes CAP_SYS_ADMIN to load programs: without it, this is said
least_upgrades() {
	local least=(setpriv --bounding-set '-all,+bpf,+net_admin,+perfmon' --inh-caps=-all -- "$NEXT")
	if grep -q ' bpf_rdonly_cast$' /proc/kallsyms; then
		"${least[@]}" upgrade
		"$ST" upgrade
	else
		one_line 1 "upgrade: capability 'SYS_ADMIN': missing: before Linux 6.2 programs cannot be loaded without it" \
			"${least[@]}" upgrade
	fi
	same "$CAPTURED" "$(reach a)"
}

upgrades() {
	local before
	before=$(links a)
	"$NEXT" upgrade
	same "$before" "$(links a)" "links"
	same "$CAPTURED" "$(reach a)"
	still proxy out4 in6
	"$ST" upgrade
}

drains() {
	local draining status=0
	"$ST" detach a --drain=600 &
	draining=$!
	wait_for 30 draining
	still proxy out4 in6
	same "$DIRECT" "$(reach a)"
	hang_up out4
	hang_up in6
	wait "$draining" || status=$?
	same 0 "$status" "exit status of detach --drain"
	nothing_left a
}

draining() {
	"$ST" status | grep -q draining
}

pod_make a
outside_start a
app_start a
check "probe finds all that is needed" "$ST" probe
check "without a proxy all is refused" refuses_without_proxy
check "the programs ask the kernel for all that it has" uses_all
proxy_start a
agent_start a
check "TCP, DNS and inbound connections of both families reach the proxy" captures
keep out4 dial a -k "$SVC4:80"
keep in6 out_run a "$DIAL" -k "[$POD6]:8080"
check "update takes effect at once and leaves live connections alone" updates
check "upgrade without CAP_SYS_ADMIN is done or refused by name" least_upgrades
check "upgrade replaces programs in place, there and back" upgrades
check "detach waits for live connections and leaves nothing" drains
finish
