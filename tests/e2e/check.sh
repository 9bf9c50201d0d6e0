#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# check: it says of a whole pod that all is as the policy demands, and of broken ones what is broken.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# tried STATUS [FLAG...]: checks pod web; what it says is in $TMP/said
tried() {
	local want=$1 status=0
	shift
	"$ST" check web "$@" > "$TMP/said" 2> "$TMP/stderr" || status=$?
	same "$want" "$status" "exit status" || { cat "$TMP/said" "$TMP/stderr" && return 1; }
}

# says OUTCOME WHAT TEXT: one line of it
says() {
	has "$(< "$TMP/said")" "^$1 +$2.*: $3"
}

# kinds OUTCOME: of how many it says so
kinds() {
	grep -c "^$1 " "$TMP/said" || true
}

whole() {
	local family
	tried 0
	same 0 "$(kinds FAILED)"
	says ok hooks 'all 13 in effect$'
	for family in '192\.0\.2\.1' '\[2001:db8::1\]'; do
		says ok "TCP of the app, to $family:80" 'the proxy on port 15001 got it$'
		says ok "TCP of the app, excluded port, to $family:15020" 'direct: out-port-excluded$'
		says ok "DNS over TCP, to $family:53" 'the DNS agent on port 15053 got it$'
		says ok "DNS over UDP, connected socket, to $family:53" 'the DNS agent on port 15053 answered$'
		says ok "DNS over UDP, unconnected socket, to $family:53" 'the DNS agent on port 15053 answered$'
		says ok "TCP of the proxy, to $family:80" 'direct: out-proxy$'
	done
	says ok "TCP of the proxy, to its own pod, to $POD4:1" 'the proxy on port 15006 got it$'
	says ok "TCP of the proxy, to its own pod, to \\[$POD6\\]:1" 'the proxy on port 15006 got it$'
	same "" "$(grep '^note' "$TMP/said")"
	says 'not tried' 'inbound TCP' "takes a caller from outside the pod; the proxy's listener on port 15006 is there"
	same "" "$(< "$TMP/stderr")"
}

json() {
	"$ST" check web --json > "$TMP/said"
	same "web true 65534" "$(jq -r '"\(.pod) \(.ok) \(.app_uid)"' "$TMP/said")"
	same "ok out-captured" "$(jq -r '.kinds[] | select(.what == "TCP of the app, to 192.0.2.1:80") | "\(.outcome) \(.reason)"' "$TMP/said")"
	same "not-tried" "$(jq -r '.kinds[] | select(.what == "inbound TCP") | .outcome' "$TMP/said")"
	stop "$PROXY"
	same 1 "$(status_of "$ST" check web --json)"
	same false "$(grep -v '^socktables:' "$TMP/output" | jq .ok)"
	proxy_start web
	same 0 "$(status_of "$ST" check web --json)"
}

# with FLAG...: the pod with another policy
with() {
	"$ST" update web --ipv6=on "$@"
	tried 0
}

lists() {
	with -x 10.9.0.0/16,fd99::/64 -o 4711
	says ok 'TCP of the app, excluded CIDR, to 10.9.0.0:9' 'direct.*: out-cidr-excluded$'
	says ok 'TCP of the app, excluded CIDR, to \[fd99::\]:9' 'direct.*: out-cidr-excluded$'
	says ok 'TCP of the app, excluded port, to 192.0.2.1:4711' 'direct: out-port-excluded$'
	with -i 10.0.0.0/8,fd00::/8 -q 8443
	says ok 'TCP of the app, to 192.0.2.1:80' 'direct: out-not-included$'
	says ok 'TCP of the app, included CIDR, to 10.0.0.0:9' 'the proxy on port 15001 got it$'
	says ok 'TCP of the app, included CIDR, to \[fd00::\]:9' 'the proxy on port 15001 got it$'
	says ok 'TCP of the app, included port, to 192.0.2.1:8443' 'the proxy on port 15001 got it$'
	with --capture-all-dns=false --dns-servers "$SVC4"
	says ok "DNS over UDP, connected socket, to $SVC4:53" 'the DNS agent on port 15053 answered$'
	with -i 0.0.0.0/0
	says ok 'TCP of the app, included CIDR, to 192.0.2.1:9' 'the proxy on port 15001 got it$'
	with -m TPROXY
	with -b '' # then the proxy need not listen for it
	same "" "$(grep -E 'own pod|inbound TCP' "$TMP/said")"
	with --outbound-owner-groups 1000
	says ok 'TCP of the app, to 192.0.2.1:80' 'direct: out-group-excluded$'
	tried 0 --uid 5 --gid 1000
	says ok 'TCP of the app, to 192.0.2.1:80' 'the proxy on port 15001 got it$'
	"$ST" update web --ipv6=off
	tried 0
	says ok 'TCP of the app, to \[2001:db8::1\]:80' 'direct.*: out-family-off$'
	"$ST" update web --ipv6=on
}

