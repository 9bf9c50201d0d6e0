#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Pods with two interfaces: the source that a captured connection shows is the one that its route
# gives it, and interfaces can be left alone (-c). Two such pods, one with iptables' rules and one
# with socktables, have to see the same.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
env_private "$@"

DEVICE=$TEST_BIN/e2e_device

# The second interface, net1: the pod's address, the other side's, what is behind that, what is behind
# it by two ways.
NET4=10.88.0.2 FAR4=10.88.0.3 FAR4_2ND=10.88.0.4 BEHIND4=10.99.0.10 HOPS4=10.98.0.10
NET6=fd88::2 FAR6=fd88::3 FAR6_2ND=fd88::4 BEHIND6=fd99::a HOPS6=fd98::a

# --- two pods -------------------------------------------------------------------------------------

# second_interface POD: net1 of pod_make's POD, to its other side; a network behind that; a host on
# eth0's way with a source of its own
second_interface() {
	local pod=$1 out=$1-out
	ip link add net1 netns "$pod" type veth peer name net1 netns "$out"
	ip -n "$pod" -batch - <<-END
		link set net1 up
		address add $NET4/24 dev net1
		address add $NET6/64 dev net1 nodad
		route add 10.99.0.0/16 via $FAR4
		route add fd99::/64 via $FAR6
		route add 10.98.0.0/16 nexthop via $FAR4 nexthop via $FAR4_2ND
		route add fd98::/64 nexthop via $FAR6 nexthop via $FAR6_2ND
		route add $SVC4_2ND/32 via $OUT4 src $POD4_2ND
		route add $SVC6_2ND/128 via $OUT6 src $POD6_2ND
	END
	ip -n "$out" -batch - <<-END
		link set net1 up
		address add $FAR4/24 dev net1
		address add $FAR4_2ND/24 dev net1
		address add $FAR6_2ND/64 dev net1 nodad
		address add $FAR6/64 dev net1 nodad
		address add $HOPS4/32 dev lo
		address add $HOPS6/128 dev lo nodad
		address add $BEHIND4/32 dev lo
		address add $BEHIND6/128 dev lo nodad
		route add $POD4_2ND/32 via $NET4
		route add $POD6_2ND/128 via $NET6
	END
	for side in "$pod" "$out"; do
		nsenter --net="/run/netns/$side" "$BASH" -c 'echo 0 | tee /proc/sys/net/ipv4/conf/*/rp_filter'
	done > "$TMP/rp_filter"
}

# parts_start POD: all who can be called; resolvers on both interfaces' sides and in the pod
parts_start() {
	serve "$TMP/$1.outside" out_run "$1" "$STUB" -4 10.0.0.53 outside \
		line:0.0.0.0:80 'line:[::]:80' line:0.0.0.0:8080 'line:[::]:8080' \
		"dns:$SVC4:53" "dns:$SVC4_2ND:53" "dns:$FAR4:53" "dns:$BEHIND4:53" \
		"dns:[$SVC6]:53" "dns:[$SVC6_2ND]:53" "dns:[$FAR6]:53" "dns:[$BEHIND6]:53"
	app_start "$1"
	serve "$TMP/$1.resolver" pod_run_as "$1" 1000 "$STUB" -4 10.0.0.53 own "dns:$POD4:53" "dns:[$POD6]:53"
	proxy_start "$1"
	agent_start "$1"
}

# excluding INTERFACE...: a sed script that puts the rules of -c in front of all others
excluding() {
	local name
	for name; do
		echo "/^-A PREROUTING -p tcp -j ISTIO_INBOUND/i -A PREROUTING -i $name -j RETURN"
		echo "/^-A OUTPUT -p tcp -j ISTIO_OUTPUT/i -A OUTPUT -o $name -j RETURN"
	done
}

# rules [INTERFACE...]: both pods leave these interfaces alone
rules() {
	local script list
	script=$(excluding "$@")
	list=$(IFS=, && echo "$*")
	pod_run i "$BASH" -c 'iptables-nft -t nat -F; iptables-nft -t nat -X; iptables-nft -t raw -F
		ip6tables-nft -t nat -F; ip6tables-nft -t nat -X; ip6tables-nft -t raw -F' || return
	rules_v4 | sed "$script" | pod_run i iptables-nft-restore || return
	rules_v6 | sed "$script" | pod_run i ip6tables-nft-restore || return
	# a socket that gets the port of an earlier one would be treated by the rules of then
	pod_run i conntrack -F > /dev/null 2>&1 || return
	attach a -c "$list"
}

