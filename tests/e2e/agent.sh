#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A pod's addresses, routes and interfaces change while it is attached, and the agent sees to it that
# the policy knows. Whatever changed: the maps then hold what a fresh attach with the same flags writes.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEW4=10.77.0.55 NEW6=fd77::55
AGENT=

# agent_on [CMD...]: starts the agent, by CMD, and waits until it has a lock on the pods, if there are any
agent_on() {
	spawn "$TMP/agent" exec "$@" "$ST" agent
	AGENT=$SPAWNED
	wait_for 10 agent_sleeps
}

# agent_sleeps: it waits for something to happen
agent_sleeps() {
	[[ $(cat "/proc/$AGENT/wchan") == *poll* ]] && readlink "/proc/$AGENT"/fd/* | grep -q inotify
}

# agent_off: inside check, too: it ends with 0 and has said nothing
agent_off() {
	kill -TERM "$AGENT"
	wait_for 10 not test -d "/proc/$AGENT"
	same "" "$(cat "$TMP/agent")" "the agent's words"
}

# source4, source6: the source that the app sees of a call by the default route
source4() {
	dial a "$SVC4:80" | sed -E 's/.* name=([^ ]+):[0-9]+ .*/\1/'
}

source6() {
	dial a "[$SVC6]:80" | sed -E 's/.* name=\[([^ ]+)\]:[0-9]+ .*/\1/'
}

to_new() {
	dial a "$NEW4:8080" "[$NEW6]:8080" | who
}

pod_make a
outside_start a
app_start a
proxy_start a
agent_start a
# --- what the agent sees ----------------------------------------------------------------------------

own_addresses() {
	same "proxy proxy" "$(to_new)" "before"
	ip -n a address add "$NEW4/24" dev eth0
	ip -n a address add "$NEW6/64" dev eth0 nodad
	wait_for 10 known a
	same "app app" "$(to_new)" "the app to its pod"
	same "proxy proxy" "$(pod_run_as a 1337 "$DIAL" "$NEW4:8080" "[$NEW6]:8080" | who)" "the proxy to its pod"
	same "proxy proxy" "$(out_run a "$DIAL" "$NEW4:8080" "[$NEW6]:8080" | who)" "from outside"
	same "$CAPTURED" "$(reach a)"
	as_fresh a --ipv6=on
	ip -n a address del "$NEW4/24" dev eth0
	ip -n a address del "$NEW6/64" dev eth0
	wait_for 10 known a
	same "proxy proxy" "$(to_new)" "afterwards"
	as_fresh a --ipv6=on
}

sources() {
	same "$POD4 $POD6" "$(source4) $(source6)" "before"
	ip -n a route replace default via "$OUT4" src "$POD4_2ND"
	ip -n a route del ::/0 via "$OUT6"
	ip -n a route add ::/0 via "$OUT6" src "$POD6_2ND"
	wait_for 10 known a
	same "$POD4_2ND $POD6_2ND" "$(source4) $(source6)" "afterwards"
	as_fresh a --ipv6=on
	ip -n a route replace default via "$OUT4"
	ip -n a route del ::/0 via "$OUT6"
	ip -n a route add ::/0 via "$OUT6"
	wait_for 10 known a
	same "$POD4 $POD6" "$(source4) $(source6)" "and back"
}

without_v6() {
	ip -n a address del "$POD6/64" dev eth0
	ip -n a address del "$POD6_2ND/64" dev eth0
}

with_v6() {
	ip -n a address add "$POD6_2ND/64" dev eth0 nodad
	ip -n a address add "$POD6/64" dev eth0 nodad
	ip -n a route replace ::/0 via "$OUT6"
}

v6_comes_late() {
	local flags=(--dual-stack -x "$SVC6_2ND,10.99.0.0/16")
	without_v6
	"$ST" attach --cgroup "$CG/a" --netns /run/netns/a --name a "${flags[@]}"
	not six a
	with_v6
	wait_for 10 six a
	wait_for 10 known a
	same "$CAPTURED" "$(reach a)"
	same "outside" "$(dial a "[$SVC6_2ND]:80" | who)" "excluded, long before there was IPv6"
	as_fresh a "${flags[@]}"
	without_v6
	wait_for 10 not six a
	as_fresh a "${flags[@]}"
	with_v6
	wait_for 10 known a
	same "$CAPTURED" "$(reach a)"
	"$ST" update a --ipv6=off
	without_v6
	with_v6
	wait_for 10 known a
	not six a
	same "proxy outside agent outside proxy app" "$(reach a)" "off by flag"
	"$ST" detach a
}

# second POD: net1, made anew each time; the other side routes nothing else there
second() {
	ip link add "$2" netns "$1" type veth peer name "$2" netns "$1-out"
	ip -n "$1" link set "$2" up
	ip -n "$1-out" link set "$2" up
	ip -n "$1" address add 10.88.0.2/24 dev "$2"
	ip -n "$1-out" address replace 10.88.0.3/24 dev "$2"
}

