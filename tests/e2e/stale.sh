#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Pods whose cgroup or network namespace went away while they were attached: status says so,
# `detach --all --stale` clears them away and nobody else, their names and addresses are free.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# state POD: as status has it, without the cure
state() {
	"$ST" status "$1" --json | jq -r '.[0] | "\(.state): \(.warnings[0] | if . then sub(": .socktables .*"; "") else . end)"'
}

is() {
	[[ $(state "$1") == "$2" ]]
}

netns_goes() {
	ip netns del "$1"
	wait_for 20 is "$1" "stale: its network namespace is gone" # the kernel takes its time
}

cgroup_goes() {
	cgroup_remove "$CG/$1"
	wait_for 20 is "$1" "stale: its cgroup is gone"
}

three_pods() {
	pod_make a && pod_make b && pod_make c
	attach a && attach b && attach c
}

# trace waits for what will not come, and says so.
trace_told() {
	local pid
	"$ST" trace "$1" 2> "$TMP/trace" &
	pid=$!
	wait_for 10 grep -qxF "socktables: trace: pod '$1': $2" "$TMP/trace"
	kill "$pid"
	wait "$pid" || true
}

drop_pods() {
	local pod
	for pod; do
		ip netns del "$pod" 2> /dev/null || true
		ip netns del "$pod-out" 2> /dev/null || true
		cgroup_remove "$CG/$pod"
		cgroup_remove "$CG/$pod-out"
	done
}

stale_detached() {
	local before
	three_pods
	same 0 "$(status_of "$ST" detach --all --stale)"
	same 3 "$("$ST" status --json | jq 'map(select(.state == "attached")) | length')" "pods"
	netns_goes a
	cgroup_goes b
	trace_told a "its network namespace is gone"
	trace_told b "its cgroup is gone"
	before=$(links c)
	"$ST" detach --all --stale
	same c "$("$ST" status --json | jq -r '.[].name')" "pods that are left"
	same "$before" "$(links c)" "links of the pod that lives"
	same "$PINS/pods/c" "$(find "$PINS/pods" -mindepth 1 -maxdepth 1)" "pins of pods"
	same "" "$("$TEST_BIN/e2e_state" "$CG/c" /run/netns/c | grep nobody)" "their entries in maps"
	not six b || { echo "::6 is left in the namespace of b" && return 1; }
	"$ST" detach c
	same "" "$(pins)"
	drop_pods a b c
}

# Somebody detached a link of a pod that lives: it is broken, but it is nobody else's, and no leftover.
loose_link() {
	pod_make a && pod_make b
	attach a
	bpftool link detach pinned "$PINS/pods/a/st_recvmsg4"
	same "incomplete: links were detached" "$(state a)"
	"$ST" detach --all --stale
	one_line 1 "attach: name 'a': taken by another pod" attach b --name a
	same "incomplete: links were detached" "$(state a)"
	"$ST" detach a
	drop_pods a b
}

# attach was killed, then the pod went: what is recorded of it keeps nobody from its name.
wreck_of_the_gone() {
	needs strace strace
	pod_make a && pod_make c
	attach c
	strace -f -o /dev/null -P "$PINS/pods" -e trace=mkdir -e inject=mkdir:signal=KILL:when=1 "$ST" attach \
		--cgroup "$CG/a" --netns /run/netns/a --name a || true
	has "$("$ST" status a)" '^a: incomplete'
	drop_pods a
	pod_make a
	attach a
	has "$("$ST" status a)" '^a: attached$'
	"$ST" detach a && "$ST" detach c
	same "" "$(pins)"
	drop_pods a c
}

# The last of all: the datapath goes with it.
stale_alone() {
	pod_make a
	attach a
	netns_goes a
	"$ST" detach --all --stale
	same "" "$(pins)"
	drop_pods a
}

# As with a StatefulSet, whose pods come back under their names in a new namespace.
name_again() {
	pod_make a
	attach a
	ip netns del a
	wait_for 20 is a "stale: its network namespace is gone"
	ip netns add a
	attach a
	has "$("$ST" status a)" '^a: attached$'
	"$ST" detach a
	same "" "$(pins)"
	drop_pods a
}