# --- what is seen ---------------------------------------------------------------------------------

# plain: hides what may differ: ports that the kernel chose, for the proxy also conntrack, of all from 1024;
# the address at which the proxy was reached
plain() {
	sed -E 's/:(3[2-9]|[45][0-9]|60)[0-9]{3}\b/:*/g; s/( copy=[0-9]+ peer=[^ ]+):[0-9]+/\1:*/; s/ local=[^ ]+//; s/ od=ENO[A-Z]+$//'
}

PLACES4="$OUT4 $SVC4 $SVC4_2ND $FAR4 $BEHIND4 $POD4 $NET4 127.0.0.1"
PLACES6="[$OUT6] [$SVC6] [$SVC6_2ND] [$FAR6] [$BEHIND6] [$POD6] [$NET6] [::1]"
MAPPED="[::ffff:$SVC4] [::ffff:$SVC4_2ND] [::ffff:$FAR4] [::ffff:$BEHIND4]"

# calls POD RUN... -- PREFIX PORT PLACE...: each place is called, one line each
calls() {
	local run=() place
	shift
	while [[ $1 != -- ]]; do
		run+=("$1")
		shift
	done
	for place in "${@:4}"; do
		echo "$2$place:$3 $("${run[@]}" "$2$place:$3" | plain)"
	done
}

# app_calls POD, proxy_calls POD, bound_calls POD, outside_calls POD, hops_calls POD, dns_calls POD,
# device_calls POD INTERFACE: what they see who call
app_calls() {
	# shellcheck disable=SC2086 # places are words
	calls "$1" dial "$1" -- '' 80 $PLACES4 $PLACES6 $MAPPED
}

proxy_calls() {
	# shellcheck disable=SC2086 # places are words
	calls "$1" pod_run_as "$1" 1337 "$DIAL" -- '' 8080 $PLACES4 $PLACES6 $MAPPED
}

bound_calls() {
	local source
	for source in "$POD4" "$POD4_2ND" "$NET4"; do
		# shellcheck disable=SC2086 # places are words
		calls "$1" dial "$1" -b "$source:0" -- '' 80 $PLACES4
	done
	for source in "$POD6" "$POD6_2ND" "$NET6"; do
		# shellcheck disable=SC2086 # places are words
		calls "$1" dial "$1" -b "[$source]:0" -- '' 80 $PLACES6
	done
}

# The pod's second addresses are on eth0, but the other side reaches them by net1.
outside_calls() {
	calls "$1" out_run "$1" "$DIAL" -- '' 8080 "$POD4" "$POD4_2ND" "$NET4" "[$POD6]" "[$POD6_2ND]" "[$NET6]"
	calls "$1" out_run "$1" "$DIAL" -b "$FAR4:0" -- '' 8080 "$POD4" "$NET4"
	calls "$1" out_run "$1" "$DIAL" -b "$OUT4:0" -- '' 8080 "$NET4"
}

hops_calls() {
	calls "$1" dial "$1" -- '' 80 "$HOPS4" "[$HOPS6]" "[::ffff:$HOPS4]"
}

# A captured socket that is bound to an interface reaches no loopback address, with iptables neither;
# how long it takes to fail, and how, is the kernel's affair.
device_calls() {
	local place device=$2 callers=()
	for place in "$OUT4" "$SVC4" "$FAR4" "$BEHIND4" "[$OUT6]" "[$SVC6]" "[$FAR6]" "[$BEHIND6]"; do
		calls "$1" pod_run_as "$1" 1000 "$DEVICE" "$device" -- '' 80 "$place" > "$TMP/$1.device$place" &
		callers+=($!)
	done
	wait "${callers[@]}"
	cat "$TMP/$1.device"* | sed 's/error=.*/fails/'
}

dns_calls() {
	local way before
	before=$(wc -l < "$TMP/$1.agent")
	for way in dns: sendto:; do
		# shellcheck disable=SC2086 # places are words
		calls "$1" dial "$1" -- "$way" 53 "$SVC4" "$SVC4_2ND" "$FAR4" "$BEHIND4" "$POD4" \
			"[$SVC6]" "[$SVC6_2ND]" "[$FAR6]" "[$BEHIND6]" "[$POD6]"
		calls "$1" pod_run_as "$1" 1337 "$DIAL" -- "$way" 53 "$SVC4" "$FAR4" "[$SVC6]" "[$FAR6]"
	done
	tail -n +$((before + 1)) "$TMP/$1.agent" | sed 's/:[0-9]* type/ type/'
}

