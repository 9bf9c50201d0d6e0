#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# TPROXY mode: a proxy that calls the app with its client's address. Everybody sees what they see with
# iptables' TPROXY rules.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/tproxy_parts.sh
. "$(dirname "$0")/tproxy_parts.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
env_private "$@"
# shellcheck source=tests/diff/world.sh
. "$TESTS/diff/world.sh"

# iptables_tproxy POD: the pod gets the rules of Istio in TPROXY mode
iptables_tproxy() {
	local family
	for family in 4 6; do
		"$TEST_BIN/diff_rules" "v$family" --ipv6=on -m TPROXY > "$TMP/$1.v$family" &&
			restore "$1" nft "$family" "$TMP/$1.v$family" || return
	done
}

# echo_back HOST: $TMP/data goes to the app and comes back at the same time; prints the checksum
echo_back() {
	# shellcheck disable=SC2016 # for the inner shell
	out_run a timeout 60 "$BASH" -c 'exec 3<> "/dev/tcp/$0/7" && { cat "$1" >&3 & head -c "$2" <&3; }' \
		"$1" "$TMP/data" "$(stat -c %s "$TMP/data")" | cksum
}

# entries MAP: how many there are
entries() {
	bpftool map dump pinned "$PINS/$1" | grep -c '"key":'
}

no_handshakes() {
	[[ -e $PINS/st_handshake && $(entries st_handshake) == 0 ]]
}

# tracked POD: connections that conntrack knows there
tracked() {
	nsenter --net="/run/netns/$1" cat /proc/sys/net/netfilter/nf_conntrack_count
}

# --- inbound --------------------------------------------------------------------------------------

other_addresses() {
	same "$(via "$OUT4_2ND" "$POD4_2ND:8080")" \
		"$(seen a out_run a "$DIAL" -b "$OUT4_2ND:0" "$POD4_2ND:8080")"
	same "$(via "[$OUT6_2ND]" "[$POD6_2ND]:8080")" \
		"$(seen a out_run a "$DIAL" -b "[$OUT6_2ND]:0" "[$POD6_2ND]:8080")"
	same "$(via "$SVC4" "$POD4:8080")" "$(seen a out_run a "$DIAL" -b "$SVC4:0" "$POD4:8080")"
}

any_port() {
	local port
	for port in 1 9 80 65535; do
		same "$(via "$OUT4" "$POD4:$port")" "$(seen a out_run a "$DIAL" "$POD4:$port")"
		same "$(via "[$OUT6]" "[$POD6]:$port")" "$(seen a out_run a "$DIAL" "[$POD6]:$port")"
	done
}

tunnel_port() {
	same "$(via "$OUT4" "$POD4:15008")" "$(seen a out_run a "$DIAL" "$POD4:15008")"
	same "$(via "[$OUT6]" "[$POD6]:15008")" "$(seen a out_run a "$DIAL" "[$POD6]:15008")"
}

excluded_port() {
	same "$(direct "$OUT4" "$POD4:15020")" "$(seen a out_run a "$DIAL" "$POD4:15020")"
	same "$(direct "[$OUT6]" "[$POD6]:15020")" "$(seen a out_run a "$DIAL" "[$POD6]:15020")"
}

long_transfers() {
	head -c 1048576 /dev/urandom > "$TMP/data"
	same "$(cksum < "$TMP/data")" "$(echo_back "$POD4")" "v4"
	same "$(cksum < "$TMP/data")" "$(echo_back "$POD6")" "v6"
	same 2 "$(grep -c ' od=.*:7$' "$TMP/a.tproxy")" "connections through the proxy"
}

many() {
	local before
	before=$(wc -l < "$TMP/a.tproxy")
	same "100 $OUT4" "$(out_run a "$DIAL" -n 100 "$POD4:8080" |
		sed -E 's/.* app copy=1 peer=([^ ]+):[0-9]+ .*/\1/' | uniq -c | xargs)"
	same "100 [$OUT6]" "$(out_run a "$DIAL" -n 100 "[$POD6]:8080" |
		sed -E 's/.* app copy=1 peer=([^ ]+):[0-9]+ .*/\1/' | uniq -c | xargs)"
	same 200 "$(($(wc -l < "$TMP/a.tproxy") - before))" "connections through the proxy"
}

no_proxy() {
	tproxy_stop a
	same "ECONNREFUSED ECONNREFUSED app" \
		"$(out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" "$POD4:15020" | who)"
	tproxy_start a
	inbound
}

