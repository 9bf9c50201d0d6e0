#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# explain: what it says will be seen is what app, proxy and DNS agent see; a policy without a pod is
# explained as the pod that has it; and offline nothing of the machine is needed.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# ask POD FLOW...: the answer as JSON, in $TMP/answer
ask() {
	"$ST" explain --json "$@" > "$TMP/answer"
}

# told JQ: a word of the answer
told() {
	jq -r "$1" "$TMP/answer"
}

# host TEXT: without the port and the brackets
host() {
	sed -E 's/^(.*):[0-9]+$/\1/; s/[][]//g' <<< "$1"
}

# field NAME LINE: the value of NAME=VALUE in a line of e2e_dial's
field() {
	sed -nE "s/.*(^| )$1=([^ ]+).*/\2/p" <<< "$2"
}

# as_seen UID TARGET DIAL-ARG...: what the app and who answers it see is what explain told
as_seen() {
	local uid=$1 target=$2 line
	shift 2
	ask web out tcp "$target" --uid "$uid" ${FROM:+--from "$FROM"}
	line=$(pod_run_as web "$uid" "$DIAL" "$@" "$target")
	same "$(told .seen.app.peer)" "$(sed -nE 's/^peer=([^ ]+) .*/\1/p' <<< "$line")" "getpeername"
	same "$(told .seen.app.name)" "$(host "$(sed -nE 's/.* name=([^ ]+) .*/\1/p' <<< "$line")")" "getsockname"
	line=${line#* name=}
	if [[ $(told .seen.proxy) == null ]]; then
		has "$line" " (outside|app) "
		return
	fi
	has "$line" " proxy "
	same "$(told .seen.proxy.original_destination)" "$(field od "$line")" "SO_ORIGINAL_DST"
	same "$(told .seen.proxy.peer)" "$(host "$(field peer "$line")")" "getpeername at the proxy"
	[[ $(told .seen.proxy.spread) == true ]] || same "$(told .seen.proxy.name)" "$(host "$(field local "$line")")"
	same "$(told .seen.proxy.port)" "$(field local "$line" | sed 's/.*://')" "the listener's port"
}

seen_by_app() {
	as_seen 1000 "$SVC4:80"
	as_seen 1000 "[$SVC6]:80"
	FROM=$POD4_2ND as_seen 1000 "$SVC4:80" -b "$POD4_2ND:0"
	as_seen 1000 "$POD4:8080"
	as_seen 1000 "[$POD6]:8080"
	as_seen 1000 "127.0.0.1:8080"
	as_seen 1000 "[::1]:8080"
}

seen_of_proxy() {
	as_seen 1337 "$SVC4:80"
	as_seen 1337 "$POD4:8080"
	as_seen 1337 "[$POD6]:8080"
	as_seen 1337 "127.0.0.2:8080"
}

seen_inbound() {
	local line target=$1
	ask web in tcp "$target" --from "$2"
	line=$(out_run web "$DIAL" "$target")
	same "$(told .seen.proxy.original_destination)" "$(field od "${line#* name=}")"
	same "$(told .seen.proxy.peer)" "$(host "$(sed -nE 's/.* (proxy|app) .* peer=([^ ]+) .*/\2/p' <<< "$line")")"
	same "$(told '"\(.seen.proxy.name):\(.seen.proxy.port)"')" "$(field local "$line" | tr -d '[]')"
}

seen_direct_inbound() {
	ask web in tcp "$POD4:15020" --from "$OUT4"
	same "null $OUT4" "$(told '"\(.seen.proxy) \(.seen.app.peer)"')"
	has "$(out_run web "$DIAL" "$POD4:15020")" " app .* peer=$OUT4:"
}

seen_dns() {
	local how server
	for how in dns sendto; do
		for server in "$SVC4:53" "[$SVC6]:53"; do
			ask web out udp "$server" --uid 1000
			same "peer=$(told .seen.app.reply_from) a=10.0.0.15" "$(dial web "$how:$server")" "$how"
		done
	done
	same 15053 "$(told .seen.proxy.port)"
}

refused_now() {
	has "$("$ST" explain idle in tcp "$POD4:8080" --from "$OUT4")" '^now it would be refused: nothing .* port 15006'
	ask idle in tcp "$POD4:8080" --from "$OUT4"
	same true "$(told .no_listener)"
	ask web in tcp "$POD4:8080" --from "$OUT4"
	same false "$(told .no_listener)"
}

# Flows that meet each rule at least once
FLOWS=("out tcp $SVC4:80 --uid 1000" "out tcp [$SVC6]:80 --uid 1000" "out tcp $SVC4:15020 --uid 1000"
	"out tcp 10.9.0.1:80 --uid 1000" "out tcp 10.9.0.1:8443 --uid 1000" "out tcp $POD4:80 --uid 1000"
	"out tcp $POD4:80 --uid 1337" "out tcp $SVC4:80 --uid 1337" "out tcp $POD4:80 --from 127.0.0.6"
	"out udp $SVC4:53 --uid 1000" "out udp $SVC4:443 --uid 1000" "out tcp 127.0.0.1:53 --uid 1000"
	"out tcp 0.0.0.0:80 --uid 1000" "out tcp [::]:80" "out tcp $SVC4:80 --from 127.0.0.1"
	"in tcp $POD4:8080 --from $OUT4" "in tcp [$POD6]:8080 --from $OUT6" "in tcp $POD4:22 --from $OUT4"
	"in tcp $POD4:15008 --from $OUT4" "in tcp $POD4:80 --from $POD4" "in udp $POD4:80 --from $OUT4")

# The pod's own addresses as --local, in the order of the pod
LOCAL=$POD4,$POD4_2ND,$POD6,$POD6_2ND

# as_offline FLAG...: pod web with these flags, and the flags without a pod, answer the same
as_offline() {
	local flow
	"$ST" update web --ipv6=on "$@"
	rm -f "$TMP/live" "$TMP/offline"
	for flow in "${FLOWS[@]}"; do
		"$ST" explain --json web "$flow" >> "$TMP/live"
		"$ST" explain --json --offline --local "$LOCAL" --ipv6=on "$@" "$flow" >> "$TMP/offline"
	done
	same "${#FLOWS[@]}" "$(jq -s length "$TMP/live")"
	diff <(jq -S 'del(.pod, .notes, .no_listener)' "$TMP/live") \
		<(jq -S 'del(.pod, .notes, .no_listener)' "$TMP/offline")
}

offline_is_pod() {
	as_offline
	as_offline -x 10.9.0.0/16 -q 8443 -i 10.0.0.0/8
	as_offline -m TPROXY -u 0 -g 1337
	as_offline --outbound-owner-groups 1000 --capture-all-dns=false --dns-servers "$SVC4"
	"$ST" update web --ipv6=on
}

# By the rules that Istio would write: what import says of them is what they mean.
by_import() {
	local flow rules=$TESTS/import/cidrs-1.12.rules words
	eval "words=($("$ST" import "$rules"))"
	for flow in "${FLOWS[@]}"; do
		ask --import "$rules" --local "$LOCAL" "$flow"
		cp "$TMP/answer" "$TMP/imported"
		ask --offline --local "$LOCAL" "${words[@]}" "$flow"
		same "$(< "$TMP/imported")" "$(< "$TMP/answer")" "$flow"
	done
	same "$(< "$TMP/answer")" "$("$ST" explain --json --import - --local "$LOCAL" "$flow" < "$rules")"
	same 1 "$(status_of "$ST" explain --import /nonexistent out tcp 1.2.3.4:80)"
	echo '*nat' | same 1 "$(status_of "$ST" explain --import - out tcp 1.2.3.4:80)"
}

# FLOW may be one word; no other word is cut, and none is lost.
words() {
	local i many=()
	mkdir "$TMP/my dir"
	cp "$TESTS/import/cidrs-1.12.rules" "$TMP/my dir/r"
	ask --import "$TMP/my dir/r" "out tcp $SVC4:80 --uid 1000"
	for ((i = 0; i < 260; i++)); do
		many+=(--dual-stack)
	done
	ask --offline "${many[@]}" -x 10.0.0.0/8 "out tcp 10.0.0.5:80  --uid 1000"
	same out-cidr-excluded "$(told .reason)"
}

# No capability, no user, nothing in bpffs
unprivileged() {
	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
		"$ST" explain --offline out tcp 10.0.0.5:80 --uid 1000 > "$TMP/output"
	has "$(< "$TMP/output")" '^redirect: to port 15001'
	has "$(< "$TMP/output")" "^note: the pod's own addresses are not known: only loopback counts as local"
}

# What the kernel refuses whatever the rules say
not_unicast() {
	ask web out tcp 224.0.0.1:80
	same "pass out-not-unicast" "$(told '"\(.action) \(.reason)"')"
	ask web out tcp '[ff02::1]:80'
	same out-not-unicast "$(told .reason)"
}

# The list ends with what decides, but for the rule that may take it back.
order() {
	"$ST" explain web out tcp "$SVC4:80" --uid 1000 > "$TMP/output"
	same "out-captured" "$(awk '$1 == "DECIDES" { print $2 }' "$TMP/output")"
	same "out-family-off out-port-excluded out-passthrough out-group-excluded out-cidr-excluded" \
		"$(awk '$1 == "no" && $2 ~ /family|port-ex|passthr|group|cidr/ { print $2 }' "$TMP/output" | paste -sd ' ')"
	ask web out tcp "$SVC4:80" --from 127.0.0.1
	same "out-captured out-source-loopback" "$(told '[.rules[] | select(.fits) | .reason] | join(" ")')"
	same "out-source-loopback $(told .reason)" "$(told '.rules[] | select(.decides) | .reason') out-source-loopback"
}

# Of a transparent proxy's calls to its own pod, what follows when they arrive
transparent() {
	"$ST" update web --ipv6=on -m TPROXY
	ask web out tcp "$POD4:8080" --uid 0 --gid 1337
	same "pass out-local-app in-captured" \
		"$(told '"\(.action) \(.reason) \(.rules_inbound[] | select(.decides) | .reason)"')"
	ask web out tcp "$POD4:8080" --uid 0 --gid 1337 --mark 1337
	same "pass null" "$(told '"\(.action) \(.rules_inbound)"')"
	ask web out tcp "$POD4:8080" --uid 0 --gid 1337 --mark 1337 --from "$OUT4"
	same in-transparent "$(told '.rules_inbound[] | select(.decides) | .reason')"
	"$ST" update web --ipv6=on
}

wrong() {
	one_line 2 "explain: policy flags: a pod has its own: --offline is missing" \
		"$ST" explain web out tcp 1.2.3.4:80 -x 10.0.0.0/8
	one_line 2 "explain: --local '10.0.0.1': a pod has its own: only offline" \
		"$ST" explain web out tcp 1.2.3.4:80 --local 10.0.0.1
	one_line 2 "explain: --iface 'eth0': a pod's routes tell it: only offline" \
		"$ST" explain web out tcp 1.2.3.4:80 --iface eth0
	one_line 2 "explain: --import 'x': stands instead of policy flags" \
		"$ST" explain --import x -x 10.0.0.0/8 out tcp 1.2.3.4:80
	one_line 1 "explain: --local 'x': not an IPv4 or IPv6 address" \
		"$ST" explain --offline --local x out tcp 1.2.3.4:80
	one_line 2 "explain: flow: must be: out|in tcp|udp ADDRESS:PORT" "$ST" explain --offline web out tcp 1.2.3.4:80
}

# Such a connection does not come, unless the pod has changed.
not_ours() {
	ask web in tcp 10.77.0.99:80
	same "to no address of the pod that its policy knows" "$(told '.notes[]')"
	ask web in tcp "$POD4_2ND:80"
	same "" "$(told '.notes[]')"
	ask web in tcp "[$POD6]:80"
	same "" "$(told '.notes[]')"
}

by_interface() {
	ask --offline -c 'eth+' --iface eth1 out tcp 1.2.3.4:80
	same out-iface-excluded "$(told .reason)"
	ask --offline -c 'eth+' --iface net1 out tcp 1.2.3.4:80
	same out-captured "$(told .reason)"
	ask --offline -c eth1 --iface eth1 in tcp 1.2.3.4:80
	same in-iface-excluded "$(told .reason)"
	ask --offline -c eth1 in tcp 1.2.3.4:80
	has "$(told '.notes[]')" '^by which interface it goes is not known'
}

pod_make web
pod_make idle
outside_start web
attach web
attach idle
proxy_start web
agent_start web
app_start web
check "what the app's connections show" seen_by_app
check "what the proxy's connections show" seen_of_proxy
check "what inbound connections show, IPv4" seen_inbound "$POD4:8080" "$OUT4"
check "what inbound connections show, IPv6" seen_inbound "[$POD6]:8080" "$OUT6"
check "what inbound connections that are left alone show" seen_direct_inbound
check "an address that is not the pod's" not_ours
check "what DNS over UDP shows" seen_dns
check "that nothing of the proxy listens is told" refused_now
check "the rules in order, and what decides" order
check "what the kernel refuses" not_unicast
check "a transparent proxy's calls to its own pod" transparent
check "offline, the same flags say the same" offline_is_pod
check "offline, by an iptables dump" by_import
check "words as they were given" words
check "offline, interfaces" by_interface
check "offline, without any privilege" unprivileged
check "what makes no sense together" wrong
finish
