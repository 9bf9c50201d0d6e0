#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A pod has changed and is looked at again, without an agent that runs: by --once. Whatever its flags,
# the maps then hold what a fresh attach writes.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEW4=10.77.0.55 NEW6=fd77::55

warned() {
	attach a
	known a
	ip -n a address add "$NEW4/24" dev eth0
	stale_facts a
	same "proxy" "$(dial a "$NEW4:8080" | who)" "to an own address that is not known yet"
	"$ST" agent --once
	known a
	same "app" "$(dial a "$NEW4:8080" | who)" "after --once"
	ip -n a address del "$NEW4/24" dev eth0
	stale_facts a
	"$ST" update a --ipv6=on
	known a
	same "proxy" "$(dial a "$NEW4:8080" | who)" "after update"
	"$ST" detach a
}

nothing_to_do() {
	local before
	attach a
	before=$(bpftool -j map dump pinned "$PINS/st_policy" | jq -c '.[].formatted.value.id')
	"$ST" agent --once
	same "$before" "$(bpftool -j map dump pinned "$PINS/st_policy" | jq -c '.[].formatted.value.id')"
	"$ST" detach a
	"$ST" agent --once
	one_line 2 "agent: argument 'a': not expected" "$ST" agent a
}

# change N: something of pod a, another thing for each N
change() {
	case $(($1 % 6)) in
	0) ip -n a address add "$NEW4/24" dev eth0 ;;
	1) ip -n a route add 10.1.0.0/16 via "$OUT4" dev eth1 onlink ;;
	2) ip -n a address add "$NEW6/64" dev eth0 nodad ;;
	3) ip -n a address del "$NEW4/24" dev eth0 ;;
	4) ip -n a route del 10.1.0.0/16 via "$OUT4" ;;
	5) ip -n a address del "$NEW6/64" dev eth0 ;;
	esac
}

any_flags() {
	local seed flags n=0 base
	base=${SEED:-$(date +%s)}
	echo "SEED=$base"
	printf 'nameserver %s\n' "$SVC4" "$SVC6" > "$TMP/resolv.conf"
	ip link add eth1 netns a type veth peer name eth1 netns a-out
	ip -n a link set eth1 up
	for ((seed = base; seed < base + 30; seed++)); do
		eval "flags=(--resolv-conf $TMP/resolv.conf $("$TEST_BIN/diff_random" policy "$seed"))"
		"$ST" attach --cgroup "$CG/a" --netns /run/netns/a --name a "${flags[@]}"
		change "$((n++))"
		change "$((n++))"
		"$ST" agent --once
		as_fresh a "${flags[@]}" || { echo "seed $seed: ${flags[*]}" && return 1; }
		"$ST" detach a
	done
}

# Another pod keeps the datapath loaded, which saves most of the time.
mkdir "$CG/stays"
ip netns add stays
attach stays
# many_cidrs: as many as there may be, and the pod's own addresses among them
many_cidrs() {
	local n
	for ((n = 0; n < 10000; n++)); do
		echo "10.$((n / 250)).$((n % 250)).0/$((24 + n % 9)) fd00:$n::/$((32 + n % 90))"
	done > "$TMP/cidrs"
	echo "::/128" | cat "$TMP/cidrs" - > "$TMP/excluded" # a walk through the map begins there
	attach a -i "@$TMP/cidrs" -x "@$TMP/excluded"
	ip -n a address add "$NEW4/24" dev eth0
	ip -n a address add "$NEW6/64" dev eth0 nodad
	"$ST" agent --once
	as_fresh a --ipv6=on -i "@$TMP/cidrs" -x "@$TMP/excluded"
	ip -n a address del "$NEW4/24" dev eth0
	ip -n a address del "$NEW6/64" dev eth0
	"$ST" agent --once
	as_fresh a --ipv6=on -i "@$TMP/cidrs" -x "@$TMP/excluded"
	"$ST" detach a
}

pod_make a
outside_start a
app_start a
proxy_start a
check "status warns of what has changed, update and --once see to it" warned
check "--once without a change, and without a pod, does nothing" nothing_to_do
# Another pod keeps the datapath loaded, which saves most of the time.
mkdir "$CG/stays"
ip netns add stays
attach stays
check "any flags: what is made is what attach makes" any_flags
check "20,000 CIDRs" many_cidrs
"$ST" detach stays
check "nothing is left" nothing_left a
finish
