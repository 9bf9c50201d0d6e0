#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Counters as people, scripts and Prometheus see them; they go on when the programs are replaced.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEXT=$TEST_BIN/next/socktables

# accepted: inside check: promtool has nothing to say of the metrics, now in $TMP/metrics
accepted() {
	needs promtool prometheus
	"$ST" stats "$@" --prometheus > "$TMP/metrics"
	same "" "$(promtool check metrics < "$TMP/metrics" 2>&1)" "what promtool says"
}

# metric NAME [LABELS]: the value of the last metrics
metric() {
	awk -v name="socktables_$1${2:+{$2\}}" '$1 == name { print $2 }' "$TMP/metrics"
}

nothing_attached() {
	accepted
	same "0 0 0 0" "$(for state in attached incomplete draining stale; do metric pods "state=\"$state\""; done |
		paste -sd ' ')"
	same "no pod is attached" "$("$ST" stats)"
	same 3 "$(status_of "$ST" stats nobody --prometheus)"
}

by_reason() {
	attach a
	same "$CAPTURED" "$(reach a)"
	"$ST" stats a > "$TMP/shown"
	same "outbound inbound other" "$(sed -n 's/^ \([a-z]*\)$/\1/p' "$TMP/shown" | paste -sd ' ')"
	has "$(cat "$TMP/shown")" '^  out-captured +1 +1  the destination is captured: to the proxy$'
	has "$(cat "$TMP/shown")" '^  in-captured +1 +1  '
	same "2 2 1 1" "$("$ST" stats a --json | jq -r '.[0].totals |
		"\(.out.ipv4) \(.out.ipv6) \(.in.ipv4) \(.in.ipv6)"')"
	same true "$("$ST" stats a --json | jq '.[0] | (.ipv4 | add) == (.totals | map(.ipv4) | add)')"
	not grep -q 'all pods' "$TMP/shown"
	attach b
	dial a "$SVC4:80" > /dev/null
	dial b "$SVC4:80" > /dev/null || true	# there is no proxy in it
	"$ST" stats > "$TMP/shown"
	has "$(sed -n '/^all pods:/,$p' "$TMP/shown")" '^  out-captured +3 +1  '
	has "$(sed -n '/^b:/,/^$/p' "$TMP/shown")" '^  out-captured +1 +0  '
}

# Names and labels are a promise.
metrics() {
	local reason
	accepted
	same "build_info handshakes inbound_listeners links links_expected numbered_destinations pod_info pods verdicts_total" \
		"$(sed -n 's/^# TYPE socktables_\([^ ]*\) .*/\1/p' "$TMP/metrics" | sort | paste -sd ' ')"
	same "$(grep -c '^# TYPE' "$TMP/metrics")" "$(grep -c '^# HELP' "$TMP/metrics")" "HELP lines"
	same "" "$(cut -d ' ' -f 1 "$TMP/metrics" | grep -v '^#' | sort | uniq -d)" "series that are there twice"
	for reason in $("$ST" stats a --json | jq -r '.[0].ipv6 | keys[]'); do
		same "$("$ST" stats a --json | jq --arg r "$reason" '.[0].ipv6[$r]')" "$(metric verdicts_total \
			"pod=\"a\",direction=\"$(sed -n 's/^\(out\|in\)-.*/\1/p; t; s/.*/other/p' <<< "$reason")\"$(
			),reason=\"$reason\",family=\"ipv6\"")" "$reason"
	done
	same "2 0" "$(metric inbound_listeners 'pod="a"') $(metric inbound_listeners 'pod="b"')"
	same "1 0" "$(metric numbered_destinations 'pod="a"') $(metric numbered_destinations 'pod="b"')"
	same "13 13" "$(metric links 'pod="b"') $(metric links_expected)"
	same 1 "$(metric build_info "programs=\"$("$ST" status a --json | jq -r '.[0].build')\",command=\"$(
		"$ST" status a --json | jq -r '.[0].build')\",layout=\"$(layout)\"")"
	same 1 "$(metric pod_info "$("$ST" status a --json | jq -r '.[0] | "pod=\"a\",state=\"attached\",cgroup_id=\"\(.cgroup_id
		)\",netns_inode=\"\(.netns_inode)\",netns_cookie=\"\(.netns_cookie)\""')")"
	accepted b
	same 0 "$(grep -c 'pod="a"' "$TMP/metrics")"
	one_line 2 "stats: flag '--prometheus': goes with neither --json nor --watch" "$ST" stats --prometheus --json
	one_line 2 "stats: flag '--prometheus': goes with neither --json nor --watch" "$ST" stats --prometheus --watch
}

