#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Many commands at once, on many pods and on one, and policies that change under connections.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

PODS=50

# at_once FIRST LAST CMD...: runs CMD N for each N, all at once; prints how many succeeded
at_once() {
	local n pids=() done=0 first=$1 last=$2
	shift 2
	for ((n = first; n <= last; n++)); do
		"$@" "$n" &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" && done=$((done + 1))
	done
	echo "$done"
}

attach_nth() {
	attach "n$1"
}

update_nth() {
	"$ST" update "n$1" --ipv6=on -o "$((1000 + $1))"
}

detach_nth() {
	"$ST" detach "n$1"
}

# why POD PORT: the reason of the verdict on a connection to that port
why() {
	"$ST" explain "$1" out tcp "10.9.9.9:$2" --uid 1000 --json | jq -r .reason
}

# Each pod has its own port among its exceptions, and not its neighbour's.
ports_are_own() {
	local n
	for ((n = 1; n <= PODS; n++)); do
		same "out-port-excluded out-captured" \
			"$(why "n$n" $((1000 + n))) $(why "n$n" $((1001 + n)))" "pod n$n" || return 1
	done
}

many_pods() {
	local n
	for ((n = 1; n <= PODS; n++)); do
		mkdir "$CG/n$n"
		ip netns add "n$n"
	done
	same "$PODS" "$(at_once 1 "$PODS" attach_nth)" "attached"
	same "$PODS" "$("$ST" status --json |
		jq 'map(select(.state == "attached" and .links.attached == 13)) | length')"
	same "$PODS" "$(at_once 1 "$PODS" update_nth)" "updated"
	ports_are_own
	same "$PODS" "$(at_once 1 "$PODS" detach_nth)" "detached"
	nothing_left n1
}

# mixed N: every third attaches, updates, detaches; pods change hands all the time
mixed() {
	case $(($1 % 3)) in
	0) attach a ;;
	1) "$ST" update a --ipv6=on -o "$((1000 + $1))" || [[ $? == 3 ]] ;;
	2) detach_if a ;;
	esac
}

one_pod() {
	local round
	attach b # the datapath stays loaded
	same 20 "$(at_once 1 20 attach_same)" "the same attach at once"
	has "$("$ST" status a)" '^a: attached$'
	for ((round = 0; round < 5; round++)); do
		same 30 "$(at_once 1 30 mixed)" "round $round"
		has "$(reach a)" "^($DIRECT|$REFUSED)\$"
	done
	attach a
	same "$REFUSED" "$(reach a)"
	same "" "$("$TEST_BIN/e2e_state" "$CG/a" /run/netns/a | grep -E 'nobody|somebody')" "left"
	same 20 "$(at_once 1 20 detach_same)" "the same detach at once"
	"$ST" detach b
	nothing_left a
}

attach_same() {
	attach a
}

# One finds it, the others find that it is gone.
detach_same() {
	detach_if a
}

# Both policies say the same of both destinations, by opposite means: the service goes to the proxy,
# the other server does not. Half of each would say the opposite: all destinations with the shorter
# list of exceptions, or a list of destinations with the longer one.
POLICY_A=(--ipv6=on -i "$SVC4/32,$SVC6/128" -x '' -o 8080)
POLICY_B=(--ipv6=on -i '*' -x "$OUT4/32,$OUT6/128" -o 8081)

# dials FILE [N]: N of each kind again and again, until $TMP/stop is there
dials() {
	local n=${2:-50}
	until [[ -e $TMP/stop ]]; do
		dial a -n "$n" "$SVC4:80" "[$SVC6]:80" "$OUT4:80" "[$OUT6]:80" "sendto:$SVC4:53" "dns:[$SVC6]:53"
		out_run a "$DIAL" -n "$n" "$POD4:8080" "[$POD6]:8080" | sed 's/^/in /'
	done > "$1"
}

# who_answered FILE: how each kind of connection ended, without numbers
who_answered() {
	sed -E 's/name=[^ ]+ //; s/ copy=.* od=/ od=/; s/(in peer=[^ ]+ proxy) .*/\1/' "$1" | sort -u
}

policies_change() {
	local i updates=0 dialling
	attach a "${POLICY_A[@]}"
	dials "$TMP/steady" & dialling=$!
	wait_for 20 lines "$TMP/steady" 1000
	: > "$TMP/stop"
	wait "$dialling"
	rm "$TMP/stop"
	dials "$TMP/changing" & dialling=$!
	until lines "$TMP/changing" 6000; do
		"$ST" update a "${POLICY_B[@]}"
		"$ST" update a "${POLICY_A[@]}"
		updates=$((updates + 2))
	done
	: > "$TMP/stop"
	wait "$dialling"
	echo "$updates updates, $(wc -l < "$TMP/changing") connections"
	((updates >= 20))
	same "$(who_answered "$TMP/steady")" "$(who_answered "$TMP/changing")" "how connections end"
	same 8 "$(who_answered "$TMP/steady" | wc -l)" "kinds of connections"
	"$ST" detach a
}

# Connections that are made while the pod is attached are left alone or captured, whole; none fails.
attach_under_load() {
	local round dialling
	for ((round = 0; round < 6; round++)); do
		dials "$TMP/attaching.$round" 10 & dialling=$!
		wait_for 20 lines "$TMP/attaching.$round" 200
		attach a
		wait_for 20 lines "$TMP/attaching.$round" $(($(wc -l < "$TMP/attaching.$round") + 400))
		: > "$TMP/stop"
		wait "$dialling"
		rm "$TMP/stop"
		"$ST" detach a
	done
	cat "$TMP"/attaching.* > "$TMP/attaching"
	echo "$(wc -l < "$TMP/attaching") connections"
	grep -q ' outside ' "$TMP/attaching" # before
	grep -q ' proxy ' "$TMP/attaching" # and after
	# An app that asks is told its own address once the pod is attached, as with conntrack. Nobody answers it
	# before, unless conntrack is loaded.
	same "" "$(who_answered "$TMP/attaching" | sed 's/od=ENOPROTOOPT$/od=ENOENT/' | grep -vE \
		-e '^peer=([^ ]+) (outside od=ENOENT|proxy od=\1)$' -e '^in peer=([^ ]+) (app od=(ENOENT|\1)|proxy)$' -e '^peer=.*:53 a=10\.0\.0\.(15|53)$')"
}

# lines FILE N: it has that many
lines() {
	(($(wc -l < "$1") >= $2))
}

pod_make a
pod_make b
outside_start a
app_start a
check "fifty pods are attached, updated and detached at once" many_pods
check "attach, update and detach of one pod at once" one_pod
proxy_start a
agent_start a
check "attach under load: no connection is lost, or captured by half" attach_under_load
check "policies that change under load: every connection is judged by a whole one" policies_change
finish
