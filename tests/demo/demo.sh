#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# One pod with a real proxy, a real DNS agent and a real web server, an outside world in a second network namespace,
# and socktables between them: shows who receives each connection and what proxy and app get to know about it.
# Every cell of the table comes from the servers' answers and logs; a row that is not as it should be fails the demo.
#
#	demo.sh				with build/socktables, or with the binary that $ST names
#	demo.sh --with iptables		the same table, made by Istio's own rules
#
# All of it lives in a mount namespace of its own (with its own /run and bpffs), in two network namespaces and in one
# cgroup directory. When the script ends, however it ends, they are gone.

set -Eeuo pipefail
shopt -s inherit_errexit
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

HERE=$(dirname "$(realpath "$0")")
ST=$(realpath -m "${ST:-$HERE/../../build/socktables}")
cd /					# the servers run as users who may not read where we are
WITH=socktables
T=/run/demo				# on the private tmpfs: configurations and logs
CG=					# the demo's cgroup directory; $CG/pod is the pod's

declare -A NS=([app]=pod [proxy]=pod [outside]=outside)
declare -A ID=([app]=1000 [proxy]=1337 [outside]=0)
declare -A SERVER=()			# name -> process id
ATTACHED=				# "yes" from attach to detach
OBJECTS=()				# "prog N", "map N": what the kernel keeps for the pod while attached
WRONG=()				# one line for each cell that is not as expected

# --- small tools --------------------------------------------------------------------------------------------------

BOLD='' RED='' GREEN='' PLAIN=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
fi

stage() {
	printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"
}

die() {
	printf '%sdemo: %s%s\n' "$RED" "$*" "$PLAIN" >&2
	exit 1
}

# Show a socktables command and run it.
show() {
	printf '%s$ socktables %s%s\n' "$BOLD" "$*" "$PLAIN"
	"$ST" "$@" || die "socktables $1 failed"
}

# within SECONDS COMMAND...: try it until it succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

