#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Destinations by number: each has one, nothing is kept of a connection, and nobody is taken for a
# destination that he did not dial, whatever the proxy listens on, and however often the pod was attached.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

FIRST=127.1.0.0 # the address of number 0

# entries MAP: how many there are
entries() {
	bpftool -j map dump pinned "$PINS/$1" | jq length
}

# told WHAT...: inside check: these were the original destinations of what dial just printed, a line each
told() {
	same "$(printf '%s\n' "$@")" "$(sed -n 's/.* od=\(.*\)/\1/p' "$TMP/dialled")" "original destinations"
}

# dials ARG...: as the app; what it prints in $TMP/dialled
dials() {
	dial a "$@" > "$TMP/dialled"
}

one_each() {
	dials -n 3 "$SVC4:80" "$SVC4_2ND:80" "$SVC4:81" "[::ffff:$SVC4]:80"
	told "$SVC4:80"{,,} "$SVC4_2ND:80"{,,} "$SVC4:81"{,,} "$SVC4:80"{,,}
	has "$(head -n 1 "$TMP/dialled")" "^peer=$SVC4:80 name=$POD4:[0-9]+ proxy .* peer=$POD4:[0-9]+ local=127\.1\.0\.[0-2]:15001 "
	same 3 "$(entries st_number)" "numbers"
	same 3 "$(entries st_dest)" "destinations"
}

nothing_kept() {
	keep held pod_run_as a 1000 "$DIAL" -k "$SVC4:80"
	same 0 "$(entries st_handshake)" "handshakes"
	still proxy held
	hang_up held
	dials "[$SVC6]:80" "dns:$SVC4:53"
	same 3 "$(entries st_number)" "numbers of IPv4 destinations over TCP"
}

# What is dialled in the range of numbers is its own destination, not the one that has the number.
dials_a_number() {
	dials "$FIRST:15001" "127.1.200.1:15001"
	told "$FIRST:15001" 127.1.200.1:15001
	same "peer=$FIRST:15001 peer=127.1.200.1:15001" "$(cut -d ' ' -f 1 "$TMP/dialled" | paste -sd ' ')"
	has "$(head -n 1 "$TMP/dialled")" ' name=127\.0\.0\.1:[0-9]+ '
	has "$(tail -n 1 "$TMP/dialled")" ' local=127\.1\.200\.1:15001 '
	same ECONNREFUSED "$(dial a "$FIRST:15002" | who)" "another port of that address"
}

# A source that the app bound is not the pod's: it is another number.
bound() {
	dials -b "$POD4_2ND:0" "$SVC4:80"
	told "$SVC4:80"
	has "$(cat "$TMP/dialled")" " name=$POD4_2ND:[0-9]+ .* peer=$POD4_2ND:[0-9]+ "
}

# The proxy comes back on 127.0.0.1 alone, and then on the wildcard again.
narrow() {
	stop "$PROXY"
	same ECONNREFUSED "$(dial a "$SVC4:80" | who)" "no proxy"
	serve "$TMP/narrow" pod_run_as a 1337 "$STUB" narrow line:127.0.0.1:15001
	dials "$SVC4:80" "$SVC4_2ND:80"
	told "$SVC4:80" "$SVC4_2ND:80"
	has "$(cat "$TMP/dialled")" 'narrow .* local=127\.0\.0\.1:15001 '
	stop "$SERVED"
	proxy_start a
	PROXY=$SERVED
	dials "$SVC4:80"
	told "$SVC4:80"
	has "$(cat "$TMP/dialled")" ' local=127\.1\.'
}

# A policy with another outbound port: what is live keeps its number, new ones get others.
other_port() {
	keep old pod_run_as a 1000 "$DIAL" -k "$SVC4:80"
	serve "$TMP/other" pod_run_as a 1337 "$STUB" other line:0.0.0.0:15011
	"$ST" update a --ipv6=on -p 15011
	dials "$SVC4:80" "$FIRST:15001" "$FIRST:15011"
	told "$SVC4:80" "$FIRST:15001" "$FIRST:15011"
	same "other proxy other" "$(who < "$TMP/dialled")"
	still proxy old
	: > "$TMP/old.out"
	echo names > "$TMP/old.in"
	wait_for 10 grep -q "^peer=$SVC4:80 name=$POD4:" "$TMP/old.out"
	hang_up old
	stop "$SERVED"
	"$ST" update a --ipv6=on
}

