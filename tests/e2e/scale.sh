#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Many attached pods on one machine: traffic in some of them, chosen at random, while policies of others
# change; in the end all are detached and nothing is left. SCALE_PODS says how many (80), SCALE_TALKERS how
# many of them have traffic (8), SCALE_SEED repeats the choices of a run. SCALE_TSV is a file to which
# the cost of each attach is added, as samples of tests/bench/bench.sh: figure "attach-curve" along the pods.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

PODS=${SCALE_PODS:-80}
TALKERS=${SCALE_TALKERS:-$((PODS < 200 ? 8 : 20))}
UPDATES=$((PODS < 200 ? 30 : 200))
RANDOM=${SCALE_SEED:=$RANDOM}
TSV=${SCALE_TSV:-$TMP/curve.tsv}

# choose N: so many different pods at random, in $CHOSEN; they have neighbours and servers, the others
# are a namespace and a cgroup
choose() {
	local n
	CHOSEN=()
	while ((${#CHOSEN[@]} < $1)); do
		n=s$((RANDOM * 32768 % PODS + RANDOM % PODS))
		n=s$((${n#s} % PODS + 1))
		[[ " ${CHOSEN[*]} " == *" $n "* ]] || CHOSEN+=("$n")
	done
}

talks() {
	[[ " ${CHOSEN[*]} " == *" $1 "* ]]
}

pods_make() {
	local n
	for ((n = 1; n <= PODS; n++)); do
		if talks "s$n"; then
			pod_make "s$n" && outside_start "s$n" && app_start "s$n" && proxy_start "s$n" &&
				agent_start "s$n" || return 1
		else
			mkdir "$CG/s$n" && ip netns add "s$n" && ip -n "s$n" link set lo up || return 1
		fi
	done
}

# kernel_memory: KiB of slabs, vmalloc and per-CPU memory
kernel_memory() {
	awk '/^(Slab|VmallocUsed|Percpu):/ { n += $2 } END { print n }' /proc/meminfo
}

attach_all() {
	local n begin end memory
	memory=$(kernel_memory)
	for ((n = 1; n <= PODS; n++)); do
		begin=${EPOCHREALTIME/./}
		attach "s$n"
		end=${EPOCHREALTIME/./}
		printf 'attach-curve\tsocktables\t%d pods\tms\tlow\t1\t%d.%03d\n' \
			"$n" $(((end - begin) / 1000)) $(((end - begin) % 1000))
		((n % 20)) || printf 'attach-memory-curve\tsocktables\t%d pods\tKiB\tlow\t1\t%d\n' \
			"$n" $(($(kernel_memory) - memory))
	done >> "$TSV"
	same "$PODS" "$("$ST" status --json |
		jq 'map(select(.state == "attached" and .links.attached == 13)) | length')" "attached pods"
	same "$PODS" "$(grep -c '^attach-curve' "$TSV")" "samples"
}

# talk POD: connections of every kind until $TMP/stop is there, at least twenty times
talk() {
	local rounds=0
	until [[ -e $TMP/stop ]] && ((rounds >= 20)); do
		dial "$1" "$SVC4:80" "[$SVC6]:80" "[::ffff:$SVC4]:80" "dns:$SVC4:53" "dns:[$SVC6]:53"
		out_run "$1" "$DIAL" "$POD4:8080" "[$POD6]:8080" | sed 's/^/in /'
		rounds=$((rounds + 1))
	done > "$TMP/talk.$1" 2>&1
}

# silent: a pod at random that does not talk, in $SILENT
silent() {
	SILENT=s$((RANDOM % PODS + 1))
	while talks "$SILENT"; do
		SILENT=s$((RANDOM % PODS + 1))
	done
}

# how TEXT: how connections ended, without what differs from one to another
how() {
	sed -E 's/name=[^ ]+ //; s/ copy=.* od=/ od=/; s/(in peer=[^ ]+ proxy) .*/\1/' "$@" | sort -u
}

# How every connection of every pod has to end is how those of one pod end while nothing else happens.
traffic() {
	local pod talking=() updates=0 i
	: > "$TMP/stop"
	talk "${CHOSEN[0]}"
	how "$TMP/talk.${CHOSEN[0]}" > "$TMP/want"
	same 7 "$(wc -l < "$TMP/want")" "kinds of connections"
	same 0 "$(grep -cvE ' proxy|a=10\.0\.0\.15$' "$TMP/want")" "kinds that are not captured"
	rm "$TMP/stop"
	for pod in "${CHOSEN[@]}"; do
		talk "$pod" & talking+=($!)
	done
	for ((i = 0; i < UPDATES; i++)); do
		silent
		"$ST" update "$SILENT" --ipv6=on -o "$((1000 + i))"
		same out-port-excluded "$("$ST" explain "$SILENT" out tcp "10.9.9.9:$((1000 + i))" --uid 1000 --json |
			jq -r .reason)" "$SILENT"
		updates=$((updates + 1))
	done
	: > "$TMP/stop"
	wait "${talking[@]}"
	for pod in "${CHOSEN[@]}"; do
		same "$(cat "$TMP/want")" "$(how "$TMP/talk.$pod")" "connections of $pod"
		(($(wc -l < "$TMP/talk.$pod") >= 140))
	done
	echo "# $updates updates, $(cat "$TMP"/talk.s* | wc -l) connections of ${#CHOSEN[@]} of $PODS pods, seed $SCALE_SEED" >&3
}

detach_all() {
	local ids n
	ids=$(objects)
	for ((n = 1; n <= PODS / 10; n++)); do
		"$ST" detach "s$n"
		same "" "$(links "s$n")" "links of s$n"
	done
	"$TEST_BIN/e2e_state" "$CG/s1" /run/netns/s1 > "$TMP/state"
	same "$((PODS - PODS / 10))" "$(grep -c '^policy' "$TMP/state")" "policies"
	same "" "$(grep -E "nobody|somebody|^handshake" "$TMP/state")" "entries of nobody"
	"$ST" detach --all
	for ((n = 1; n <= PODS; n++)); do
		talks "s$n" || continue
		same "$DIRECT" "$(reach "s$n")" "s$n"
		not six "s$n"
	done
	wait_for 10 all_gone "$ids"
	nothing_left "${CHOSEN[0]}"
}

pods_drop() {
	local n
	for ((n = 1; n <= PODS; n++)); do
		if talks "s$n"; then
			pod_drop "s$n"
		else
			ip netns del "s$n" && rmdir "$CG/s$n"
		fi
	done
	same "" "$(ls /run/netns)" "namespaces"
	same "" "$(find "$CG" -mindepth 1 -maxdepth 1 -name 's*')" "cgroups"
}

exec 3>&1
choose "$TALKERS"
pods_make || exit 1
check "$PODS pods are attached" attach_all
check "traffic in some, policies of others change: all connections are right" traffic
check "all are detached, and nothing is left" detach_all
check "namespaces and cgroups can go" pods_drop
finish