# need PROGRAM PACKAGE...: pairs; every missing one in one line.
need() {
	local missing=''
	while (($#)); do
		command -v "$1" >/dev/null || missing+=" $1 (package $2)"
		shift 2
	done
	[[ -z $missing ]] || die "missing:$missing"
}

# enter WHO COMMAND...: become that command, in the namespace and cgroup and with the uid and gid of WHO.
enter() {
	local who=$1
	shift
	echo "$BASHPID" >"$CG/${NS[$who]}/cgroup.procs"
	exec nsenter --net="/run/netns/demo-${NS[$who]}" \
		setpriv --reuid "${ID[$who]}" --regid "${ID[$who]}" --clear-groups "$@"
}

in_pod() {
	nsenter --net=/run/netns/demo-pod "$@"
}

# start NAME WHO COMMAND...: a server; its log is $T/log/NAME (through a pipe: HAProxy clears O_APPEND on its stdout).
start() {
	local name=$1
	shift
	(enter "$@") > >(exec cat >>"$T/log/$name") 2>&1 </dev/null &
	SERVER[$name]=$!
	disown
}

stop() {
	kill "${SERVER[$1]}"
	within 5 gone "${SERVER[$1]}" || die "$1 does not stop"
}

gone() {
	[[ ! -e /proc/$1 ]]
}

# listens NS ADDRESS:PORT
listens() {
	nsenter --net="/run/netns/demo-$1" ss -Hlntu | awk -v want="$2" '$5 == want { found = 1 } END { exit !found }'
}

# await NAME NS ADDRESS:PORT...: the server NAME listens there.
await() {
	local name=$1 ns=$2 at
	shift 2
	for at; do
		within 20 listens "$ns" "$at" || die "$name does not listen on $at: $(tail -n 3 "$T/log/$name")"
	done
}

# shellcheck source=/dev/null
. "$HERE/table.sh"

# --- the world ----------------------------------------------------------------------------------------------------

private_world() {
	mount -t tmpfs -o mode=755 demo /run
	mount -t bpf bpf /sys/fs/bpf
	mkdir -p /run/netns "$T"/{log,app,outside}
	cp "$HERE"/*.{cfg,conf,rules} "$T"
	chown 1000:1000 "$T/app"

	local unified
	unified=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	[[ -n $unified ]] || die "no cgroup2 file system is mounted"
	CG=$(mktemp -d "$unified/socktables-demo-XXXX")
	mkdir "$CG/pod" "$CG/outside"
}

# The pod's resolver is an address that nobody has: only the DNS agent can answer for it.
pod_resolver() {
	local file
	file=$(realpath -m /etc/resolv.conf)
	echo 'nameserver 10.96.0.10' >"$T/resolv.conf"
	if [[ $file == /run/* ]]; then
		mkdir -p "${file%/*}"
		cp "$T/resolv.conf" "$file"
	elif [[ -e $file ]]; then
		mount --bind "$T/resolv.conf" "$file"
	fi
}

# address NS HOST: 10.77.0.HOST and fd77::HOST on eth0, usable at once
address() {
	ip -n "$1" link set lo up
	ip -n "$1" address add "10.77.0.$2/24" dev eth0
	ip -n "$1" address add "fd77::$2/64" dev eth0 nodad
	nsenter --net="/run/netns/$1" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad'
	ip -n "$1" link set eth0 up
}

make_pod() {
	stage "a pod and an outside world: two network namespaces, one cgroup"
	ip netns add demo-pod
	ip netns add demo-outside
	ip -n demo-pod link add eth0 type veth peer name eth0 netns demo-outside
	address demo-pod 2
	address demo-outside 3
	ip -n demo-pod route add default via 10.77.0.3
	ip -n demo-pod route add default via fd77::3
	pod_resolver
	echo "pod      10.77.0.2  fd77::2   its resolver: 10.96.0.10, an address that nobody has"
	echo "outside  10.77.0.3  fd77::3"
}

start_haproxy() {
	start haproxy proxy haproxy -db -f "$T/haproxy.cfg"
	await haproxy pod 0.0.0.0:15001 0.0.0.0:15006
}

# IPv6: ss-redir asks for the original destination and tells it to an ss-server, which connects there. Its listeners
# shall not take IPv4 too, and ss-redir has no option for that: the network namespace decides when they are made.
start_shadowsocks() {
	local key=(-k demo -m chacha20-ietf-poly1305)
	in_pod sh -c 'echo 1 >/proc/sys/net/ipv6/bindv6only'
	start ss-server-out proxy ss-server -s 127.0.0.1 -p 15080 "${key[@]}"
	start ss-server-in proxy ss-server -s 127.0.0.1 -p 15082 -b ::6 "${key[@]}"
	start ss-redir-15001 proxy ss-redir -v -s 127.0.0.1 -p 15080 -b :: -l 15001 --reuse-port "${key[@]}"
	start ss-redir-15006 proxy ss-redir -v -s 127.0.0.1 -p 15082 -b :: -l 15006 --reuse-port "${key[@]}"
	await ss-server-out pod 127.0.0.1:15080
	await ss-server-in pod 127.0.0.1:15082
	await ss-redir-15001 pod '[::]:15001'
	await ss-redir-15006 pod '[::]:15006'
	in_pod sh -c 'echo 0 >/proc/sys/net/ipv6/bindv6only'
}

start_servers() {
	stage "servers: proxy and DNS agent as uid 1337, app as uid 1000"
	start_haproxy
	start_shadowsocks
	start agent proxy dnsmasq -k -C "$T/dnsmasq-agent.conf"
	start app app nginx -e stderr -p "$T/app" -c "$T/nginx-app.conf"
	start outside outside nginx -e stderr -p "$T/outside" -c "$T/nginx-outside.conf"
	start resolver outside dnsmasq -k -C "$T/dnsmasq-outside.conf"
	await agent pod 127.0.0.1:15053 '[::1]:15053'
	await app pod 0.0.0.0:8080 '[::]:8080' 0.0.0.0:15020
	await outside outside 0.0.0.0:80 '[::]:80' 0.0.0.0:15020
	await resolver outside 10.77.0.3:53
	echo "pod      haproxy (IPv4) and ss-redir (IPv6) on 15001 and 15006, dnsmasq on 15053, nginx on 8080 and 15020"
	echo "outside  nginx on 80 and 15020, dnsmasq on 53"
}

# --- attach, look, detach -----------------------------------------------------------------------------------------

attach() {
	stage "attach"
	ATTACHED=yes
	if [[ $WITH == iptables ]]; then
		apply_iptables
	else
		show attach --cgroup "$CG/pod" --netns /run/netns/demo-pod --name demo --ipv6=on
	fi
	mapfile -t OBJECTS < <(kernel_objects)
}

look() {
	stage "what it knows about the pod"
	if [[ $WITH == iptables ]]; then
		in_pod iptables-save -c -t nat | grep -e ' -j REDIRECT'
		return
	fi
	show status
	show stats
	show explain demo out tcp 10.77.0.3:80 --uid 1000
}

detach() {
	stage "detach"
	if [[ $WITH == iptables ]]; then
		remove_iptables
	else
		show detach demo
	fi
	ATTACHED=
	[[ -z $(pod_programs) ]] || die "programs are left on the pod: $(pod_programs | paste -sd ' ')"
	[[ $(ip -n demo-pod -6 address show dev lo) != *'::6/128'* ]] || die "::6 is left on the pod's lo"
}

apply_iptables() {
	echo "Istio's rules, IPv4 and IPv6"
	sed 's/@LOOP@/127.0.0.1/; s/@SELF@/127.0.0.6/' "$T/istio.rules" | in_pod iptables-restore
	sed 's/@LOOP@/::1/; s/@SELF@/::6/' "$T/istio.rules" | in_pod ip6tables-restore
	ip -n demo-pod address add ::6/128 dev lo
}

remove_iptables() {
	local table
	for table in raw nat; do
		in_pod iptables -t "$table" -F
		in_pod ip6tables -t "$table" -F
	done
	ip -n demo-pod address delete ::6/128 dev lo
}

# The ids of the programs that are linked to the pod's cgroup or network namespace.
pod_programs() {
	bpftool link show | awk -v "cgroup=$(stat -c %i "$CG/pod")" -v "netns=$(stat -Lc %i /run/netns/demo-pod)" '
		/^[0-9]+:/ { program = $4 }
		($1 == "cgroup_id" && $2 == cgroup) || ($1 == "netns_ino" && $2 == netns) { print program }'
}

# The pod's programs and all maps that these use, as "prog N" and "map N".
kernel_objects() {
	local id
	for id in $(pod_programs | sort -nu); do
		echo "prog $id"
		bpftool prog show id "$id" | sed -n 's/.*map_ids \([0-9,]*\).*/\1/p' | tr , '\n' | sed 's/^/map /'
	done | sort -u
}

# --- the table ----------------------------------------------------------------------------------------------------

table() {
	stage "connections"
	echo "app saw: as a client, whom its socket is connected to; as a server, where the connection comes from"
	header
	http app 10.77.0.3:80 '' haproxy:15001 10.77.0.3:80 'outside at 10.77.0.3:80'
	http app '[fd77::3]:80' '' ss-redir:15001 '[fd77::3]:80' 'outside at [fd77::3]:80'
	http app '[::ffff:10.77.0.3]:80' '' haproxy:15001 10.77.0.3:80 'outside at [::ffff:10.77.0.3]:80'
	http app web.mesh.test:80 '' haproxy:15001 10.77.0.3:80 'outside at 10.77.0.3:80'
	http app 10.77.0.3:15020 'excluded' outside:15020 '(direct)' 'outside at 10.77.0.3:15020'
	http app 10.77.0.2:8080 'itself' app:8080 '(direct)' 'client 10.77.0.2'
	http proxy 10.77.0.3:80 '' outside:80 '(direct)' -
	http proxy 10.77.0.2:8080 'own pod' haproxy:15006 10.77.0.2:8080 'client 127.0.0.6'

	http outside 10.77.0.2:8080 '' haproxy:15006 10.77.0.2:8080 'client 127.0.0.6'
	http outside '[fd77::2]:8080' '' ss-redir:15006 '[fd77::2]:8080' 'client ::6'
	http outside 10.77.0.2:9999 'dead port' haproxy:15006 10.77.0.2:9999 nothing
	http outside 10.77.0.2:15020 'excluded' app:15020 '(direct)' 'client 10.77.0.3'

	dns app 10.96.0.10 udp dnsmasq:15053 client=10.77.0.2 '"agent" from 10.96.0.10#53'
	dns app 10.96.0.10 tcp dnsmasq:15053 client=10.77.0.2 '"agent" from 10.96.0.10#53'
	dns app fd96::a udp dnsmasq:15053 client=fd77::2 '"agent" from fd96::a#53'
	dns app fd96::a tcp dnsmasq:15053 client=fd77::2 '"agent" from fd96::a#53'
	dns proxy 10.77.0.3 udp outside:53 '(direct)' '"outside" from 10.77.0.3#53'
}

table_without_proxy() {
	stage "the same with the proxy stopped, then started again"
	stop haproxy
	http app 10.77.0.3:80 'stopped' nobody - 'Connection refused'
	http outside 10.77.0.2:8080 'stopped' nobody - 'Connection refused'
	start_haproxy
	http app 10.77.0.3:80 'started' haproxy:15001 10.77.0.3:80 'outside at 10.77.0.3:80'
	http outside 10.77.0.2:8080 'started' haproxy:15006 10.77.0.2:8080 'client 127.0.0.6'
}

table_detached() {
	http app 10.77.0.3:80 'detached' outside:80 '(direct)' 'outside at 10.77.0.3:80'
	http outside 10.77.0.2:8080 'detached' app:8080 '(direct)' 'client 10.77.0.3'
}

# --- the end ------------------------------------------------------------------------------------------------------

# Kill what still runs in the demo's cgroups; true when nothing does.
all_killed() {
	local pids
	mapfile -t pids < <(cat "$CG"/*/cgroup.procs)
	((${#pids[@]})) || return 0
	kill -KILL "${pids[@]}" 2>/dev/null || true
	return 1
}

none_left() {
	local object
	for object in "${OBJECTS[@]}"; do
		# shellcheck disable=SC2086 # two words
		! bpftool ${object/ / show id } >/dev/null 2>&1 || return 1
	done
}

# Take everything down, from any state; what could not be removed goes to WRONG.
clear_away() {
	local netns=none
	[[ -z $ATTACHED || $WITH == iptables ]] || "$ST" detach demo >/dev/null 2>&1 || true
	[[ ! -e /run/netns/demo-pod ]] || netns=$(stat -Lc %i /run/netns/demo-pod)
	if [[ -d $CG ]]; then
		within 5 all_killed || WRONG+=("processes are left in $CG")
		ip netns delete demo-pod 2>/dev/null
		ip netns delete demo-outside 2>/dev/null
		umount /sys/fs/bpf
		rmdir "$CG"/*/ "$CG" || WRONG+=("the cgroup $CG is left")
	fi
	[[ -z $(find /proc/[0-9]*/ns/net -lname "net:?$netns?" 2>/dev/null) ]] ||
		WRONG+=("a process is left in the pod's network namespace")
	within 5 none_left || WRONG+=("a BPF program or map is left: ${OBJECTS[*]}")
}

# The exit trap: runs whatever happened, also after Ctrl-C.
finish() {
	local status=$? kept=''
	trap - ERR
	trap '' INT TERM HUP
	set +e
	clear_away
	if ((${#WRONG[@]})); then
		printf "${RED}demo: %s$PLAIN\n" "${WRONG[@]}" >&2
		status=1
	fi
	if ((status == 0)); then
		[[ $WITH == iptables ]] || kept=", its $(count prog) BPF programs and $(count map) maps"
		stage "nothing is left"
		echo "gone: the pod's processes, both network namespaces, the cgroup$kept"
		echo "${GREEN}every row as expected, $SECONDS s$PLAIN"
	fi
	exit "$status"
}

# count prog|map: how many of these the kernel kept for the pod
count() {
	printf '%s\n' "${OBJECTS[@]}" | grep -c "^$1 "
}

usage() {
	echo 'usage: demo.sh [--with iptables]' >&2
	exit 2
}

main() {
	trap finish EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	trap 'echo "demo: line $LINENO: failed: $BASH_COMMAND" >&2' ERR
	private_world
	make_pod
	start_servers
	attach
	table
	table_without_proxy
	look
	detach
	table_detached
}

case "$*" in
'') ;;
'--with iptables') WITH=iptables ;;
*) usage ;;
esac

((EUID == 0)) || die "must run as root"
need unshare util-linux nsenter util-linux setpriv util-linux ip iproute2 ss iproute2 bpftool bpftool \
	haproxy haproxy ss-redir shadowsocks-libev ss-server shadowsocks-libev nginx nginx-light \
	dnsmasq dnsmasq-base dig bind9-dnsutils curl curl
if [[ $WITH == iptables ]]; then
	need iptables-restore iptables ip6tables-restore iptables
elif [[ ! -x $ST ]]; then
	die "no $ST; run 'make' first"
fi
[[ -e /proc/sys/net/ipv6 ]] || die "needs IPv6, which this kernel has switched off"

# Start again in a mount namespace of our own. The process stays the same, so that nobody sets this by accident.
here="$$ $(readlink /proc/self/ns/mnt)"
if [[ ${DEMO_FROM:-} != "$$ "* || $DEMO_FROM == "$here" ]]; then
	exec env DEMO_FROM="$here" unshare --mount --propagation private "$HERE/demo.sh" "$@"
fi
main
