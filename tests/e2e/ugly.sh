#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sockets of rare kinds: TCP Fast Open, SYN cookies, MPTCP, devices, shared ports, AF_UNSPEC, io_uring,
# sockets that change hands. Each is asked what happens to it in an attached pod and in one with
# iptables' rules, and what is right is what iptables does. Then sockets that are older than the attach.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
env_private "$@"

UGLY=$TEST_BIN/e2e_ugly
POD=''	# whom the questions go to: st (attached), ipt (with iptables' rules)
MAPPED4=::ffff:$SVC4
REMOTE=("$SVC4:80" "[$SVC6]:80" "[$MAPPED4]:80")

# --- asking ---------------------------------------------------------------------------------------

# plain: client ports are P where the server sees the same, or iptables gave the proxy another one, which
# conntrack does when an earlier flow has it; the proxy's loopback address is LO
plain() {
	local rewritten=''
	[[ $POD != ipt ]] || rewritten='s/(name=[^ ]*):[0-9]+ (proxy .* peer=[^ ]*):[0-9]+ /\1:P \2:P /;'
	sed -E "$rewritten"'s/(name=[^ ]*):([0-9]+) (.* peer=[^ ]*):\2 /\1:P \3:P /
		s/local=(127\.[0-9.]+|\[::1\]|\[::6\]):/local=LO:/'
}

# ugly ARG...: what the app's e2e_ugly says
ugly() {
	pod_run_as "$POD" 1000 "$UGLY" "$@" | plain
}

# own DEST: the pod's address as a socket that dials DEST is shown it
own() {
	case $1 in
	\[::ffff:*) echo "[::ffff:$POD4]" ;;
	\[*) echo "[$POD6]" ;;
	*) echo "$POD4" ;;
	esac
}

