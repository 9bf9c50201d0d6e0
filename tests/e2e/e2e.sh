# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the end-to-end suites share beside lib.sh: the parts of a mesh, played by e2e_stub, and
# questions about who reaches whom. Sourced, after lib.sh, by every suite here.

# shellcheck disable=SC2034 # for the suites
E2E=$TESTS/e2e PINS=/sys/fs/bpf/socktables
STUB=$TEST_BIN/e2e_stub
DIAL=$TEST_BIN/e2e_dial

# needs PROGRAM PACKAGE: inside check: fails with a line that names the package of a missing program
needs() {
	command -v "$1" > /dev/null && return
	echo "$1 is not installed: Debian's package $2 has it"
	return 1
}

# attach POD [FLAG...]: attaches pod_make's POD under its own name, both families
attach() {
	local pod=$1
	shift
	"$ST" attach --cgroup "$CG/$pod" --netns "/run/netns/$pod" --name "$pod" --ipv6=on "$@"
}

# detach_if POD: detaches it if it is attached
detach_if() {
	"$ST" detach "$1" 2> /dev/null || [[ $? == 3 ]]
}

# --- servers --------------------------------------------------------------------------------------

# serve LOG RUN... "$STUB" ARG...: starts a stub by pod_run or the like; its pid is in $SERVED
serve() {
	local log=$1
	shift
	: > "$log" # of an earlier one: its "ready" is not ours
	spawn "$log" "$@"
	wait_for 10 grep -q '^ready' "$log" || { cat "$log" >&2 && return 1; }
	# shellcheck disable=SC2034 # for the suites
	SERVED=$(sed -n 's/^ready //p' "$log")
}

# stop PID...: ends processes and returns when they are gone
stop() {
	local pid
	for pid; do
		kill -KILL "$pid" 2> /dev/null
		wait_for 10 not test -d "/proc/$pid"
	done
}

not() {
	! "$@"
}

# outside_start POD: web servers and resolvers on the other side; its A records say 10.0.0.53
outside_start() {
	serve "$TMP/$1.outside" out_run "$1" "$STUB" -4 10.0.0.53 outside \
		line:0.0.0.0:80 'line:[::]:80' line:0.0.0.0:8080 'line:[::]:8080' \
		"dns:$SVC4:53" "dns:$SVC4_2ND:53" "dns:[$SVC6]:53" "dns:[$SVC6_2ND]:53"
}

# app_start POD: the application on ports 8080 and 15020 (which is left alone)
app_start() {
	serve "$TMP/$1.app" pod_run_as "$1" 1000 "$STUB" app line:0.0.0.0:8080 'line:[::]:8080' \
		line:0.0.0.0:15020 'line:[::]:15020'
}

# proxy_start POD: the proxy's listeners as Envoy has them
proxy_start() {
	serve "$TMP/$1.proxy" pod_run_as "$1" 1337 "$STUB" proxy line:0.0.0.0:15001 'line:[::]:15001' \
		line:0.0.0.0:15006 'line:[::]:15006'
}

# agent_start POD: the proxy's DNS agent; its A records say 10.0.0.15
agent_start() {
	serve "$TMP/$1.agent" pod_run_as "$1" 1337 "$STUB" -4 10.0.0.15 agent \
		dns:127.0.0.1:15053 'dns:[::1]:15053'
}

# --- who reaches whom -----------------------------------------------------------------------------

# dial POD ARG...: e2e_dial as the application of the pod
dial() {
	local pod=$1
	shift
	pod_run_as "$pod" 1000 "$DIAL" "$@"
}

# who: turns e2e_dial's lines into one line of words: the tag of who answered, or the error
who() {
	sed -E 's/^error=//; s/^peer=[^ ]+ name=[^ ]+ ([^ ]+).*/\1/; s/.* a=10\.0\.0\.53$/outside/
		s/.* a=10\.0\.0\.15$/agent/' | paste -sd ' '
}

# reach POD: who answers the pod's app (TCP v4, v6, DNS v4, v6), then callers from outside (v4, v6)
reach() {
	{
		dial "$1" "$SVC4:80" "[$SVC6]:80" "dns:$SVC4:53" "dns:[$SVC6]:53"
		out_run "$1" "$DIAL" "$POD4:8080" "[$POD6]:8080"
	} | who
}

