#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Nothing is left of connections that are over, however they ended: all maps are empty but for what
# describes the pod, and conntrack never heard of it.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

LOAD=$TEST_BIN/e2e_load

# load COUNT HOW WHERE: e2e_load as the pod's app
load() {
	pod_run_as a 1000 "$LOAD" "$@"
}

# entries MAP: how many there are
entries() {
	bpftool map dump pinned "$PINS/$1" | grep -c '"key":'
}

# The maps that should have no entry. Those of sk_storage are in the sockets: nobody can count them.
short_lived() {
	bpftool -jf map show | jq -r --arg at "$PINS/" '.[] | select(.type != "sk_storage") |
		.pinned[]? | select(startswith($at)) | .[($at | length):]' | sort -u |
		grep -vxE 'st_version|st_policy|st_class|st_ids|st_count|st_listener|st_caller|st_jump|st_number|st_dest|st_numbering|st_tracing|st_known'
}

# leftovers: those of them that have entries, with their number
leftovers() {
	local map
	for map in $SHORT_LIVED; do
		[[ $(entries "$map") == 0 ]] || echo "$map: $(entries "$map")"
	done
}

# clean: no entry that should not be there; a socket may take a moment to go
clean() {
	local end=$((SECONDS + 5))
	until [[ -z $(leftovers) ]]; do
		((SECONDS < end)) || { leftovers && return 1; }
	done
}

# tracked: connections that conntrack knows in the pod's namespace; none before its module is loaded
tracked() {
	nsenter --net=/run/netns/a cat /proc/sys/net/netfilter/nf_conntrack_count 2> /dev/null || echo 0
}

# --- connections that work, and that are refused --------------------------------------------------

twenty_thousand() {
	local before
	before=$(counter origdst-redirected)
	same "8000 ok " "$(load 8000 ask "$SVC4:80")" "IPv4"
	same "8000 ok " "$(load 8000 ask "[$SVC6]:80")" "IPv6"
	same "3000 ok " "$(load 3000 ask "[::ffff:$SVC4]:80")" "v4-mapped"
	same "1000 ok " "$(out_run a "$LOAD" 1000 ask "$POD4:8080")" "inbound"
	same 19000 "$(($(counter origdst-redirected) - before))" "original destinations told"
	same 0 "$(counter handshake-lost)" "original destinations lost"
	clean
}

refused() {
	same "2500 ECONNREFUSED " "$(load 2500 ask "$SVC4:80")"
	same "2000 ECONNREFUSED " "$(load 2000 ask "[$SVC6]:80")"
	same "500 ECONNREFUSED " "$(load 500 ask "[::ffff:$SVC4]:80")"
	same "500 ECONNREFUSED " "$(out_run a "$LOAD" 500 ask "$POD4:8080")"
	clean
}

# Each from a socket of its own: the app's, connected and not, and one that asks two resolvers.
dns() {
	dial a -n 500 "dns:$SVC4:53" "sendto:$SVC4:53" "sendto:[$SVC6]:53" "dns:[$SVC6]:53" \
		"sendto:[::ffff:$SVC4]:53" > "$TMP/dns"
	same 2500 "$(grep -c 'a=10.0.0.15$' "$TMP/dns")" "answers of the agent"
	clean
}

# The socket never hears of it, whoever is asked: only the counters tell.
dns_aside() {
	local before passed steps='send=outside:5353 connect=outside:53 send=outside2:53'
	before=$(counter out-dns)
	passed=$(counter out-source-loopback)
	printf 'app udp4 %s\napp udp6 %s\napp udpm %s\n' "$steps" "$steps" "$steps" |
		pod_run a "$TEST_BIN/diff_flow" > /dev/null
	same 6 "$(($(counter out-dns) - before))" "sent to the agent"
	same "$passed" "$(counter out-source-loopback)" "let pass"
}

pod_make a
outside_start a
app_start a
echo "1024 65000" | nsenter --net=/run/netns/a tee /proc/sys/net/ipv4/ip_local_port_range > /dev/null
attach a
SHORT_LIVED=$(short_lived)
proxy_start a
PROXY=$SERVED
agent_start a
check "20,000 connections through the proxy" twenty_thousand
check "2,500 DNS queries" dns
check "DNS of a socket that is connected to another resolver" dns_aside
stop "$PROXY"
check "5,500 connections without a proxy" refused