# alike FUNCTION [ARG...]: both pods see the same
alike() {
	local function=$1
	shift
	"$function" i "$@" > "$TMP/iptables" &
	local pid=$! # the function may start jobs of its own
	"$function" a "$@" > "$TMP/socktables"
	wait "$pid" || [[ $? == 127 ]] # waited for by the function, with all others
	has "$(cat "$TMP/iptables")" '(proxy|app|outside) copy=|a=10\.'
	diff "$TMP/iptables" "$TMP/socktables"
}

# none_works INTERFACE: no captured socket that is bound to it gets anywhere, in both pods
none_works() {
	local other
	device_calls i "$1" > "$TMP/iptables" &
	other=$!
	device_calls a "$1" > "$TMP/socktables"
	wait "$other"
	diff "$TMP/iptables" "$TMP/socktables"
	same fails "$(cut -d ' ' -f 2- "$TMP/socktables" | sort -u)"
}

# answers PLACE...: who answers the app of pod a at these places' port 80
answers() {
	dial a "${@/%/:80}" | who
}

# sources PLACE...: the sources that app and proxy see of calls to these places
sources() {
	local place
	for place; do
		dial a "$place:80" | sed -E 's/.* name=([^ ]+):[0-9]+ .* peer=([^ ]+):[0-9]+ .*/\1 \2/'
	done | paste -sd ' '
}

# all_alike WHAT: every kind of call is alike
all_alike() {
	check "$1: the app's calls are as with iptables" alike app_calls
	check "$1: calls from bound sockets are as with iptables" alike bound_calls
	check "$1: the proxy's calls are as with iptables" alike proxy_calls
	check "$1: calls from outside are as with iptables" alike outside_calls
	check "$1: DNS is as with iptables" alike dns_calls
}

# --- sources --------------------------------------------------------------------------------------

by_route() {
	same "$POD4 $POD4" "$(sources "$OUT4")" "on eth0's subnet"
	same "$POD4 $POD4" "$(sources "$SVC4")" "by the default route"
	same "$POD4_2ND $POD4_2ND" "$(sources "$SVC4_2ND")" "by a route that names the source"
	same "$NET4 $NET4" "$(sources "$FAR4")" "on net1's subnet"
	same "$NET4 $NET4" "$(sources "$BEHIND4")" "by a route through net1"
	same "[$POD6] [$POD6]" "$(sources "[$OUT6]")" "on eth0's subnet"
	same "[$POD6] [$POD6]" "$(sources "[$SVC6]")" "by the default route"
	same "[$POD6_2ND] [$POD6_2ND]" "$(sources "[$SVC6_2ND]")" "by a route that names the source"
	same "[$NET6] [$NET6]" "$(sources "[$FAR6]")" "on net1's subnet"
	same "[$NET6] [$NET6]" "$(sources "[$BEHIND6]")" "by a route through net1"
	same "[::ffff:$NET4] $NET4" "$(sources "[::ffff:$FAR4]")" "v4-mapped"
	same "proxy proxy proxy proxy" "$(answers "$SVC4" "$FAR4" "[$SVC6]" "[$FAR6]")"
}

# Which source IPv6 takes depends on the destination, by RFC 6724, and not only on its route.
two_prefixes() {
	local pod
	for pod in a i; do
		ip -n "$pod" address add 2001:db8:77::2/64 dev eth0 nodad
		ip -n "$pod-out" address add 2001:db8:96::a/128 dev lo nodad
		ip -n "$pod-out" route add 2001:db8:77::/64 dev eth0
	done
	"$ST" update a --ipv6=on
	alike calls_of_two_prefixes
}

calls_of_two_prefixes() {
	calls "$1" dial "$1" -- '' 80 "[$SVC6]" '[2001:db8:96::a]' "[$OUT6]" "[$FAR6]"
}

one_prefix_again() {
	ip -n a address del 2001:db8:77::2/64 dev eth0
	ip -n i address del 2001:db8:77::2/64 dev eth0
	"$ST" detach a
}

for pod in a i; do
	pod_make "$pod"
	second_interface "$pod"
	ip -n "$pod" address add ::6/128 dev lo nodad
	parts_start "$pod"
done
if why=$(engine_missing iptables-nft); then
	skip "as with iptables" "$why"
	finish