interfaces() {
	second a net1
	attach a -c net1,foo+,net+ && return 1 # foo+ is nobody
	attach a -c net1,net+
	same "outside" "$(dial a "10.88.0.3:80" | who)" "by net1"
	same "app" "$(out_run a "$DIAL" "10.88.0.2:8080" | who)" "from outside by net1"
	ip -n a link del net1
	wait_for 10 known a
	same "proxy" "$(dial a "10.88.0.3:80" | who)" "without net1"
	second a net2
	wait_for 10 known a
	same "outside" "$(dial a "10.88.0.3:80" | who)" "by net2"
	same "app" "$(out_run a "$DIAL" "10.88.0.2:8080" | who)" "from outside by net2"
	ip -n a link del net2
	second a net1
	as_fresh a --ipv6=on -c net1,net+
	same "outside" "$(dial a "10.88.0.3:80" | who)" "by the new net1"
	same "app" "$(out_run a "$DIAL" "10.88.0.2:8080" | who)" "from outside by the new net1"
	ip -n a link del net1
	"$ST" detach a
}

# The namespace's own list of numbers: the agent has its numbers elsewhere.
no_numbers() {
	same "" "$(ip netns list-id | grep -v 'nsid unassigned' | awk '{ print $1, $2 }' | diff - "$TMP/nsids")"
}

ip netns list-id | awk '{ print $1, $2 }' > "$TMP/nsids"
attach a
agent_on
check "own addresses come and go" own_addresses
check "sources of default routes change" sources
"$ST" detach a
check "IPv6 comes late, and goes" v6_comes_late
check "interfaces of -c come and go" interfaces

# --- the agent itself -------------------------------------------------------------------------------