# kept: how many destinations are at hand, by the policy that a slot names
kept() {
	bpftool -j map dump pinned "$PINS/st_known" |
		jq '[.[].values[].value[8:16] | select(any(.[]; . != "0x00"))] | length'
}

# What is kept of a destination is not believed under a new policy.
updated() {
	local who ports
	for who in outside proxy outside proxy outside proxy; do
		ports=15020
		[[ $who == proxy ]] || ports=80,15020
		"$ST" update a --ipv6=on -o "$ports"
		same "$(yes "$who" | head -n 40 | paste -sd ' ')" "$(dial a -n 20 "$SVC4:80" "[$SVC6]:80" | who)"
	done
	[[ $(kept) -gt 0 ]]
}

# next: the number that the next new destination gets
next() {
	bpftool -j map dump pinned "$PINS/st_numbering" | jq '.[0].formatted.value.next'
}

# The node's table is full of other pods' numbers: this one's are not used up by that.
node_full() {
	local next full
	for full in st_number st_dest; do
		next=$(next)
		"$TEST_BIN/e2e_fill" "$PINS/$full"
		dials -n 3 "$SVC4:83"
		told "$SVC4:83"{,,}
		same "$next" "$(next)" "next number"
		"$TEST_BIN/e2e_fill" -d "$PINS/$full"
	done
	dials -n 3 "$SVC4:83"
	told "$SVC4:83"{,,}
	same $((next + 1)) "$(next)" "next number, with room again"
	wait_for 5 same 0 "$(entries st_handshake)" "handshakes"
}

# unnumbered: how many connections got no number
unnumbered() {
	"$ST" stats a --json |
		jq '[.. | objects | .["dest-no-number"]? // empty | if type == "object" then .[] else . end] | add // 0'
}

# More destinations than numbers: the proxy is told all the same.
used_up() {
	local cookie key before
	before=$(unnumbered)
	key=$(bpftool -j map dump pinned "$PINS/st_numbering" | jq -r '.[0].key | join(" ")')
	cookie=$(bpftool -j map dump pinned "$PINS/st_numbering" | jq -r '.[0].value | join(" ")')
	read -r -a cookie <<< "$cookie"
	# end := next
	# shellcheck disable=SC2086 # words
	bpftool map update pinned "$PINS/st_numbering" key $key value "${cookie[@]:0:8}" "${cookie[@]:4:4}"
	dials -n 2 "$SVC4:82" "$SVC4:80"
	told "$SVC4:82"{,} "$SVC4:80"{,}
	same $((before + 2)) "$(unnumbered)" "counted"
	wait_for 5 same 0 "$(entries st_handshake)" "handshakes"
}

# A connection that is older than the attach keeps an address that stood for something then, and stands
# for nothing now.
attached_again() {
	keep old pod_run_as a 1000 "$DIAL" -k "$SVC4:80"
	"$ST" detach a
	attach a
	dials "$SVC4_2ND:80" "$SVC4:80"
	told "$SVC4_2ND:80" "$SVC4:80"
	: > "$TMP/old.out"
	echo names > "$TMP/old.in"
	wait_for 10 grep -q '^peer=127\.1\.' "$TMP/old.out"
	hang_up old
}

gone() {
	attach b > /dev/null
	"$ST" detach a
	same "0 0 0" "$(entries st_number) $(entries st_dest) $(bpftool -j map dump pinned "$PINS/st_numbering" | jq 'length - 1')"
	"$ST" detach b
	nothing_left a
}

pod_make a
pod_make b
outside_start a
attach a
proxy_start a
PROXY=$SERVED
agent_start a
check "every destination has one number" one_each
check "nothing is kept of a connection" nothing_kept
check "who dials a number is no destination's" dials_a_number
check "a source that was bound" bound
check "the proxy listens on 127.0.0.1 alone, and on the wildcard again" narrow
check "another outbound port" other_port
check "another policy: what was kept of the last one does not count" updated
check "the node has no room for more numbers, and has again" node_full
check "more destinations than numbers" used_up
check "attached again: old connections are nobody's" attached_again
check "they go with the pod" gone
finish