# --- handshakes that never end --------------------------------------------------------------------

# holding COUNT WHERE: a client that has COUNT handshakes under way; its pid is in $HOLDING
holding() {
	: > "$TMP/holding"
	pod_run_as a 1000 "$LOAD" "$1" hold "$2" <> "$TMP/load.in" > "$TMP/holding" &
	wait_for 10 grep -q holding "$TMP/holding"
	read -r _ HOLDING < "$TMP/holding"
}

# The proxy never accepts: its queue takes one connection, the others do not get over their SYN.
client_closes() {
	local waiting
	holding 300 "[$SVC6]:80"
	waiting=$(entries st_handshake)
	echo > "$TMP/load.in"
	has "$waiting" '^(299|300)$'
	clean
}

client_killed() {
	local waiting
	holding 300 "[$SVC6]:80"
	waiting=$(entries st_handshake)
	kill -KILL "$HOLDING"
	has "$waiting" '^(299|300)$'
	clean
}

client_gives_up() {
	has "$(load 100 wait "$SVC4:80")" '^([01] ok )?(99|100) ETIMEDOUT $'
	clean
}

client_drops() {
	same "1000 ok " "$(load 1000 drop "$SVC4:80")"
	same "1000 ok " "$(load 1000 drop "[$SVC6]:80")"
	clean
}

# The connection is complete for the client, but the proxy's queue is full: it is reset.
overflow() {
	echo 1 | nsenter --net=/run/netns/a tee /proc/sys/net/ipv4/tcp_abort_on_overflow > /dev/null
	load 300 ask "$SVC4:80" > "$TMP/overflow" &
	stop "$SERVED"
	wait "$!"
	has "$(cat "$TMP/overflow")" 'ECONNRE'
	clean
}

proxy_dies() {
	holding 200 "[$SVC6]:80"
	stop "$SERVED"
	echo > "$TMP/load.in"
	clean
}

mkfifo "$TMP/load.in"
hold_proxy() {
	serve "$TMP/hold" pod_run_as a 1337 "$STUB" proxy hold:0.0.0.0:15001 'hold:[::]:15001'
}

hold_proxy
check "the proxy's queue is full: clients close" client_closes
check "the proxy's queue is full: clients are killed" client_killed
check "the proxy's queue is full: clients time out" client_gives_up
check "the proxy's queue is full: clients close at once" client_drops
check "the proxy's queue is full, and the proxy dies" proxy_dies
hold_proxy
check "the proxy's queue overflows and resets" overflow
proxy_start a
PROXY=$SERVED
check "the proxy works: clients close at once" client_drops
stop "$PROXY"

# --- a proxy that is not the pod's ----------------------------------------------------------------

# In the pod's namespace but not in its cgroup, so that nothing runs when it accepts.
stranger() {
	serve "$TMP/stranger" nsenter --net=/run/netns/a setpriv --reuid 1337 --clear-groups \
		"$STUB" stranger line:0.0.0.0:15001 'line:[::]:15001'
	same "500 ok " "$(load 500 ask "$SVC4:80")"
	same "500 ok " "$(load 500 ask "[$SVC6]:80")"
	holding 100 "[$SVC6]:80"
	kill -KILL "$HOLDING"
	clean
	stop "$SERVED"
}

untracked() {
	same 0 "$(tracked)" "connections that conntrack knows"
	"$ST" detach a
	# So that 0 means something: the same with a rule that needs conntrack
	needs iptables iptables
	nsenter --net=/run/netns/a iptables -t nat -A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 80
	same "outside" "$(dial a "$SVC4:80" | who)"
	has "$(tracked)" '^[1-9]'
}

check "the proxy is not in the pod's cgroup" stranger
no_listener() {
	has "$SHORT_LIVED" '^st_handshake$'
	same 0 "$(entries st_listener)"
}
check "no listener is left" no_listener
check "conntrack knows nothing" untracked
finish
