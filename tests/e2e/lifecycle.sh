#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# attach, update, detach: what they make, what they refuse, what they leave. Broken states are the
# business of wrecks.sh.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# --- what attach makes ----------------------------------------------------------------------------

pins_as_designed() {
	local pods="pods/web:v1" kind
	same "$(find "$PINS" -type f -printf '%P\n' | sort)" \
		"$({ pinned prog; pinned map; pinned link; } | jq -r .pin | sort)" "pins"
	for kind in prog map; do
		same "" "$(pinned "$kind" | jq -c 'select(.name != .pin or (.btf_id or (.type | IN("sockhash", "prog_array", "array_of_maps")) | not))')" \
			"$kind pinned by another name than its own, or without BTF (a sockhash of Linux 6.1 and an array of maps of 6.12 have none)"
		same "" "$(pinned "$kind" | jq -r .name | grep -vE '^st_[a-z0-9_]{1,12}$')"
	done
	pinned prog | jq -r .name > "$TMP/programs"
	same 12 "$(grep -vcE 'st_scan|st_inbound' "$TMP/programs")" "programs of cgroup hooks"
	pinned link | jq -r --arg pods "$pods/" '.pin[($pods | length):]' | sort > "$TMP/links"
	same "$(grep -v st_scan "$TMP/programs" | sort)" "$(cat "$TMP/links")" "links"
	same "$pods" "$(cd "$PINS" && echo pods/*)" "directory of a pod with a dot in its name"
}

# formatted MAP FILTER: what jq's filter says of the map's entries as bpftool formats them by BTF
formatted() {
	bpftool -j map dump pinned "$PINS/$1" | jq -r "[.[].formatted] | $2"
}

maps_read_well() {
	local map type
	while read -r map type; do
		bpftool -j map dump pinned "$PINS/$map" | jq -e 'type == "array"'
		# No kernel lets anybody walk through the storage of sockets
		[[ $type == sk_storage ]] || bpftool map dump pinned "$PINS/$map" > "$TMP/dump"
	done < <(pinned map | jq -r '"\(.pin) \(.type)"')
	same "web.v1 1337 15001" "$(formatted st_policy '.[0].value | "\(.name) \(.uid) \(.outbound_port)"')"
	same true "$(formatted st_class 'all(.key.addr.w | length == 4)')"
	same true "$(formatted st_ids 'any(.key.kind == 1 and .key.value == 15020)')"
	same true "$(formatted st_count 'all(.values[0].value.n | length > 20)')"
}

detach_leaves_nothing() {
	local list
	list=$(objects)
	has "$list" '^link [0-9]+$'
	has "$list" '^map [0-9]+$'
	"$ST" detach web.v1
	nothing_left a
	wait_for 10 all_gone "$list"	# the kernel frees them a moment later
	same "$DIRECT" "$(reach a)"
}

# Ephemeral ports may begin below 15053, so that a client on another address gets it.
clients_with_agents_port() {
	has "$(dial a -b "$POD4:15053" "dns:$SVC4:53")" "^peer=$SVC4:53 a=10.0.0.15\$"
	has "$(dial a -b "$POD4:15053" "sendto:$SVC4:53")" "^peer=$SVC4:53 a=10.0.0.15\$"
	has "$(dial a -b "[$POD6]:15053" "dns:[$SVC6]:53")" "^peer=\[$SVC6\]:53 a=10.0.0.15\$"
}

pod_make a
outside_start a
app_start a
unserved() {
	same "$DIRECT" "$(reach a)" "before attach"
	attach a --name web.v1
	same "$REFUSED" "$(reach a)" "after attach"
}
check "attach ends and its links stay: without a proxy all is refused" unserved
proxy_start a
agent_start a
served() {
	same "$CAPTURED" "$(reach a)"
}
check "TCP, DNS and inbound connections of both families reach the proxy" served
check "a DNS client whose port is the agent's by chance" clients_with_agents_port
check "pins are where and what they are called" pins_as_designed
check "maps are dumped as JSON with field names" maps_read_well

# --- again, and what is refused -------------------------------------------------------------------

# refused PATTERN CMD...: CMD fails with one line like the pattern
refused() {
	local pattern=$1
	shift
	same 1 "$(status_of "$@")" "exit status"
	same 1 "$(grep -vc '^hint: ' "$TMP/output")" "lines"
	has "$(grep -v '^hint: ' "$TMP/output")" "$pattern"
}