# The same namespace, the pod's cgroup made anew: its links hang on nothing.
cgroup_again() {
	pod_make a
	attach a
	cgroup_goes a
	mkdir "$CG/a"
	attach a
	has "$("$ST" status a)" '^a: attached$'
	same 13 "$(links a | wc -l)"
	"$ST" detach a
	nothing_left a
	drop_pods a
}

# inode_taken_over: pod a is attached, its namespace goes, and a new one, "next", has its inode; fails
# if somebody else on the machine was quicker
inode_taken_over() {
	local inode
	detach_if a
	drop_pods a next
	pod_make a
	attach a
	inode=$(stat -Lc %i /run/netns/a)
	ip netns del a
	wait_for 20 is a "stale: its network namespace is gone"
	ip netns add next
	[[ $(stat -Lc %i /run/netns/next) == "$inode" ]]
}

# The kernel gives the inode of a namespace that is gone to the next one: whoever has it now is not
# the pod, and keeps what it has.
inode_again() {
	wait_for 30 inode_taken_over
	ip -n next link set lo up
	ip -n next address add ::6/128 dev lo nodad
	one_line 1 "update: pod 'a': its network namespace is gone" "$ST" update a --ipv6=off
	"$ST" detach a
	six next || { echo "::6 of another namespace was taken away" && return 1; }
	drop_pods a next
}

# A pod that starts anew may keep its cgroup, but not its namespace.
cgroup_of_the_gone() {
	pod_make a && pod_make b
	proxy_start b
	attach a
	netns_goes a
	mkdir "$CG/a/inner"
	"$ST" attach --cgroup "$CG/a/inner" --netns /run/netns/b --name b --ipv6=on
	same b "$(ls "$PINS/pods")" "pods"
	# shellcheck disable=SC2016 # for the inner shell
	# (the proxy is not in the cgroup)
	has "$(bash -c 'echo $$ > "$1/cgroup.procs" && exec nsenter --net=/run/netns/b "$2" "$3"' - \
		"$CG/a/inner" "$DIAL" "$SVC4:80")" "^peer=$SVC4:80 .* proxy "
	"$ST" detach b
	stop "$SERVED"
	cgroup_remove "$CG/a/inner"
	drop_pods a b
}

# killed_attaching POD: at its last pin
killed_attaching() {
	local last
	traced -e trace=bpf "$ST" attach --cgroup "$CG/$1" --netns "/run/netns/$1" --name "$1"
	last=$(grep -n '^bpf(BPF_OBJ_PIN' "$TMP/calls" | tail -n 1 | cut -d : -f 1)
	"$ST" detach "$1"
	(traced -e trace=bpf -e "inject=bpf:signal=KILL:when=$last" \
		"$ST" attach --cgroup "$CG/$1" --netns "/run/netns/$1" --name "$1" || true) 2> /dev/null
	has "$(tail -n 1 "$TMP/calls")" 'killed by SIGKILL'
}

# So may one that was killed while it was attached.
cgroup_of_a_wreck() {
	pod_make a && pod_make b
	killed_attaching a
	has "$(ls "$PINS/pods/a")" st_connect4
	"$ST" attach --cgroup "$CG/a" --netns /run/netns/b --name b --ipv6=on
	same b "$(ls "$PINS/pods")" "pods"
	"$ST" detach b
	drop_pods a b
}

check "status tells who is gone, detach --all --stale clears them away alone" stale_detached
check "the last one takes the datapath with it" stale_alone
check "the name of a pod that is gone is free" name_again
check "a pod whose cgroup was made anew" cgroup_again
check "a namespace that has the inode of one that is gone" inode_again
check "a pod that lives and lost a link is not stale" loose_link
check "a wreck of a pod that is gone does not keep its name" wreck_of_the_gone
check "the cgroup of a pod that is gone is free" cgroup_of_the_gone
check "the cgroup of a wreck is free" cgroup_of_a_wreck
finish