# What reach says of a pod that is not captured, is captured, is captured without a proxy.
# shellcheck disable=SC2034 # for the suites
{
	DIRECT='outside outside outside outside app app'
	CAPTURED='proxy proxy agent agent proxy proxy'
	REFUSED='ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED'
}

# keep NAME RUN...: e2e_dial -k in the background; each line written to $TMP/NAME.in gets an answer
keep() {
	keep_start "$@"
	wait_for 10 grep -q . "$TMP/$1.out"
}

# keep_start NAME RUN...: the same, without waiting for the first answer
keep_start() {
	local name=$1
	shift
	rm -f "$TMP/$name.in"
	mkfifo "$TMP/$name.in"
	: > "$TMP/$name.out"
	"$@" <> "$TMP/$name.in" > "$TMP/$name.out" 2>&1 &
	KEPT[$name]=$!
}
declare -A KEPT=()

# hang_up NAME: ends it
hang_up() {
	stop "$(pgrep -P "${KEPT[$1]}")"
}

# still WHO NAME...: inside check: these connections are answered by WHO once more
still() {
	local who=$1 name before
	shift
	for name; do
		before=$(wc -l < "$TMP/$name.out")
		echo again > "$TMP/$name.in"
		wait_for 10 awk -v n="$before" 'END { exit !(NR > n) }' "$TMP/$name.out"
		has "$(tail -n 1 "$TMP/$name.out")" "^$who copy="
	done
}

# traced ARG... CMD...: strace ARG... CMD..., the calls in $TMP/calls. LeakSanitizer does not work there.
traced() {
	needs strace strace
	ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 strace -qq -o "$TMP/calls" "$@"
}

# --- sockets that wait ------------------------------------------------------------------------------

# waiter NAME RUN... e2e_ugly ARG...: in the background, until it waits; go_on NAME...: until they have ended
waiter() {
	keep_start "$@"
	wait_for 10 grep -q ^waiting "$TMP/$1.out"
}

go_on() {
	local name
	for name; do
		echo > "$TMP/$name.in"
		wait_for 15 not test -d "/proc/${KEPT[$name]}"
	done
}

# said NAME: what it printed since it waited, and before
said() {
	sed '0,/^waiting/d' "$TMP/$1.out"
}

said_before() {
	sed '/^waiting/,$d' "$TMP/$1.out"
}

# --- what is there --------------------------------------------------------------------------------

# pins: every file and directory of ours in bpffs, one a line
pins() {
	find /sys/fs/bpf -mindepth 1 ! -name '*.debug'
}

# links POD: the ids of all links that hang on the pod's cgroup or namespace, one a line
links() {
	local cgroup ns
	cgroup=$(stat -c %i "$CG/$1")
	ns=$(stat -Lc %i "/run/netns/$1")
	bpftool link show | awk -v cgroup="$cgroup" -v ns="$ns" '
		/^[0-9]+:/ { id = $1 + 0 }
		$1 == "cgroup_id" && $2 == cgroup || $1 == "netns_ino" && $2 == ns { print id }'
}

# pinned KIND: all pinned programs, maps or links as JSON, one a line; .pin is the path below $PINS
pinned() {
	bpftool -jf "$1" show | jq -c --arg at "$PINS/" '.[] | . +
		{ pin: [.pinned[]? | select(startswith($at)) | .[($at | length):]][0] } | select(.pin)'
}

# number_of NAME: of a constant of an enum, from the kernel's BTF
number_of() {
	bpftool btf dump file /sys/kernel/btf/vmlinux | awk -v name="'$1'" \
		'$1 == name && sub(/^val=/, "", $2) { print $2; exit }'
}

# abilities: what the pinned programs were loaded to ask of the kernel (see datapath_load.c)
abilities() {
	local ours
	ours=$(pinned prog | jq -s '[.[].map_ids[]]')
	bpftool -j map show | jq --argjson ours "$ours" \
		'.[] | select(.name == "st_all.rodata") | .id | select(IN($ours[]))' |
		xargs -n 1 bpftool -j map dump id | jq -c '.[].formatted.value[".rodata"]? // ["no types"] | add' | sort -u
}