# at_proxy DEST [PORT]: what it says of a destination where the proxy answers
at_proxy() {
	local own seen=${1/::ffff:/}
	own=$(own "$1")
	[[ $1 == "$seen" ]] || seen=${seen//[\[\]]/} own=$POD4
	echo "peer=$1 name=$(own "$1"):P proxy copy=1 peer=$own:P local=LO:${2:-15001} od=$seen"
}

# direct DEST: of one that is left alone
direct() {
	local own seen=${1/::ffff:/}
	own=$(own "$1")
	[[ $1 == "$seen" ]] || seen=${seen//[\[\]]/} own=$POD4
	echo "peer=$1 name=$(own "$1"):P outside copy=1 peer=$own:P local=$seen od=ENOENT"
}

# each ARG...: every kind of destination by such a socket reaches the proxy, which is told the truth
each() {
	local to
	for to in "${REMOTE[@]}"; do
		same "$(at_proxy "$to")" "$(ugly "$@" "$to")" "$* $to"
	done
}

# sysctl_set NAME VALUE: in the pod
sysctl_set() {
	nsenter --net="/run/netns/$POD" "$BASH" -c "echo $2 > /proc/sys/net/$1"
}

# tcp_count NAME: a counter of the pod's kernel
tcp_count() {
	nsenter --net="/run/netns/$POD" cat /proc/net/netstat | awk -v name="$1" '
		{ for (i = 2; i <= NF; i++) if (names[i] == name) print $i; split($0, names) }'
}

# counts NAME N CMD...: inside check: CMD makes this counter grow by N
counts() {
	local before
	before=$(tcp_count "$1")
	"${@:3}"
	same "$2" "$(($(tcp_count "$1") - before))" "$1"
}

# proxy_again [ARG...]: the proxy, listening anew
proxy_again() {
	stop "$(cat "$TMP/$POD.pid")"
	serve "$TMP/$POD.proxy" pod_run_as "$POD" 1337 "$STUB" "$@" proxy line:0.0.0.0:15001 'line:[::]:15001' \
		line:0.0.0.0:15006 'line:[::]:15006'
	echo "$SERVED" > "$TMP/$POD.pid"
}

# --- ways to connect --------------------------------------------------------------------------------

fast_open() {
	each -w tfo
	each -w tfoconnect
}

# 1: clients; 2: servers; 4, 0x200: without a cookie; 0x400: all listeners
tfo() {
	counts TCPFastOpenPassive 6 fast_open
}

# The listener takes no data from a SYN: it is sent again.
tfo_refused() {
	counts TCPFastOpenPassive 0 fast_open
}

# The first ones get a cookie, each of the second ones shows it: the proxy has one address for a destination.
tfo_cookie() {
	fast_open
	counts TCPFastOpenPassive 6 fast_open
}

cookies() {
	counts SyncookiesRecv 3 each
}

unspec() {
	local to other
	for to in "${REMOTE[@]}"; do
		other=${to/:80/:8080}
		same "$(at_proxy "$to"; at_proxy "$other")" "$(ugly "$to" unspec "$other")"
	done
	# To where nothing is redirected, and back: what was remembered is forgotten
	same "$(at_proxy "$SVC4:80")
peer=127.0.0.1:15020 name=127.0.0.1:P app copy=1 peer=127.0.0.1:P local=LO:15020 od=127.0.0.1:15020
$(at_proxy "$SVC4:80")" "$(ugly "$SVC4:80" unspec 127.0.0.1:15020 unspec "$SVC4:80")"
	same "$(at_proxy "$SVC4:80")
peer=ENOTCONN name=0.0.0.0" "$(ugly "$SVC4:80" unspec names | sed 's/\(0\.0\.0\.0\):[0-9]*$/\1/')"
	# UDP, connected to one resolver, to another, to none
	same "from=$SVC4:53 a=10.0.0.15
from=$SVC4_2ND:53 a=10.0.0.15
from=$SVC4:53 a=10.0.0.15" "$(ugly -u "dns:$SVC4:53" unspec "dns:$SVC4_2ND:53" unspec "sendto:$SVC4:53")"
	same "from=[$SVC6]:53 a=10.0.0.15
from=[$SVC6_2ND]:53 a=10.0.0.15" "$(ugly -u "dns:[$SVC6]:53" unspec "dns:[$SVC6_2ND]:53")"
}

# A socket that is bound to a device keeps to it: to the proxy, which is on lo, there is no way.
device() {
	local to
	for to in "$SVC4:80" "[$SVC6]:80" "[$MAPPED4]:80"; do
		same error=EINPROGRESS "$(ugly -t 1 -d eth0 "$to")" "eth0 $to"
	done
	same error=EINPROGRESS "$(ugly -t 1 -d lo "$SVC4:80")" "lo v4"
	same error=ENETUNREACH "$(ugly -t 1 -d lo "[$SVC6]:80")" "lo v6"
	same error=EINPROGRESS "$(pod_run_as "$POD" 1337 "$UGLY" -t 1 -d lo "$SVC4:80")" "the proxy's, lo v4"
	same error=EAGAIN "$(ugly -t 1 -u -d eth0 "dns:$SVC4:53")" "DNS, eth0"
	same error=EAGAIN "$(ugly -t 1 -u -d lo "sendto:$SVC4:53")" "DNS, lo"
	same error=ENETUNREACH "$(ugly -t 1 -u -d lo "dns:[$SVC6]:53")" "DNS, lo v6"
	same error=ECONNREFUSED "$(ugly -d eth0 "$SVC4:15020")" "an excluded port"
	has "$(ugly -d eth0 "$POD4:8080")" "^peer=$POD4:8080 name=$POD4:P app "
	has "$(ugly -d lo 127.0.0.1:8080)" '^peer=127.0.0.1:8080 name=127.0.0.1:P app '
	same "$(direct "$SVC4:80")" "$(pod_run_as "$POD" 1337 "$UGLY" -d eth0 "$SVC4:80" | plain)" "the proxy's"
}

# Nobody in particular: the kernel refuses to connect there, and the proxy never hears of it.
not_unicast() {
	local to
	for to in 224.0.0.1:80 239.255.255.255:53 255.255.255.255:80 10.77.0.255:80 127.255.255.255:80 '[ff0e::1]:80' '[::ffff:224.0.0.1]:80'; do
		same error=ENETUNREACH "$(ugly -t 5 "$to")" "$to"
		same error=ENETUNREACH "$(pod_run_as "$POD" 1337 "$UGLY" -t 5 "$to")" "the proxy's, $to"
	done
	same "$(at_proxy 240.0.0.1:80)" "$(ugly 240.0.0.1:80)" "no multicast any more"
	same "from=224.0.0.251:53 a=10.0.0.15" "$(ugly -u sendto:224.0.0.251:53)" "DNS"
}

# One source port towards two destinations. iptables rewrites the port of the second on the proxy's side,
# as both would be one connection there; here the second goes to another address of the proxy.
one_port() {
	local from=$1 first=$2 second=$3 got
	got=$(ugly -n -b "$from:5555" "$first" "$second")
	[[ $POD == st ]] || got=$(sed -E '2s/(name=[^ ]*):5555 (.* peer=[^ ]*):[0-9]+ /\1:P \2:P /' <<< "$got")
	same "$(at_proxy "$first"; at_proxy "$second")" "$got"
}

shared_port() {
	one_port "$POD4" "$SVC4:80" "$SVC4_2ND:80"
	one_port "[$POD6]" "[$SVC6]:80" "[$SVC6_2ND]:80"
	one_port "[::ffff:$POD4]" "[$MAPPED4]:80" "[::ffff:$SVC4_2ND]:80"
}

# io_uring: the task itself connects, or a thread of the kernel
ring() {
	[[ $(cat /proc/sys/kernel/io_uring_disabled 2> /dev/null) != 2 ]] || skip_now "kernel: io_uring is disabled"
	each -w uring
	each -w uringasync
}

# --- changing hands ---------------------------------------------------------------------------------

# made_by UID USER ARG... DEST: a socket made by UID, used by USER
made_by() {
	local uid=$1 user=$2 family=-4
	shift 2
	[[ ${*: -1} != \[* ]] || family=-6
	pod_run "$POD" "$UGLY" "$family" -o "$uid" exec setpriv --reuid "$user" --regid "$user" --clear-groups -- \
		"$UGLY" -f 3 "$@" | plain
}

# Who made it is who counts, whoever connects, and by whatever thread.
owner() {
	local to
	for to in "${REMOTE[@]}"; do
		same "$(direct "$to")" "$(made_by 1337 1000 "$@" "$to")" "the proxy's, used by the app: $to"
		same "$(at_proxy "$to")" "$(made_by 1000 1337 "$@" "$to")" "the app's, used by the proxy: $to"
	done
}

owner_ring() {
	owner -w uring
	owner -w uringasync
}

passed() {
	same "$(at_proxy "$SVC4:80")" "$(ugly -p "$SVC4:80")"
	same "$(at_proxy "[$SVC6]:80")" "$(ugly -6 -p "[$SVC6]:80")"
	# Connected, and then another's
	same "$(at_proxy "$SVC4:80")
$(at_proxy "$SVC4:80" | grep -o '^peer=[^ ]* name=[^:]*')" "$(pod_run "$POD" "$UGLY" -o 1000 "$SVC4:80" \
		exec setpriv --reuid 65534 "$UGLY" -f 3 names | plain | sed 's/^\([^ ]* name=[^: ]*\):[0-9]*$/\1/')"
}

# To a process of another pod, in another cgroup and namespace: it stays a socket of this one.
other_pod() {
	local to
	for to in "$SVC4:80" "[$SVC6]:80"; do
		same "$(at_proxy "$to")" "$(pod_run "$POD" "$UGLY" "$([[ $to != \[* ]] && echo -4 || echo -6)" -o 1000 exec \
			"$BASH" -c "echo 0 > '$CG/other/cgroup.procs' && exec nsenter --net=/run/netns/other -- \"\$@\"" - \
			setpriv --reuid 1000 "$UGLY" -f 3 "$to" | plain)"
	done
}

# --- MPTCP ------------------------------------------------------------------------------------------

mptcp_is_there() {
	[[ -r /proc/sys/net/mptcp/enabled ]] || skip_now "kernel: no MPTCP"
}

mptcp_client() {
	local to
	mptcp_is_there
	each -m
	for to in "${REMOTE[@]}"; do
		same "$(at_proxy "$to"; at_proxy "${to/:80/:8080}")" "$(ugly -m "$to" unspec "${to/:80/:8080}")"
		same "$(direct "$to")" "$(pod_run_as "$POD" 1337 "$UGLY" -m "$to" | plain)" "the proxy's own $to"
	done
	same "$(at_proxy "$SVC4:80")
peer=127.0.0.1:15020 name=127.0.0.1:P app copy=1 peer=127.0.0.1:P local=LO:15020 od=127.0.0.1:15020" \
		"$(ugly -m "$SVC4:80" unspec 127.0.0.1:15020)" "then to where nothing is redirected"
}

# A proxy that listens with MPTCP: of what came by TCP it is told all; of MPTCP no option of IP is told.
mptcp_listener() {
	local to
	mptcp_is_there
	proxy_again -m
	each
	for to in "${REMOTE[@]}"; do
		same "$(at_proxy "$to" | sed 's/od=.*/od=EOPNOTSUPP/')" "$(ugly -m "$to")"
	done
	proxy_again
}

# Inbound, a listener of MPTCP gets nothing here, and is counted: no kernel can both register it and
# stay alive.
mptcp_inbound() {
	local before
	mptcp_is_there
	before=$(pod_counter listener-mptcp)
	proxy_again -m
	same "$INBOUND_MPTCP" "$(out_run "$POD" "$DIAL" "$POD4:8080" "[$POD6]:8080" | who)" "a younger listener"
	if [[ $POD == st ]]; then
		same 2 "$(($(pod_counter listener-mptcp) - before))" listener-mptcp
		"$ST" detach st
		attach st
		same 2 "$(pod_counter listener-mptcp)" "listener-mptcp of older ones"
		same "$INBOUND_MPTCP" "$(out_run st "$DIAL" "$POD4:8080" "[$POD6]:8080" | who)" "an older listener"
		has "$("$ST" status st)" 'warning +what listens on port 15006 was never registered'
	fi
	proxy_again
	same "proxy proxy" "$(out_run "$POD" "$DIAL" "$POD4:8080" "[$POD6]:8080" | who)" "a listener of TCP"
}

# pod_counter REASON: of pod st, both families together
pod_counter() {
	[[ $POD == st ]] || return 0
	"$ST" stats st --json | jq --arg why "$1" '.[0] | .ipv4[$why] + .ipv6[$why]'
}

# The kernel adds a subflow from the pod's other address: the app is not told of it.
mptcp_joined() {
	local got
	mptcp_is_there
	proxy_again -m
	nsenter --net="/run/netns/$POD" "$BASH" -c "ip mptcp limits set subflow 2 add_addr_accepted 2 &&
		ip mptcp endpoint add $POD4_2ND dev eth0 subflow"
	got=$(ugly -m "$SVC4:80" joined names)
	nsenter --net="/run/netns/$POD" ip mptcp endpoint flush
	proxy_again
	same "joined 1
peer=$SVC4:80 name=$POD4" "$(tail -n 2 <<< "$got" | sed 's/:[0-9]*$//')"
}

# --- the questions ----------------------------------------------------------------------------------

# with NAME VALUE TEST CMD...: a check with this sysctl in the pod, for listeners that are made after it
with() {
	local name=$1 value=$2 before
	before=$(nsenter --net="/run/netns/$POD" cat "/proc/sys/net/$name")
	sysctl_set "$name" "$value"
	proxy_again
	check "${@:3}"
	sysctl_set "$name" "$before"
}

# ask_pod POD WHOSE
ask_pod() {
	POD=$1
	with ipv4/tcp_fastopen $((0x607)) "$2: TCP Fast Open, data in the SYN" tfo
	with ipv4/tcp_fastopen $((0x005)) "$2: TCP Fast Open, which the proxy does not take" tfo_refused
	with ipv4/tcp_fastopen $((0x403)) "$2: TCP Fast Open with a cookie" tfo_cookie
	with ipv4/tcp_syncookies 2 "$2: SYN cookies" cookies
	check "$2: connect with AF_UNSPEC" unspec
	check "$2: bound to a device" device
	check "$2: to multicast and broadcast addresses" not_unicast
	check "$2: one source port, two destinations" shared_port
	check "$2: io_uring" ring
	check "$2: who made a socket counts" owner
	check "$2: who made a socket counts with io_uring, too" owner_ring
	check "$2: passed to another process" passed
	check "$2: passed to another pod" other_pod
	check "$2: an MPTCP client" mptcp_client
	check "$2: an MPTCP listener" mptcp_listener
	check "$2: a further subflow of MPTCP" mptcp_joined
	check "$2: an MPTCP listener for inbound connections" mptcp_inbound
}

# pod_start POD: with everybody in it
pod_start() {
	pod_make "$1"
	outside_start "$1"
	app_start "$1"
	agent_start "$1"
	proxy_start "$1"
	echo "$SERVED" > "$TMP/$1.pid"
}

pod_make other
pod_start st
attach st
INBOUND_MPTCP='ECONNREFUSED ECONNREFUSED'
ask_pod st socktables
if why=$(engine_missing iptables-legacy); then
	skip "iptables says the same" "$why"
else
	pod_start ipt
	iptables_start ipt legacy
	INBOUND_MPTCP='proxy proxy'
	ask_pod ipt "iptables says the same"
	pod_drop ipt
fi

# --- sockets that are older ---------------------------------------------------------------------------

# What is connected stays; what is not is judged when it connects or sends.
older() {
	go_on tcp4 tcp6 udp4 udp6 sent connected unspec
	same "$(at_proxy "$SVC4:80")" "$(said tcp4 | plain)"
	same "$(at_proxy "[$SVC6]:80")" "$(said tcp6 | plain)"
	same "from=$SVC4:53 a=10.0.0.15" "$(said udp4)"
	same "from=[$SVC6]:53 a=10.0.0.15" "$(said udp6)"
	same "from=$SVC4:53 a=10.0.0.53" "$(said_before sent)" "UDP before"
	same "from=$SVC4:53 a=10.0.0.15" "$(said sent)" "UDP that has sent before"
	same "from=$SVC4:53 a=10.0.0.53
from=$SVC4_2ND:53 a=10.0.0.15" "$(said connected)" "UDP that was connected before, and then anew"
	same "$(direct "$SVC4:80")" "$(said_before unspec | plain)" "TCP before"
	same "$(direct "$SVC4:80" | grep -o '^peer=[^ ]* name=[^:]*')" "$(said unspec | plain | sed -n '1s/:[0-9]*$//p')" "still connected"
	same "$(at_proxy "$SVC4_2ND:80")" "$(said unspec | plain | tail -n 1)" "TCP that was connected before, and then anew"
}

# By the cgroup in which it was made, wherever its owner goes.
moved() {
	local into="echo 0 > '$CG/st/cgroup.procs'" out="echo 0 > '$CG/elsewhere/cgroup.procs'"
	mkdir "$CG/elsewhere"
	same "$(direct "$SVC4:80")" "$(nsenter --net=/run/netns/st "$UGLY" exec "$BASH" -c \
		"$into && exec setpriv --reuid 1000 $UGLY -f 3 $SVC4:80" | plain)" "made before its process entered the pod"
	same "from=$SVC4:53 a=10.0.0.53" "$(nsenter --net=/run/netns/st "$UGLY" -u exec "$BASH" -c \
		"$into && exec setpriv --reuid 1000 $UGLY -u -f 3 sendto:$SVC4:53")" "UDP, made before"
	same "$(at_proxy "$SVC4:80")" "$(pod_run st "$UGLY" -o 1000 exec "$BASH" -c \
		"$out && exec setpriv --reuid 1000 $UGLY -f 3 $SVC4:80" | plain)" "made before its process left the pod"
}

POD=st
"$ST" detach st
for family in 4 6; do
	to=SVC$family
	[[ $family == 4 ]] && to=$SVC4 || to="[$SVC6]"
	waiter tcp$family pod_run_as st 1000 "$UGLY" -$family exec "$UGLY" -f 3 wait "$to:80"
	waiter udp$family pod_run_as st 1000 "$UGLY" -u -$family exec "$UGLY" -u -f 3 wait "sendto:$to:53"
done
waiter sent pod_run_as st 1000 "$UGLY" -u "sendto:$SVC4:53" wait "sendto:$SVC4:53"
waiter connected pod_run_as st 1000 "$UGLY" -u "dns:$SVC4:53" wait again unspec "dns:$SVC4_2ND:53"
waiter unspec pod_run_as st 1000 "$UGLY" "$SVC4:80" wait names unspec "$SVC4_2ND:80"
attach st
check "sockets that are older than the attach" older
check "sockets that are older than their process in the pod" moved
finish