# slots: how many of the listeners' are taken
slots() {
	bpftool -j map dump pinned "$PINS/st_listener" | jq length
}

attach_again() {
	local before slots
	before=$(links a) slots=$(slots)
	has "$slots" '^[1-9]'
	attach a --name web.v1
	same "$before" "$(links a)" "links"
	same "$slots" "$(slots)" "slots of listeners"
	same "$CAPTURED" "$(reach a)"
}

name_taken() {
	refused "^socktables: attach: name 'web.v1': taken by another pod" attach b --name web.v1
	same "" "$(links b)" "links of the refused pod"
	same "$CAPTURED" "$(reach a)"
}

other_name() {
	refused "^socktables: attach: netns.*already attached as pod 'web.v1'" attach a --name web2
	refused "^socktables: attach: pod 'web.v1'.*already attached at another cgroup" \
		"$ST" attach --cgroup "$CG/b" --netns /run/netns/a --name web.v1
	same "web:v1" "$(ls "$PINS/pods")" "pods"
	same "$CAPTURED" "$(reach a)"
}

# The programs of both pods would run on each connection.
cgroup_taken() {
	local at relation
	mkdir "$CG/a/inner"
	while read -r at relation; do
		refused "^socktables: attach: cgroup '$at': $relation pod 'web.v1'" \
			"$ST" attach --cgroup "$at" --netns /run/netns/b --name b
	done <<- EOF
		$CG/a is the one of
		$CG/a/inner lies in that of
		$CG contains that of
	EOF
	rmdir "$CG/a/inner"
	same "web:v1" "$(ls "$PINS/pods")" "pods"
	same "$CAPTURED" "$(reach a)"
}

# policy_id POD: in the map's bytes
policy_id() {
	bpftool -j map dump pinned "$PINS/st_policy" | jq -r --arg name "$1" \
		'.[] | select(.formatted.value.name == $name) | .value[:4] | map(ltrimstr("0x")) | join("")'
}

# Ids are random: the other pod's is what comes out first. A pod's two differ in the lowest bit.
ids_differ() {
	local first id
	id=$(policy_id web.v1)
	traced -e trace=getrandom "$ST" attach --cgroup "$CG/b" --netns /run/netns/b --name b
	first=$(grep -n ', 4, 0)' "$TMP/calls" | head -n 1 | cut -d : -f 1)
	"$ST" detach b
	traced -e trace=getrandom -e "inject=getrandom:retval=4:poke_exit=@arg1=$id:when=$first" \
		"$ST" attach --cgroup "$CG/b" --netns /run/netns/b --name b
	grep -q INJECTED "$TMP/calls"
	has "$(policy_id b)" '^[0-9a-f]{8}$'
	((0x$(policy_id b) >> 25 != 0x$id >> 25 || (0x$(policy_id b) & 0xffffff) != (0x$id & 0xffffff)))
	"$ST" detach b
	same "$CAPTURED" "$(reach a)"
}

pod_make b
check "attaching the same pod again is no error" attach_again
check "a name that is taken is refused" name_taken
check "a namespace that has another name, or another cgroup, is refused" other_name
check "no two pods have one id" ids_differ
check "a cgroup that is, lies in, or contains that of another pod is refused" cgroup_taken

# --- live connections, two pods -------------------------------------------------------------------

update_live() {
	"$ST" update web.v1 --ipv6=on -o 80
	same "outside outside agent agent proxy proxy" "$(reach a)" "with -o 80"
	still proxy out4 out6 in4
	"$ST" update web.v1 --ipv6=on
	same "$CAPTURED" "$(reach a)" "with the defaults"
	still proxy out4 out6 in4
	same 3 "$(status_of "$ST" update nobody)" "exit status for an unknown pod"
}

# Connections that are made while the policy changes follow the old or the new one, whole.
update_under_load() {
	local round dialling
	for ((round = 0; round < 20; round++)); do
		dial a -n 300 "$SVC4:80" >> "$TMP/load" &
		dialling=$!
		while kill -0 "$dialling" 2> /dev/null; do
			"$ST" update web.v1 --ipv6=on -o 80
			"$ST" update web.v1 --ipv6=on
		done
		wait "$dialling"
	done
	same 6000 "$(wc -l < "$TMP/load")" "connections"
	same "outside proxy" "$(awk '{ print $3 }' "$TMP/load" | sort -u | paste -sd ' ')" "who answered"
	same "" "$(grep ' proxy ' "$TMP/load" | grep -v "od=$SVC4:80\$" | head)" "wrong original destinations"
}