# objects: all programs, maps and links that the pins hold, as "KIND ID"
objects() {
	local kind
	for kind in prog map link; do
		pinned "$kind" | jq -r --arg kind "$kind" '"\($kind) \(.id)",
			"map \(.map_ids[]?)", (.prog_id | select(.) | "prog \(.)")'
	done | sort -u
}

# all_gone LIST: none of these objects is there any more
all_gone() {
	local kind id
	while read -r kind id; do
		not bpftool "$kind" show id "$id" || return 1
	done <<< "$1"
}

# layout: of this build
layout() {
	sed -n 's/^#define ST_LAYOUT //p' "$TESTS/../include/policy.h"
}

# six POD: succeeds if ::6 is on the pod's lo
six() {
	ip -n "$1" -6 address show dev lo | grep -q 'inet6 ::6/128'
}

# nothing_left POD: inside check: no pin, no link and no ::6 of the pod is there
nothing_left() {
	same "" "$(pins)" "pins are left"
	same "" "$(links "$1")" "links are left"
	not six "$1" || { echo "::6 is left on lo" && return 1; }
}

# one_line STATUS TEXT CMD...: inside check: CMD ends with that status; on stderr it says one line,
# "socktables: TEXT", and at most a hint behind it; on stdout nothing
one_line() {
	local want=$1 text=$2 status=0
	shift 2
	"$@" > "$TMP/stdout" 2> "$TMP/stderr" || status=$?
	same "socktables: $text" "$(grep -v '^hint: ' "$TMP/stderr")" "error of '$*'"
	same "$want" "$status" "exit status of '$*'"
	[[ $(grep -c '^hint: ' "$TMP/stderr") -le 1 ]] || { cat "$TMP/stderr" && return 1; }
	same "" "$(cat "$TMP/stdout")" "stdout of '$*'"
}

# full_pipe: makes $TMP/full a pipe that nobody reads and that takes nothing more
full_pipe() {
	rm -f "$TMP/full"
	mkfifo "$TMP/full"
	exec {FULL}<> "$TMP/full"
	not dd if=/dev/zero of="$TMP/full" bs=4096 oflag=nonblock 2> /dev/null
}

# stuck PID: it waits for a reader of $TMP/full
stuck() {
	grep -q pipe_write "/proc/$1/wchan"
}

# stuck_without_lock PID: inside check: so it does, and nobody has to wait for it
stuck_without_lock() {
	wait_for 20 stuck "$1"
	not grep -E "FLOCK .* $1 " /proc/locks
}

# --- what a policy knows of its pod -----------------------------------------------------------------

# known POD: what the policy knows of the pod is so
known() {
	"$ST" status "$1" --json | jq -e '.[0].state == "attached" and (.[0].warnings | map(test("have changed")) | any | not)'
}

# stale_facts POD: inside check: status warns of them
stale_facts() {
	has "$("$ST" status "$1")" "warning +its addresses, routes or interfaces have changed.*: 'socktables update' or 'agent' looks again"
}

# entries MAP POD: the map's entries of the pod as JSON, one a line, sorted, without the policy's id
entries() {
	local id
	id=$(bpftool -j map dump pinned "$PINS/st_policy" | jq --arg name "$2" \
		'.[].formatted.value | select(.name == $name) | .id')
	bpftool -j map dump pinned "$PINS/$1" | jq -cS --arg name "$2" --argjson id "$id" '.[].formatted |
		select(.key.policy? == $id or .value.name? == $name) | del(.key.policy?, .value.id?)' | sort
}

# shape POD: all that the maps hold of it
shape() {
	entries st_policy "$1"
	entries st_class "$1"
	entries st_ids "$1"
}

# as_fresh POD [FLAG...]: inside check: the pod is what attach makes of these flags
as_fresh() {
	local before
	wait_for 10 known "$1"
	before=$(shape "$1")
	has "$before" prefixlen
	"$ST" detach "$1"
	"$ST" attach --cgroup "$CG/$1" --netns "/run/netns/$1" --name "$@"
	diff <(echo "$before") <(shape "$1")
}

# counter REASON: of pod a, both families together
counter() {
	"$ST" stats a --json | jq --arg why "$1" '.[0] | .ipv4[$why] + .ipv6[$why]'
}