proxy_down() {
	stop "$PROXY"
	tried 1
	says FAILED 'TCP of the app, to 192.0.2.1:80' 'redirected, but nothing listens on port 15001: is the proxy down\?$'
	says FAILED 'TCP of the app, to \[2001:db8::1\]:80' 'redirected, but nothing listens on port 15001'
	says FAILED 'TCP of the proxy, to its own pod' 'redirected, but nothing listens on port 15006'
	says FAILED inbound-down 'nothing listens on port 15006: inbound connections are refused$'
	says FAILED outbound-down 'nothing listens on TCP port 15001: outbound connections are refused$'
	says ok 'DNS over UDP, connected socket, to 192.0.2.1:53' 'the DNS agent on port 15053 answered$'
	same 6 "$(kinds FAILED)"
	same "socktables: check: pod 'web': 6 of what was tried is not as the policy demands" "$(< "$TMP/stderr")"
	proxy_start web
	PROXY=$SERVED
	tried 0
}

agent_dead() {
	kill -STOP "$AGENT"
	tried 1
	says FAILED 'DNS over UDP, connected socket, to 192.0.2.1:53' 'redirected, but what listens on port 15053 does not answer$'
	says FAILED 'DNS over UDP, unconnected socket, to 192.0.2.1:53' 'redirected, but what listens on port 15053 does not answer$'
	stop "$AGENT"
	tried 1
	says FAILED 'DNS over TCP, to 192.0.2.1:53' 'redirected, but nothing listens on port 15053: is the DNS agent down\?$'
	says FAILED 'DNS over UDP, connected socket, to \[2001:db8::1\]:53' 'redirected, but nothing listens on port 15053'
	says FAILED 'DNS over UDP, unconnected socket, to 192.0.2.1:53' 'redirected, but nothing listens on port 15053'
	says FAILED dns-down 'nothing listens on UDP port 15053: DNS queries are refused$'
	same 8 "$(kinds FAILED)"
	agent_start web
	AGENT=$SERVED
	tried 0
}

# The policy's proxy is uid and gid 1337.
wrong_uid() {
	local ports=(line:0.0.0.0:15001 'line:[::]:15001' line:0.0.0.0:15006 'line:[::]:15006')
	stop "$PROXY"
	serve "$TMP/wrong" pod_run_as web 1000 "$STUB" proxy "${ports[@]}"
	tried 1
	says FAILED wrong-owner 'what listens on port 15001 is no proxy .*\(uid 1337, gid 1337\), but process .* of uid 1000, gid 1000: what it sends is captured, too$'
	same 2 "$(kinds FAILED)"
	stop "$SERVED"
	serve "$TMP/group" pod_run_as web 0:1337 "$STUB" proxy "${ports[@]}"
	tried 0
	stop "$SERVED"
	proxy_start web
	PROXY=$SERVED
}