update_off() {
	"$ST" update web.v1 --ipv6=off
	same "proxy outside agent outside proxy app" "$(reach a)"
	not six a
	"$ST" update web.v1 --ipv6=on
	six a
	same "$CAPTURED" "$(reach a)"
}

two_pods() {
	attach b
	same "$CAPTURED" "$(reach b)"
	same "$CAPTURED" "$(reach a)"
	still outside b4
	"$ST" detach b
	same "" "$(links b)" "links of the detached pod"
	same "$DIRECT" "$(reach b)"
	same "$CAPTURED" "$(reach a)"
	still proxy out4 out6 in4
	still outside b4
}

# With nohz_full there is no global membarrier. What is known of the old policy goes only when nobody
# can be looking at it: if that cannot be had, not at all.
other_barrier() {
	local create
	"$ST" update web.v1 --ipv6=on -o 80
	traced -e trace=bpf,membarrier -e inject=membarrier:error=EINVAL \
		"$ST" update web.v1 --ipv6=on
	same "membarrier wait delete" "$(awk '
		/^membarrier/ { print "membarrier" }
		/BPF_MAP_CREATE.*ARRAY_OF_MAPS/ { waits = 1; next }
		/^bpf/ && waits { if (/BPF_MAP_UPDATE_ELEM/) print "wait"; waits = 0 }
		/BPF_MAP_DELETE_ELEM/ { print "delete" }' "$TMP/calls" | uniq | paste -sd ' ')"
	"$ST" update web.v1 --ipv6=on -o 80
	create=$(grep '^bpf(' "$TMP/calls" | grep -n 'ARRAY_OF_MAPS' | cut -d : -f 1)
	same 1 "$(status_of traced -e trace=bpf,membarrier -e inject=membarrier:error=EINVAL \
		-e "inject=bpf:error=ENOMEM:when=$create" "$ST" update web.v1 --ipv6=on)"
	grep -q 'ARRAY_OF_MAPS.*INJECTED' "$TMP/calls"
	has "$(cat "$TMP/output")" '^socktables: update: wait for programs that run: Cannot allocate memory'
	not grep -q BPF_MAP_DELETE_ELEM "$TMP/calls"
	same "$CAPTURED" "$(reach a)" "the new policy"
	"$ST" update web.v1 --ipv6=on
	same "$CAPTURED" "$(reach a)" "the next one"
}

keep out4 dial a -k "$SVC4:80"
keep out6 dial a -k "[$SVC6]:80"
keep in4 out_run a "$DIAL" -k "$POD4:8080"
outside_start b
app_start b
proxy_start b
agent_start b
IN_B=$SERVED
keep b4 dial b -k "$SVC4:80"
check "update takes effect at once and leaves live connections alone" update_live
check "update waits for those that look at the old policy, somehow" other_barrier
check "update under load: every connection follows one policy" update_under_load
check "update turns IPv6 off and on" update_off
check "two pods do not mind each other; attach leaves live connections alone" two_pods
check "detach leaves nothing" detach_leaves_nothing
check "redirected connections survive detach" still proxy out4 out6 in4

# --- detach that cannot --------------------------------------------------------------------------

# without_ptrace ARG...: the command without CAP_SYS_PTRACE
without_ptrace() {
	setpriv --bounding-set -sys_ptrace -- "$ST" "$@"
}

# hidden CMD...: inside check: CMD while nothing but processes of other users leads to b's namespace
hidden() {
	umount /run/netns/b
	"$@"
	mount --bind "/proc/$IN_B/ns/net" /run/netns/b
}

# What it may not look for it leaves as it is.
not_found() {
	local before verb
	attach b
	before=$(links b)
	for verb in "detach b" "detach b --drain"; do
		# shellcheck disable=SC2086 # words
		hidden one_line 1 "detach: network namespace of the pod: Permission denied" without_ptrace $verb
		has "$("$ST" status b)" '^b: attached$'
		same "$before" "$(links b)" "links"
		same "$CAPTURED" "$(reach b)"
	done
	"$ST" detach b
	nothing_left b
}