fi
rules
check "the source is that of the route" by_route
all_alike "two interfaces"
check "two interfaces: calls by routes with two next hops are as with iptables" alike hops_calls
check "IPv6 addresses of two kinds on eth0" two_prefixes
one_prefix_again

# --- interfaces that are left alone ---------------------------------------------------------------

net1_excluded() {
	same "proxy proxy proxy proxy" "$(answers "$OUT4" "$SVC4" "[$OUT6]" "[$SVC6]")" "by eth0"
	same "outside outside outside outside" "$(answers "$FAR4" "$BEHIND4" "[$FAR6]" "[$BEHIND6]")" "by net1"
	same "outside outside" "$(answers "[::ffff:$FAR4]" "[::ffff:$BEHIND4]")" "v4-mapped"
	same "proxy proxy app app app app" "$(out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" \
		"$NET4:8080" "[$NET6]:8080" "$POD4_2ND:8080" "[$POD6_2ND]:8080" | who)" "from outside"
	same "agent outside outside" "$(dial a "dns:$SVC4:53" "dns:$FAR4:53" "sendto:$BEHIND4:53" | who)" "DNS"
	same "agent outside outside" \
		"$(dial a "dns:[$SVC6]:53" "dns:[$FAR6]:53" "sendto:[$BEHIND6]:53" | who)" "DNS over IPv6"
	same "outside outside" "$(pod_run_as a 1000 "$DEVICE" net1 "$FAR4:80" "$SVC4:80" | who)" \
		"bound to net1"
}

eth0_excluded() {
	same "outside outside" "$(answers "$SVC4" "[$SVC6]")" "by eth0"
	same "proxy proxy" "$(answers "$FAR4" "[$BEHIND6]")" "by net1"
	same "app proxy" "$(out_run a "$DIAL" "$POD4:8080" "$NET4:8080" | who)" "from outside"
}

lo_excluded() {
	same "app app" "$(pod_run_as a 1337 "$DIAL" "$POD4:8080" "[$POD6]:8080" | who)" "the proxy to its pod"
	same "proxy proxy" "$(answers "$SVC4" "[$SVC6]")" "the app's calls"
	same "agent outside" "$(dial a "dns:$SVC4:53" "dns:$POD4:53" | who)" "DNS"
	same "proxy proxy" "$(out_run a "$DIAL" "$POD4:8080" "[$NET6]:8080" | who)" "from outside"
}

unknown() {
	same 1 "$(status_of attach a -c "$1")" "exit status"
	has "$(cat "$TMP/output")" "^socktables: attach: interface '${2//+/\\+}': not in the pod's network namespace\$"
	same 1 "$(wc -l < "$TMP/output")" "lines"
	nothing_left_but_six a
}

# nothing_left_but_six POD: its ::6 was there before
nothing_left_but_six() {
	same "" "$(pins)" "pins are left"
	same "" "$(links "$1")" "links are left"
	six "$1"
}

# again [INTERFACE...]: another policy for both
again() {
	"$ST" detach a && rules "$@"
}

# updated: the same by update, and back
updated() {
	"$ST" update a --ipv6=on
	same "proxy proxy proxy" "$(answers "$SVC4" "$FAR4" "[$BEHIND6]")" "without -c"
	same "proxy proxy" "$(out_run a "$DIAL" "$NET4:8080" "[$NET6]:8080" | who)" "without -c, from outside"
	"$ST" update a --ipv6=on -c net1
	net1_excluded
}

rules net1
check "-c net1: what goes and comes by it is left alone" net1_excluded
all_alike "-c net1"
check "-c net1: calls by routes with two next hops are as with iptables" alike hops_calls
check "-c net1: sockets bound to eth0 are as with iptables" none_works eth0
check "-c net1: sockets bound to net1 are as with iptables" alike device_calls net1
check "update without and with -c" updated
again net+
check "-c net+: the same" net1_excluded
all_alike "-c net+"
again eth0
check "-c eth0: the other way round" eth0_excluded
all_alike "-c eth0"
check "-c eth0: sockets bound to eth0 are as with iptables" alike device_calls eth0
check "-c eth0: sockets bound to net1 are as with iptables" none_works net1
again lo
check "-c lo: the pod's calls to itself" lo_excluded
all_alike "-c lo"
again eth0 net1
all_alike "-c eth0,net1"
"$ST" detach a
check "an interface that is not there is refused" unknown net2 net2
check "one of two that is not there is refused" unknown net1,net2 net2
check "a pattern that nothing fits is refused" unknown veth+ veth+

finish