# A hook that is gone, and one whose link hangs nowhere
hook_gone() {
	local hook
	for hook in connect4:'TCP of the app, to 192.0.2.1:80' connect6:'TCP of the app, to \[2001:db8::1\]:80' \
		sendmsg4:'DNS over UDP, unconnected socket, to 192.0.2.1:53'; do
		rm "$PINS/pods/web/st_${hook%%:*}"
		tried 1
		says FAILED link-missing "st_${hook%%:*}: its link is missing; attach it again$"
		says FAILED "${hook#*:}" 'not captured'
		attach web
	done
	bpftool link detach pinned "$PINS/pods/web/st_recvmsg4"
	tried 1
	says FAILED link-detached 'st_recvmsg4: '
	rm "$PINS/pods/web/st_inbound"
	tried 1
	says FAILED link-missing 'st_inbound: '
	attach web
	"$TEST_BIN/e2e_holder" "$PINS/pods/web/st_connect4" replace
	tried 1
	says FAILED program-replaced 'st_connect4: '
	says FAILED 'TCP of the app, to 192.0.2.1:80' 'not captured'
	"$ST" detach web
	attach web
	tried 0
}

# What status finds is told here, too.
address_changed() {
	ip -n web address add 10.77.0.55/24 dev eth0
	tried 1
	says FAILED addresses-changed '.* have changed, 10\.77\.0\.55 is new: '
	same 1 "$(kinds FAILED)"
	"$ST" agent --once
	tried 0
	ip -n web address del 10.77.0.55/24 dev eth0
	tried 1
	says FAILED addresses-changed '.* have changed, 10\.77\.0\.55 is gone: '
	ip -n web route add 10.88.0.0/16 via "$OUT4" src "$POD4_2ND"
	"$ST" agent --once
	tried 0
	ip -n web route del 10.88.0.0/16
	tried 1
	says FAILED addresses-changed ".* have changed: '"
	"$ST" agent --once
	tried 0
}

neighbour() {
	"$TEST_BIN/e2e_holder" "$CG/web" multi
	tried 0
	says note other-program 'program [0-9]+ \(holder\) runs there, too: cgroup/connect4, after ours$'
	bpftool cgroup detach "$CG/web" cgroup_inet4_connect id "$(bpftool -j cgroup show "$CG/web" | jq '.[] | select(.name == "holder").id')" multi
	tried 0
}

# inside: who is in the pod's cgroup
inside() {
	find "$CG/web" -name cgroup.procs -exec cat {} + | sort | paste -sd ' '
}

# alone: nobody but who was there in the beginning
alone() {
	[[ $(inside) == "$PROCESSES" ]]
}

# Nothing of it stays, whatever happens to it: neither process nor cgroup nor entry of a map.
leaves_nothing() {
	local before pid
	before=$(everything)
	tried 0
	same "$before" "$(everything)" "left behind"
	kill -STOP "$AGENT"
	"$ST" check web > /dev/null &
	pid=$!
	wait_for 10 not alone
	kill -KILL "$pid"
	wait_for 1 alone
	kill -CONT "$AGENT"
	same "$before" "$(everything)" "left behind by one that was killed"
}

# Counters are what it asks the programs by; listeners keep their slots.
everything() {
	"$TEST_BIN/e2e_state" "$CG/web" /run/netns/web | grep -v st_count | sort
	find "$CG/web" -type d
	inside
}

# A cgroup with controllers for its children takes no process: it goes into one below, for as long as it
# is there.
inner_cgroup() {
	local controller
	read -r controller _ < "$CG/cgroup.controllers" || skip_now "kernel: no controllers in cgroup v2 below the root"
	[[ -n $controller ]] || skip_now "kernel: no controllers in cgroup v2 below the root"
	mkdir "$CG/web/inner"
	for pid in $(< "$CG/web/cgroup.procs"); do echo "$pid" > "$CG/web/inner/cgroup.procs"; done
	echo "+$controller" > "$CG/cgroup.subtree_control"
	echo "+$controller" > "$CG/web/cgroup.subtree_control"
	tried 0
	same "$CG/web/inner" "$(find "$CG/web" -mindepth 1 -type d)"
	echo "-$controller" > "$CG/web/cgroup.subtree_control"
	for pid in $(< "$CG/web/inner/cgroup.procs"); do echo "$pid" > "$CG/web/cgroup.procs"; done
	rmdir "$CG/web/inner"
}