outbound() {
	same "proxy proxy" "$(dial a "$SVC4:80" "[$SVC6]:80" | who)" "the app"
	same "app app app app" "$(dial a "$POD4:8080" "[$POD6]:8080" 127.0.0.1:8080 '[::1]:8080' | who)" \
		"the app to its own pod"
	same "outside outside" "$(pod_run_as a 0:1337 "$DIAL" "$SVC4:80" "[$SVC6]:80" | who)" "the proxy"
	same "app app" "$(pod_run_as a 1337 "$DIAL" -b 127.0.0.6:0 "$POD4:8080" | who) \
$(pod_run_as a 1337 "$DIAL" -b '[::6]:0' "[$POD6]:8080" | who)" "the proxy from 127.0.0.6 and ::6"
}

nothing_tracked() {
	[[ -e /proc/sys/net/netfilter/nf_conntrack_count ]] || skip_now "kernel: no conntrack"
	same 0 "$(tracked a)"
}

pod_make a
parts_start a
attach a -m TPROXY
check "the app sees its client, the proxy whom it dialled" inbound
check "clients and pods with several addresses" other_addresses
check "any port" any_port
check "the tunnel port is captured, too" tunnel_port
check "excluded ports go direct" excluded_port
check "a port on which nobody listens: the client is reset" closed_port
check "1 MB both ways at once" long_transfers
check "hundreds of connections" many
check "no proxy: refused, excluded ports still go direct; then a new one" no_proxy
check "outbound is as in REDIRECT mode" outbound
check "no handshake is left" wait_for 10 no_handshakes
check "conntrack knows nothing" nothing_tracked

no_handshakes_of_live() {
	keep live4 out_run a "$DIAL" -k "$POD4:8080"
	keep live6 out_run a "$DIAL" -k "[$POD6]:8080"
	still live4 live6
	wait_for 5 no_handshakes || bpftool map dump pinned "$PINS/st_handshake"
	no_handshakes
}
check "no handshake is left while connections live" no_handshakes_of_live

# --- the same with iptables -----------------------------------------------------------------------

# missing: prints what this machine lacks for the rules of iptables in pod i; fails if nothing
missing() {
	if ! command -v iptables-nft-restore > /dev/null; then
		echo "iptables-nft-restore is not installed"
	elif ! iptables_tproxy i > "$TMP/rules" 2>&1; then
		echo "kernel: no TPROXY for iptables: $(head -n 1 "$TMP/rules")"
	else
		return 1
	fi
}

# flows POD: everybody's calls to everybody
flows() {
	local port host
	for port in 1 80 8080 15008 15020; do
		for host in "$POD4" "[$POD6]" "$POD4_2ND" "[$POD6_2ND]"; do
			seen "$1" out_run "$1" "$DIAL" "$host:$port"
		done
	done
	for host in "$POD4" "[$POD6]" 127.0.0.1 '[::1]' "$SVC4" "[$SVC6]"; do
		echo "app to $host"
		seen "$1" dial "$1" "$host:80" "$host:15020"
	done
	seen "$1" out_run "$1" "$DIAL" -b "$OUT4_2ND:0" "$POD4:8080"
	seen "$1" out_run "$1" "$DIAL" -b "[$OUT6_2ND]:0" "[$POD6]:8080"
}

# proxy_flows POD OWNER: the proxy's calls, as those of its listeners and clusters
proxy_flows() {
	local host
	for host in "$POD4" "[$POD6]" 127.0.0.1 '[::1]' "$SVC4" "[$SVC6]"; do
		echo "proxy to $host"
		seen "$1" pod_run_as "$1" "$2" "$DIAL" "$host:80" "$host:15020"
	done
	seen "$1" pod_run_as "$1" "$2" "$DIAL" -b 127.0.0.6:0 "$POD4:80"
	seen "$1" pod_run_as "$1" "$2" "$DIAL" -b '[::6]:0' "[$POD6]:80"
}

# as_with_iptables FUNCTION [ARG...]: it prints the same of both pods
as_with_iptables() {
	local function=$1
	shift
	diff <("$function" i "$@") <("$function" a "$@")
}

closed_alike() {
	reset i "$POD4:8081"
	reset i "[$POD6]:8081"
}

pod_make i
if why=$(missing); then
	skip "as with iptables" "$why"
else
	parts_start i
	check "iptables: the app and callers from outside see the same" as_with_iptables flows
	check "iptables: a proxy that is root with gid 1337 sees the same" as_with_iptables proxy_flows 0:1337
	check "iptables: a proxy with uid 1337 sees the same" as_with_iptables proxy_flows 1337
	check "iptables: a closed port resets the client there, too" closed_alike
	check "iptables: conntrack knows of it, so that its silence above says something" \
		not same 0 "$(tracked i)"
fi
finish
