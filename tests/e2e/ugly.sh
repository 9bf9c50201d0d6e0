#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sockets that are not made, connected or kept as most are. What must happen to each is what iptables
# does, which sees the SYN whoever sends it, and the socket's file for its owner.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

UGLY=$TEST_BIN/e2e_ugly

# ugly UID HOW ARG...: in pod a; without the numbers that vary
ugly() {
	local uid=$1
	shift
	pod_run_as a "$uid" "$UGLY" "$@" | sed -E 's/name=([^ ]+):[0-9]+ /name=\1 /; s/ copy=.* od=/ od=/'
}

# As an app's ordinary socket: names are the service's and the pod's, the proxy is told the service.
captured4="peer=$SVC4:80 name=$POD4 proxy od=$SVC4:80"
captured6="peer=[$SVC6]:80 name=[$POD6] proxy od=[$SVC6]:80"
direct4="peer=$SVC4:80 name=$POD4 outside od=ENOENT"

# in_a FILE VALUE: a setting of the pod's namespace
in_a() {
	nsenter --net=/run/netns/a tee "/proc/sys/net/$1" <<< "$2" > /dev/null
}

# counter_of NAME: a TCP counter of the pod's namespace
counter_of() {
	nsenter --net=/run/netns/a nstat -asz "$1" | awk -v name="$1" '$1 == name { print $2 }'
}

# The connect hook runs in sendmsg() or at the first write, the origin is handed over with the SYN that
# has the data; the accepted socket of a fast open comes into being earlier, at the SYN.
fast_open() {
	local how before
	before=$(counter_of TcpExtTCPFastOpenPassive)
	for how in fastopen fastopen-connect; do
		same "$captured4" "$(ugly 1000 "$how" "$SVC4:80")" "$how"
		same "$captured6" "$(ugly 1000 "$how" "[$SVC6]:80")" "$how"
		same "$direct4" "$(ugly 1337 "$how" "$SVC4:80")" "$how, the proxy's own"
	done
	# or else this was no fast open
	same $((before + 4)) "$(counter_of TcpExtTCPFastOpenPassive)" "accepted with data in the SYN"
}

# The accepted socket is made from the cookie when the ACK comes: what the SYN left is still there.
syn_cookies() {
	local before
	in_a ipv4/tcp_syncookies 2 # always
	before=$(counter_of TcpExtSyncookiesRecv)
	has "$(dial a "$SVC4:80")" "od=$SVC4:80\$"
	same "$(dial a "$SVC4:80" | who) $(dial a "[$SVC6]:80" | who)" "proxy proxy"
	has "$(dial a "[$SVC6]:80")" "od=\[$SVC6\]:80\$"
	(($(counter_of TcpExtSyncookiesRecv) >= before + 4))
	in_a ipv4/tcp_syncookies 1
}

# An MPTCP client's subflow is what connects; the socket itself has to remember the same. The proxy
# speaks TCP, so the connection falls back to that.
mptcp_client() {
	ugly 1000 mptcp "$SVC4:80" > "$TMP/mptcp" || skip_now "kernel: $(tail -n 1 "$TMP/mptcp")"
	same "$captured4" "$(cat "$TMP/mptcp")"
	same "$captured6" "$(ugly 1000 mptcp "[$SVC6]:80")"
	same "$direct4" "$(ugly 1337 mptcp "$SVC4:80")" "the proxy's own"
}

# Who insists on a device gets no answer from the proxy, which is reached by lo; with iptables neither, as
# the answer comes by lo. The proxy's own are not redirected.
to_device() {
	in_a ipv4/tcp_syn_retries 1
	same "error=ETIMEDOUT" "$(ugly 1000 device "$SVC4:80" eth0)"
	same "error=ETIMEDOUT" "$(ugly 1000 device "[$SVC6]:80" eth0)"
	same "$direct4" "$(ugly 1337 device "$SVC4:80" eth0)" "the proxy's own"
	in_a ipv4/tcp_syn_retries 6
}

# The hook runs in the task that connects: the caller, or a worker of the kernel's. The owner is that of
# the socket's file in both.
io_uring() {
	ugly 1000 uring "$SVC4:80" > "$TMP/uring" 2>&1
	! grep -q 'io_uring_setup' "$TMP/uring" || skip_now "kernel: $(cat "$TMP/uring")"
	same "$captured4"$'\n'"$captured4" "$(cat "$TMP/uring")"
	same "$captured6"$'\n'"$captured6" "$(ugly 1000 uring "[$SVC6]:80")"
	same "$direct4"$'\n'"$direct4" "$(ugly 1337 uring "$SVC4:80")" "the proxy's own"
}