# counts VALUE METRIC...: a metric of the moment
counts() {
	"$ST" stats --prometheus > "$TMP/metrics"
	[[ $(metric "${@:2}") == "$1" ]]
}

some_handshakes() {
	"$ST" stats --prometheus > "$TMP/metrics"
	(($(metric handshakes 'pod="b"') > 0))
}

# A listener whose backlog is full leaves connections half made.
gauges() {
	local i
	serve "$TMP/hold" pod_run_as b 1337 "$STUB" proxy "hold:[::]:15001"
	for i in {1..8}; do
		dial b "[$SVC6]:80" > /dev/null 2>&1 &
	done
	wait_for 20 some_handshakes
	same 0 "$(metric handshakes 'pod="a"')"
	wait_for 5 cgroup_kill "$CG/b"
	wait_for 20 counts 0 handshakes 'pod="b"'
	ip netns del b
	wait_for 20 counts 1 pods 'state="stale"'
	same 1 "$(metric pods 'state="attached"')"
	accepted
	"$ST" detach --all --stale
}

through_upgrade() {
	local before
	before=$("$ST" stats --json)
	"$ST" stats a --prometheus | grep verdicts_total > "$TMP/before"
	grep -q 'out-captured.* [1-9]' "$TMP/before"
	"$NEXT" upgrade > /dev/null
	same "$before" "$("$ST" stats --json)"
	diff "$TMP/before" <("$NEXT" stats a --prometheus | grep verdicts_total)
	accepted
	has "$(grep build_info "$TMP/metrics")" "programs=\"$("$NEXT" status a --json | jq -r '.[0].build')\""
	dial a "$SVC4:80" > /dev/null
	same "$(($(jq '.[0].ipv4["out-captured"]' <<< "$before") + 1))" \
		"$("$NEXT" stats a --json | jq '.[0].ipv4["out-captured"]')"
	"$ST" upgrade > /dev/null
}

# dials_seen: one more connection, and whether the last picture shows that there were some
dials_seen() {
	dial a "$SVC4:80" > /dev/null
	grep -qE '^  out-captured +[0-9]+ +[0-9]+ +([1-9][0-9]*\.[0-9]|0\.[1-9])  ' "$TMP/watch"
}

watched() {
	local pid
	env --default-signal=INT "$ST" stats a --watch=1 > "$TMP/watch" &
	pid=$!
	wait_for 20 dials_seen
	kill -INT "$pid"
	wait "$pid"	# with status 0
	not grep -q $'\e' "$TMP/watch"
	has "$(cat "$TMP/watch")" '^  reason +IPv4 +IPv6 +a second  meaning$'
	env --default-signal=INT timeout --preserve-status -s INT 3 "$ST" stats --watch=1 --json > "$TMP/lines"
	same true "$(jq -s 'length >= 2 and all(.[]; .[0].name == "a")' "$TMP/lines")"
	same "$(wc -l < "$TMP/lines")" "$(jq -s length "$TMP/lines")" "lines"
	one_line 2 "stats: --watch 'x': not a number of seconds from 1 to 86400" "$ST" stats --watch=x
	has "$(TERM=xterm script -qec "'$ST' stats a" /dev/null < /dev/null | tr -d '\r')" $'^\e\\[1ma\e\\[m:$'
	one_line 1 "stats: writing to stdout: No space left on device" to_full
}

to_full() {
	"$ST" stats --watch=1 > /dev/full
}

pod_make a
pod_make b
check "nothing is attached" nothing_attached
outside_start a
app_start a
proxy_start a
agent_start a
check "by reason, direction and family, of each pod and of all" by_reason
check "metrics that promtool accepts, with stable names" metrics
check "handshakes under way, stale pods" gauges
check "counters go on through an upgrade" through_upgrade
check "--watch tells how many there were a second, and ends at Ctrl-C with 0" watched

"$ST" detach --all
finish