# A frozen pod takes processes and does not let them run: it is named, and nobody waits for it.
frozen() {
	local dir=$CG/web status=0 pid PROCESSES
	PROCESSES=$(inside)
	echo 1 > "$dir/cgroup.freeze"
	wait_for 10 grep -qx 'frozen 1' "$CG/web/cgroup.events"
	one_line 1 "check: pod 'web': its cgroup is frozen" timeout 20 "$ST" check web
	has "$(< "$TMP/stderr")" "^hint: thawed by 'echo 0 > $CG/web/cgroup.freeze'"
	echo 0 > "$dir/cgroup.freeze"
	wait_for 10 grep -qx 'frozen 0' "$CG/web/cgroup.events"
	# frozen when it is inside already, where the agent keeps it waiting
	kill -STOP "$AGENT"
	"$ST" check web > "$TMP/said" 2> "$TMP/stderr" &
	pid=$!
	wait_for 10 not alone
	echo 1 > "$dir/cgroup.freeze"
	timeout 20 "$ST" update web --ipv6=on
	wait "$pid" || status=$?
	same 1 "$status"
	same "socktables: check: pod 'web': its cgroup is frozen" "$(grep -v ^hint: "$TMP/stderr")"
	echo 0 > "$dir/cgroup.freeze"
	kill -CONT "$AGENT"
	wait_for 1 alone
	tried 0
}

# While it tries, it keeps nobody waiting, and says if what it tried was changed meanwhile.
no_lock() {
	local pid PROCESSES
	PROCESSES=$(inside)
	kill -STOP "$AGENT"
	"$ST" check web > "$TMP/said" 2> "$TMP/stderr" &
	pid=$!
	wait_for 10 not alone
	not grep -q "FLOCK .* $pid " /proc/locks
	"$ST" update web --ipv6=on -o 4711
	kill -CONT "$AGENT"
	wait "$pid" || true
	says note changed "the pod was changed while it was tried: check again$"
	"$ST" update web --ipv6=on
	tried 0
	same 0 "$(kinds note)"
}

refused() {
	one_line 3 "check: pod 'nobody': not attached" "$ST" check nobody
	one_line 2 "check: arguments: one NAME is needed" "$ST" check
	one_line 2 "check: uid 'x': not an id: a number from 0 to 4294967294" "$ST" check web --uid x
	one_line 2 "check: --gid '5': needs --uid" "$ST" check web --gid 5
	"$ST" detach web
	pod_make gone
	attach gone
	pod_drop gone
	one_line 1 "check: pod 'gone': its cgroup is gone" "$ST" check gone
	"$ST" detach gone
	one_line 3 "check: pod 'web': not attached" "$ST" check web
}

pod_make web
outside_start web
attach web
proxy_start web
PROXY=$SERVED
agent_start web
AGENT=$SERVED
PROCESSES=$(inside)
check "a whole pod" whole
check "nothing of it stays" leaves_nothing
check "policies with lists" lists
check "a cgroup in which no process may live" inner_cgroup
check "the proxy is down" proxy_down
PROXY=$(sed -n 's/^ready //p' "$TMP/web.proxy")
check "the DNS agent is dead" agent_dead
AGENT=$(sed -n 's/^ready //p' "$TMP/web.agent")
check "the proxy is not who the policy says" wrong_uid
PROXY=$(sed -n 's/^ready //p' "$TMP/web.proxy")
check "hooks are gone" hook_gone
check "an address is new" address_changed
check "somebody else's program on a hook" neighbour
check "JSON" json
check "a pod that is frozen" frozen
check "nobody waits while it tries" no_lock
check "what is refused" refused
finish
