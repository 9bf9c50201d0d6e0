#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Pods to which anything happens at any time: they are attached, updated, drained, detached, commands
# are killed on the way, proxies restart, namespaces and cgroups go and come back, all pods at once, with
# traffic in each. After every step the traffic is that of the policy in force; after a kill that of
# some whole policy, or of none. A connection of each pod lives through all of it. In the end nothing
# is left. SOAK_SECONDS bounds it (15), SOAK_PODS says how many pods (4), SOAK_SEED repeats the choices
# of a run, though not its timing.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

LENGTH=${SOAK_SECONDS:-15}
PODS=${SOAK_PODS:-4}
SEED=${SOAK_SEED:-$RANDOM}

# Policies, and who is reached under each (see reach)
FLAGS=('' '-o 80' '--ipv6=off' '-b=' '--redirect-dns=false --capture-all-dns=false' "-x $SVC4/32,$SVC6/128")
SEEN=("$CAPTURED" 'outside outside agent agent proxy proxy' 'proxy outside agent outside proxy app'
	'proxy proxy agent agent app app' 'proxy proxy outside outside proxy proxy'
	'outside outside agent agent proxy proxy')

# --- one pod, in a process of its own -----------------------------------------------------------------

# serve_pod: (re)starts the proxy and the agent of $POD
serve_pod() {
	proxy_start "$POD" && PROXY=$SERVED
	agent_start "$POD" && AGENT=$SERVED
}

# expect WHAT: who is reached must be this now, or one of all there can be if nobody knows (WHAT empty)
expect() {
	local seen i
	seen=$(reach "$POD")
	[[ -z $1 || $seen != "$1" ]] || return 0
	if [[ -z $1 ]]; then
		for ((i = 0; i < ${#SEEN[@]}; i++)); do
			[[ $seen != "${SEEN[i]}" ]] || return 0
		done
		[[ $seen != "$DIRECT" ]] || return 0
	fi
	echo "$POD after $STEP: want: ${1:-some whole policy}"
	echo "$POD after $STEP: got:  $seen"
	return 1
}

# verb N: the arguments of a random verb for $POD, with policy N, in $VERB
verb() {
	local policy=(--ipv6=on)
	# shellcheck disable=SC2206 # words
	policy+=(${FLAGS[$1]/-b=/-b })
	[[ ${FLAGS[$1]} != '-b=' ]] || policy=(--ipv6=on -b '')
	case $((RANDOM % 4)) in
	0 | 1) VERB=(attach --cgroup "$CG/$POD" --netns "/run/netns/$POD" --name "$POD" "${policy[@]}") ;;
	2) VERB=(update "$POD" "${policy[@]}") ;;
	3) VERB=(detach "$POD") ;;
	esac
}

# commanded: the verb runs to its end; what is reached then is known
commanded() {
	local n=$((RANDOM % ${#FLAGS[@]})) status=0
	verb "$n"
	STEP="${VERB[0]} with policy $n"
	"$ST" "${VERB[@]}" > "$TMP/$POD.said" 2>&1 || status=$?
	case $status:${VERB[0]} in
	0:attach | 0:update) NOW=${SEEN[n]} ;;
	0:detach | 3:detach) NOW=$DIRECT ;;
	3:update) [[ -z $NOW || $NOW == "$DIRECT" ]] && NOW=$DIRECT ;;
	1:update) # of what a kill has left
		[[ -z $NOW ]] && grep -q 'attach did not complete\|is being detached' "$TMP/$POD.said" ;;
	*) false ;;
	esac || { echo "$POD: $STEP: status $status" && cat "$TMP/$POD.said" && return 1; }
}

# killed: the verb is killed after some milliseconds, if it lasts so long
killed() {
	local pid n=$((RANDOM % ${#FLAGS[@]}))
	verb "$n"
	STEP="killed ${VERB[0]} with policy $n"
	"$ST" "${VERB[@]}" > "$TMP/$POD.said" 2>&1 &
	pid=$!
	sleep "0.0$((RANDOM % 60 + 10))" # not a wait: a moment at random
	kill -KILL "$pid" 2> /dev/null
	wait "$pid" 2> /dev/null
	NOW=
}

drained() {
	local status=0
	STEP=drain
	"$ST" detach "$POD" --drain=1 > "$TMP/$POD.said" 2>&1 || status=$?
	[[ $status == [03] ]] || { cat "$TMP/$POD.said" && return 1; }
	NOW=$DIRECT
}

proxy_restarts() {
	STEP='proxy restart'
	stop "$PROXY" "$AGENT"
	serve_pod
}

# pod_restarts: its processes end, namespace or cgroup or both go, the pod comes back under its name
pod_restarts() {
	STEP='pod restart'
	pod_drop "$POD"
	((RANDOM % 2)) && "$ST" detach --all --stale
	pod_begin
	"$ST" detach "$POD" > /dev/null 2>&1
	NOW=$DIRECT
}

pod_begin() {
	pod_make "$POD"
	outside_start "$POD" && app_start "$POD" && serve_pod
	keep "$POD" dial "$POD" -k "$SVC4:80"
	WHO=$(awk '{ print $3; exit }' "$TMP/$POD.out")
}

# worker N: pod sN until time is up; "DONE steps" is the last that it says if all was well
worker() {
	local steps=0
	POD=s$1 NOW=$DIRECT STEP=start
	RANDOM=$((SEED + $1))
	pod_begin
	while ((SECONDS < LENGTH)); do
		case $((RANDOM % 20)) in
		0) drained ;;
		1) proxy_restarts ;;
		2) pod_restarts ;;
		[3-9]) killed ;;
		*) commanded ;;
		esac || return 1
		expect "$NOW" || return 1
		still "$WHO" "$POD" || { echo "$POD after $STEP: its connection is broken" && return 1; }
		steps=$((steps + 1))
	done
	echo "DONE $steps"
}

# --- all ----------------------------------------------------------------------------------------------

soak() {
	local n pids=() ids
	echo "seed $SEED"
	attach nobody # so that the datapath lives through it
	for ((n = 1; n <= PODS; n++)); do
		worker "$n" > "$TMP/worker.$n" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
	cat "$TMP"/worker.*
	same "$PODS" "$(grep -c '^DONE' "$TMP"/worker.* | awk -F: '{ n += $2 } END { print n }')" "pods that were well"
	for ((n = 1; n <= PODS; n++)); do
		detach_if "s$n"
		same "$DIRECT" "$(reach "s$n")"
		same "" "$(links "s$n")"
		not six "s$n"
	done
	same "" "$("$TEST_BIN/e2e_state" "$CG/nobody" /run/netns/nobody | grep -E "nobody's|somebody|^handshake")" "left"
	same 1 "$("$ST" status --json | jq length)" "pods"
	ids=$(objects)
	"$ST" detach --all
	nothing_left nobody
	wait_for 10 all_gone "$ids"
	awk '/^DONE/ { n += $2 } END { print "# " n " steps" }' "$TMP"/worker.* >&3
}

exec 3>&1
pod_make nobody
check "$PODS pods for $LENGTH s" soak
finish
