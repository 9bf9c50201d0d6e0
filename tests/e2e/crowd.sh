#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# More connections at once from one pod than there are ephemeral ports, to distinct destinations: they
# all go to the proxy, in IPv4 to addresses all over 127.0.0.0/8. IPv6 has but one loopback address.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# In processes of their own, so that none needs more files than most machines allow root
PROCESSES=4 EACH=10000
MANY=$((PROCESSES * EACH))
ulimit -n $((2 * EACH)) 2> /dev/null || ulimit -n "$(ulimit -Hn)"

# crowd NAME FAMILY FIRST COUNT SAMPLE: of the app, in the background
crowd() {
	keep_start "$1" pod_run_as a 1000 "$TEST_BIN/e2e_crowd" "${@:2}"
}

crowd_told() {
	grep -q '^right' "$TMP/$1.out" || not test -d "/proc/${KEPT[$1]}"
}

# crowd_is NAME WANT: when it has all its connections
crowd_is() {
	wait_for 120 crowd_told "$1"
	same "$2" "$(cat "$TMP/$1.out")" "$1"
}

# crowds_go NAME...: end
crowds_go() {
	local name
	for name; do
		hang_up "$name"
	done
	wait_for 60 no_connections
}

no_connections() {
	[[ -z $(ip netns exec a ss -Htn state established) ]]
}

# ports FIRST LAST: the pod's ephemeral ports
ports() {
	nsenter --net=/run/netns/a "$BASH" -c "echo $1 $2 > /proc/sys/net/ipv4/ip_local_port_range"
}

handshakes() {
	bpftool -j map dump pinned "$PINS/st_handshake" | jq length
}

# What is remembered hangs on the sockets; the map between the ends is empty again.
many() {
	local n names=() first last
	read -r first last < <(nsenter --net=/run/netns/a cat /proc/sys/net/ipv4/ip_local_port_range)
	((last - first < MANY - EACH)) || { echo "with the ports $first to $last this says nothing" && return 1; }
	for ((n = 0; n < PROCESSES; n++)); do
		crowd "crowd$n" 4 $((n * EACH)) "$EACH" 300
		names+=("crowd$n")
	done
	for n in "${names[@]}"; do
		crowd_is "$n" "opened $EACH
right 300 of 300"
	done
	same "$((2 * MANY))" "$(ip netns exec a ss -Htn state established | wc -l)" "connections, both ends"
	same 0 "$(handshakes)" "entries between the ends"
	same "proxy" "$(dial a "$SVC4:80" | who)" "one more"
	crowds_go "${names[@]}"
	same 0 "$(handshakes)" "entries between the ends, afterwards"
}

few_ports() {
	ports 40000 40099
	crowd few 4 0 2000 200
	crowd_is few "opened 2000
right 200 of 200"
	crowds_go few
}

# As many as there are ports, and then a clean failure, which lets nobody pass the proxy by.
one_address() {
	ports 40000 40099
	crowd one 6 0 200 100
	crowd_is one "opened 100 EADDRNOTAVAIL
right 100 of 100"
	same EADDRNOTAVAIL "$(dial a "[$SVC6]:80" | who)" "another process"
	same "proxy" "$(dial a "$SVC4:80" | who)" "in IPv4"
	crowds_go one
	same proxy "$(dial a "[$SVC6]:80" | who)" "when they are gone"
}

# A proxy that listens on 127.0.0.1 alone has one address in IPv4, too.
one_address4() {
	stop "${PROXIES[@]}"
	serve "$TMP/a.proxy" pod_run_as a 1337 "$STUB" proxy line:127.0.0.1:15001
	ports 40000 40099
	crowd one 4 0 200 100
	crowd_is one "opened 100 EADDRNOTAVAIL
right 100 of 100"
	crowds_go one
}

pod_make a
outside_start a
attach a
PROXIES=()
for ((i = 0; i < PROCESSES; i++)); do
	serve "$TMP/a.proxy$i" pod_run_as a 1337 "$STUB" -r proxy line:0.0.0.0:15001 'line:[::]:15001'
	PROXIES+=("$SERVED")
done
check "$MANY connections at once, IPv4" many
check "twenty times as many as there are ports, IPv4" few_ports
check "as many as there are ports, IPv6" one_address
check "as many as there are ports, for a proxy on 127.0.0.1 alone" one_address4
finish