# Whose socket it is, is decided when it is made (xt_owner asks for the credentials of its file).
passed_on() {
	same "$direct4" "$(pod_run a setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps +setuid,+setgid \
		--ambient-caps +setuid,+setgid -- "$UGLY" passed "$SVC4:80" 1000 | tail -n 1 |
		sed -E 's/name=([^ ]+):[0-9]+ /name=\1 /; s/ copy=.* od=/ od=/')" "the proxy's, used by an app"
	same "$captured4" "$(pod_run a "$UGLY" passed "$SVC4:80" 1337 | tail -n 1 |
		sed -E 's/name=([^ ]+):[0-9]+ /name=\1 /; s/ copy=.* od=/ od=/')" "root's, used by the proxy"
}

# A connection stays what it is; a socket that connects after the attach is captured, as the hooks are
# asked then; a socket that was made outside of the pod's cgroup never is (as of a process that entered
# the pod by nsenter).
before_attach() {
	"$ST" detach a
	keep old dial a -k "$SVC4:80"
	keep idle pod_run_as a 1000 "$UGLY" wait "$SVC4:80"
	keep foreign nsenter --net=/run/netns/a setpriv --reuid 1000 --regid 1000 --clear-groups -- "$UGLY" wait "$SVC4:80"
	attach a
	still outside old
	echo > "$TMP/idle.in"
	echo > "$TMP/foreign.in"
	wait_for 10 grep -q 'od=' "$TMP/idle.out"
	wait_for 10 grep -q 'od=' "$TMP/foreign.out"
	has "$(tail -n 1 "$TMP/idle.out")" "^peer=$SVC4:80 name=$POD4:.* proxy .* od=$SVC4:80\$"
	has "$(tail -n 1 "$TMP/foreign.out")" "^peer=$SVC4:80 name=$POD4:.* outside"
	hang_up old
}

# Two connections from one port of the pod's, to two destinations, at one time: as with iptables both
# reach the proxy. Towards one address of it they would be one and the same; IPv6 has a second one.
one_port() {
	keep first4 dial a -b "$POD4:4444" -k "$SVC4:80"
	keep first6 dial a -b "[$POD6]:4444" -k "[$SVC6]:80"
	has "$(dial a -b "$POD4:4444" "$SVC4_2ND:80")" "proxy .* od=$SVC4_2ND:80\$"
	has "$(dial a -b "[$POD6]:4444" "[$SVC6_2ND]:80")" "proxy .* od=\[$SVC6_2ND\]:80\$"
	still proxy first4 first6
	hang_up first4
	hang_up first6
}

# An address has 28,232 ports for its connections to one other. IPv4 has 65,000 times as many, as the
# proxy is reached at addresses all over 127.0.0.0/8; IPv6 has ::1 alone, and what is more than its ports
# is refused as it would be towards any one destination. With iptables each destination has its own.
# In three processes at either end, as one may not have so many files.
many_connections() {
	local n
	stop "$PROXY"
	for n in 1 2 3; do
		serve "$TMP/proxy.$n" pod_run_as a 1337 "$STUB" -n 2 proxy line:0.0.0.0:15001 'line:[::]:15001'
	done
	for n in 1 2 3; do
		keep_start "many$n" pod_run a "$UGLY" many "10.20$n.0.0:80" 14000
	done
	wait_for 60 connected 42000
	same 42000 "$(nsenter --net=/run/netns/a ss -Htn state established '( dport = :15001 )' | wc -l)" "connections"
	for n in 1 2 3; do
		echo > "$TMP/many$n.in"
		wait_for 60 grep -q '^told=14000$' "$TMP/many$n.out"
	done
	in_a ipv4/ip_local_port_range "32768 33767" # 1000 ports
	has "$(pod_run a "$UGLY" many '[fd99::]:80' 1200 < /dev/null | paste -sd ' ')" \
		'^error=EADDRNOTAVAIL connected=(9[0-9][0-9]|1000) told=\1$'
	same "connected=1200 told=1200" "$(pod_run a "$UGLY" many 10.200.0.0:80 1200 < /dev/null | paste -sd ' ')"
	in_a ipv4/ip_local_port_range "32768 60999"
	wait_for 10 no_handshakes
}

connected() {
	same "$1" "$(cat "$TMP"/many?.out | awk -F= '/^connected/ { n += $2 } END { print n }')"
}

no_handshakes() {
	! "$TEST_BIN/e2e_state" "$CG/a" /run/netns/a | grep -q '^handshake'
}

pod_make a
outside_start a
app_start a
# client and server, without cookies, and for listeners that do not ask for it
in_a ipv4/tcp_fastopen $((1 | 2 | 4 | 0x200 | 0x400))
proxy_start a
PROXY=$SERVED
agent_start a
attach a
check "TCP Fast Open: data in the SYN" fast_open
check "SYN cookies" syn_cookies
check "MPTCP" mptcp_client
check "SO_BINDTODEVICE" to_device
check "io_uring" io_uring
check "sockets that are handed over" passed_on
check "two connections from one port" one_port
check "40,000 connections at once" many_connections
check "sockets from before the attach, or from elsewhere" before_attach
finish