# An attach that fails takes away what it brought, though nobody else could find the namespace again.
undone() {
	local last
	traced -e trace=bpf "$ST" attach --cgroup "$CG/b" --netns "$TMP/netns" --name b --ipv6=on
	last=$(grep -n '^bpf(BPF_MAP_UPDATE_ELEM' "$TMP/calls" | tail -n 1 | cut -d : -f 1)
	"$ST" detach b
	same 1 "$(status_of traced -e trace=bpf -e "inject=bpf:error=ENOMEM:when=$last" \
		setpriv --bounding-set -sys_ptrace -- "$ST" attach --cgroup "$CG/b" --netns "$TMP/netns" --name b --ipv6=on)"
	grep -q 'MAP_UPDATE_ELEM.*INJECTED' "$TMP/calls"
	same "" "$(pins)" "pins"
}

not_kept() {
	touch "$TMP/netns"
	mount --bind "/proc/$IN_B/ns/net" "$TMP/netns"
	hidden undone
	umount "$TMP/netns"
	nothing_left b
}

# all_but_one ARG...: inside check: detach ARG... does so with all pods but b
all_but_one() {
	local before
	attach b
	attach a
	attach lo
	before=$(links b)
	hidden one_line 1 "detach: pod 'b': network namespace of the pod: Permission denied
socktables: detach: pods: 1 not detached" without_ptrace detach "$@"
	same "" "$(links a)$(links lo)" "links of the others"
	same "b attached" "$("$ST" status --json | jq -r '.[] | "\(.name) \(.state)"')" "pods that are left"
	same "$before" "$(links b)" "links"
	same "$CAPTURED" "$(reach b)"
	"$ST" detach --all
	nothing_left b
}

unread() {
	local pid
	full_pipe
	setpriv --bounding-set -sys_ptrace -- "$ST" detach --all 2> "$TMP/full" &
	pid=$!
	stuck_without_lock "$pid"
	cat <&"$FULL" > "$TMP/read" &
	not wait "$pid"
	wait_for 10 grep -aq '1 not detached' "$TMP/read"
	stop $!
}

# Whoever reads which pods failed may take any time for that.
nobody_reads() {
	attach b
	hidden unread
	"$ST" detach b
}

# lo_renamed ARG...: inside check: detach takes away all that attach brought to a lo of another name
lo_renamed() {
	attach lo "$@"
	ip -n lo link set lo down # takes the addresses along
	ip -n lo link set lo name inner
	ip -n lo link set inner up
	ip -n lo address add ::6/128 dev inner nodad
	"$ST" detach lo
	same "" "$(ip -n lo -6 address show to ::6)" "::6"
	attach lo "$@"
	has "$(ip -n lo -6 address show dev inner)" 'inet6 ::6/128'
	"$ST" detach lo
	same "" "$(ip -n lo -6 address show to ::6)" "::6"
	same "" "$(ip -n lo route show table all default dev inner)$(ip -n lo -6 route show table all default dev inner)"
	ip -n lo link set inner down
	ip -n lo link set inner name lo
	ip -n lo link set lo up
	nothing_left lo
}

pod_make lo
check "detach that may not look for the namespace leaves the pod captured" not_found
check "attach that fails leaves nothing, though it may not look for the namespace" not_kept
check "detach --all does what it can, and says what it cannot" all_but_one --all
check "detach --all --drain does, too" all_but_one --all --drain
check "nobody reads which pods failed: no other command waits" nobody_reads
check "detach whatever the name of lo is" lo_renamed
check "detach whatever the name of lo is: TPROXY" lo_renamed -m TPROXY

# --- addresses, bpffs -----------------------------------------------------------------------------

six_added() {
	not six a
	attach a --ipv6=off
	not six a
	"$ST" detach a
	attach a
	six a
	attach a
	"$ST" detach a
	not six a
}

six_there_before() {
	ip -n a address add ::6/128 dev lo nodad
	attach a
	"$ST" update a --ipv6=off
	six a
	"$ST" detach a
	six a
	ip -n a address del ::6/128 dev lo
}

check "::6 is added with IPv6 and removed by detach" six_added
check "::6 that was there before is left alone" six_there_before

bpffs_mounted() {
	while mountpoint -q /sys/fs/bpf; do
		umount /sys/fs/bpf
	done
	attach a
	same bpf "$(stat -fc %T /sys/fs/bpf | sed s/_fs//)" "file system"
	same "$CAPTURED" "$(reach a)"
	"$ST" detach a
	nothing_left a
}

check "bpffs is mounted if it is not" bpffs_mounted

finish