# agent_has_lock: of the directory of pods, which is another one after the last pod was detached
agent_has_lock() {
	readlink "/proc/$AGENT"/fd/* | grep -q "$PINS/pods\$"
}

second_agent() {
	attach a
	wait_for 10 agent_has_lock
	one_line 1 "agent: agent: runs already" "$ST" agent
	"$ST" detach a
}

idle() {
	local before
	attach a
	wait_for 10 known a
	wait_for 10 agent_sleeps
	before=$(grep ctxt "/proc/$AGENT/status")
	sleep 2 # what is asserted is that nothing happens in it
	same "$before" "$(grep ctxt "/proc/$AGENT/status")" "wake-ups"
	"$ST" detach a
}

# Every entry of the agent's private namespace is gone with it, and no pod notices.
killed() {
	attach a
	wait_for 10 known a
	pins > "$TMP/pins"
	stop "$AGENT"
	same "" "$(pins | diff "$TMP/pins" -)" "pins"
	no_numbers
	same "$CAPTURED" "$(reach a)"
	ip -n a address add "$NEW4/24" dev eth0
	stale_facts a
}

# What changed while there was none.
restarted() {
	wait_for 10 known a
	same "app" "$(dial a "$NEW4:8080" | who)"
	ip -n a address del "$NEW4/24" dev eth0
	as_fresh a --ipv6=on
}

commands_meanwhile() {
	local round
	for ((round = 0; round < 5; round++)); do
		ip -n a address add "$NEW4/24" dev eth0
		"$ST" update a --ipv6=on -o 80
		ip -n a address del "$NEW4/24" dev eth0
		"$ST" update a --ipv6=on
		ip -n a address add "$NEW6/64" dev eth0 nodad
		"$ST" detach a
		ip -n a address del "$NEW6/64" dev eth0
		attach a
	done
	as_fresh a --ipv6=on
	same "$CAPTURED" "$(reach a)"
}

# A connection is judged by one policy or the other, each whole, while the agent swaps them.
under_load() {
	local round
	for ((round = 0; round < 10; round++)); do
		dial a -n 100 "$SVC4:80" >> "$TMP/load" &
		ip -n a address add "$NEW4/24" dev eth0
		wait_for 10 known a
		ip -n a address del "$NEW4/24" dev eth0
		wait_for 10 known a
		wait "$!"
	done
	same 1000 "$(wc -l < "$TMP/load")" "connections"
	same "proxy" "$(awk '{ print $3 }' "$TMP/load" | sort -u | paste -sd ' ')" "who answered"
	"$ST" detach a
}

check "there is one agent" second_agent
check "an agent with nothing to do does not wake up" idle
check "an agent that is killed leaves nothing" killed
agent_on
check "an agent that starts later sees what has changed" restarted
check "update, detach and attach meanwhile" commands_meanwhile
check "the policy is swapped under load" under_load
check "SIGTERM ends it with 0 and without a word" agent_off

# --- pods that end ----------------------------------------------------------------------------------

# netns_of_link POD: the inode of the namespace that its sk_lookup link hangs on, 0 if it is gone
netns_of_link() {
	bpftool -j link show pinned "$PINS/pods/$1/st_inbound" | jq .netns_ino
}

is_cleared() {
	same 3 "$(status_of "$ST" status "$1")"
	[[ ! -d $PINS/pods/$1 ]]
}

not_kept() {
	pod_make c
	attach c
	wait_for 10 known c
	ip -n c address add "$NEW4/24" dev eth0
	wait_for 10 known c
	not same 0 "$(netns_of_link c)" > /dev/null
	pod_drop c
	wait_for 20 is_cleared c # by the agent: as a stale one, which it is not while anybody keeps its namespace
}

# make_many: pods p1 to p50, attached
make_many() {
	local n
	for ((n = 1; n <= 50; n++)); do
		mkdir "$CG/p$n"
		ip netns add "p$n"
		ip -n "p$n" link set lo up
		attach "p$n"
	done
}

# all_known: of each pod
all_known() {
	"$ST" status --json | jq -e 'length >= 50 and all(.[]; .warnings | map(test("have changed")) | any | not)'
}

# locals: how many pods have the address among their own
locals() {
	bpftool -j map dump pinned "$PINS/st_class" | jq --argjson word "$1" '[.[].formatted |
		select(.key.addr.w[3] == $word and .value.class == 1)] | length'
}

fifty() {
	local n word=$((10 + 77 * 256 + 55 * 16777216)) # network order
	make_many
	wait_for 30 all_known
	for ((n = 1; n <= 50; n++)); do
		ip -n "p$n" address add "$NEW4/32" dev lo
	done
	wait_for 30 all_known
	same 50 "$(locals "$word")" "pods that know"
	for ((n = 1; n <= 50; n++)); do
		ip -n "p$n" address del "$NEW4/32" dev lo
	done
	wait_for 30 all_known
	same 0 "$(locals "$word")" "pods that know"
}

# More messages than there is room for, while the agent cannot read: one of a pod is lost among them.
lost() {
	local n
	kill -STOP "$AGENT"
	for ((n = 0; n < 4000; n++)); do
		echo "address add 10.$((100 + n / 250)).0.$((n % 250 + 1))/32 dev lo"
	done | ip -n p1 -batch -
	ip -n p2 address add "$NEW4/32" dev lo
	stale_facts p2
	kill -CONT "$AGENT"
	wait_for 30 known p2
	wait_for 30 known p1
	wait_for 10 agent_sleeps # no more in a pod's namespace, whose sockets would be shown
	has "$(awk '{ print $9 }' "/proc/$AGENT/net/netlink")" '^[1-9]' "messages that were dropped"
	as_fresh p1 --ipv6=on
}

# told_once: the agent said once that it cannot clear away c, and what would help
told_once() {
	same 1 "$(grep -cx "socktables: agent: pod 'c': network namespace of the pod: Permission denied" "$TMP/agent")"
	same 1 "$(grep -cx 'hint: to look for it through processes takes CAP_SYS_PTRACE' "$TMP/agent")" "hint"
}

# runs_sleep PID: it has entered the namespace
runs_sleep() {
	[[ $(cat "/proc/$1/comm") == sleep ]]
}

# Nothing but a process of another user leads to its namespace, so that ::6 cannot be taken away.
not_cleared() {
	local holder
	pod_make c
	attach c
	spawn "$TMP/holder" exec nsenter --net=/run/netns/c setpriv --reuid 1000 --clear-groups -- sleep infinity
	holder=$SPAWNED
	wait_for 10 runs_sleep "$holder"
	umount /run/netns/c
	cgroup_remove "$CG/c"
	wait_for 10 told_once
	attach a
	ip -n a address add "$NEW4/24" dev eth0
	wait_for 10 known a
	ip -n a address del "$NEW4/24" dev eth0
	wait_for 10 known a
	told_once
	kill -TERM "$AGENT"
	wait_for 10 not test -d "/proc/$AGENT"
	"$ST" detach a
	"$ST" detach --all --stale
	is_cleared c
	stop "$holder"
}

end_many() {
	local n
	"$ST" detach --all
	for ((n = 1; n <= 50; n++)); do
		ip netns del "p$n"
		rmdir "$CG/p$n"
	done
}

agent_on
check "a namespace that ends is not kept alive" not_kept
check "fifty pods change at once" fifty
check "messages that were lost" lost
end_many
check "SIGTERM ends it with 0 and without a word" agent_off
agent_on setpriv --bounding-set -sys_ptrace --
check "a pod that cannot be cleared away is told once, and the agent stays" not_cleared
check "nothing is left" nothing_left a

# Without CAP_SYS_PTRACE it cannot find a namespace that only processes lead to, and says so.
unread_complaint() {
	local pid
	pod_make e
	attach e
	serve "$TMP/e.app" pod_run_as e 1000 "$STUB" app line:0.0.0.0:8080
	umount /run/netns/e
	full_pipe
	setpriv --bounding-set -sys_ptrace "$ST" agent 2> "$TMP/full" &
	pid=$!
	wait_for 20 stuck "$pid"
	timeout 20 "$ST" update e --ipv6=on
	stop "$pid" "$SERVED"
	"$ST" detach e
}

check "nobody reads what it complains of: no other command waits" unread_complaint
finish
