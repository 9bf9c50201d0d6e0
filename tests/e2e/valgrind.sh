#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A pod's life with every command under valgrind: no invalid access, no use of what was never set, no
# block and no file descriptor left, whatever else the command did.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEXT=$TEST_BIN/next/socktables

# complaints: what is in the logs of the last command, its children's, too
complaints() {
	awk '/ERROR SUMMARY: / && !/ERROR SUMMARY: 0 errors/ { print "errors" }
		before && !/<inherited from parent>/ { print before }
		{ before = /Open file descriptor [0-9]+:/ ? $0 : "" }' "$TMP"/vg.*
	cat "$TMP/fds"
}

# clean STATUS ARG...: inside check: the command ends so, and valgrind has nothing to say; its stdout
# goes to $TMP/stdout
clean() {
	local want=$1 status=0 said
	shift
	rm -f "$TMP"/vg.* "$TMP/fds"
	ST_OPEN_FDS=$TMP/fds LD_PRELOAD=$TEST_BIN/e2e_openfds.so valgrind \
		--log-file="$TMP/vg.%p" --error-exitcode=99 --leak-check=full --show-leak-kinds=all \
		--errors-for-leak-kinds=all --track-fds=yes --suppressions="$E2E/valgrind.supp" \
		"$ST" "$@" > "$TMP/stdout" 2> "$TMP/stderr" || status=$?
	said=$(complaints)
	if [[ $status != "$want" || -n $said ]]; then
		grep -hv 'unhandled eBPF command' "$TMP"/vg.*
		printf '%s\n' "$(cat "$TMP/stderr")" "$said" "exit status of '$*': $status"
		return 1
	fi
}

taken_over() {
	local id
	id=$("$ST" status a --json | jq -r '.[0].build')
	clean 0 upgrade
	[[ $("$ST" status a --json | jq -r '.[0].build') != "$id" ]]
}

looked_at() {
	clean 0 status --json
	clean 0 status
	clean 0 stats a --json
	clean 0 stats
	clean 0 stats --prometheus
	clean 0 explain a out tcp 10.0.0.5:80 --uid 1000
}

# traced ARG...: while the app makes connections
traced() {
	local pid status=0
	(while :; do dial a "$SVC4:80"; done) > /dev/null 2>&1 &
	pid=$!
	clean 0 trace a --count 3 "$@" || status=$?
	kill "$pid"
	same 3 "$(grep -c out-captured "$TMP/stdout")" "lines"
	return "$status"
}

refused() {
	clean 3 update nobody
	clean 1 attach --cgroup "$CG/a" --netns /run/netns/a --name other
	clean 2 attach --cgroup "$CG/a" --netns /run/netns/a -x 10.0.0.0/33
}

# with a live connection, so that it counts some and is told the time
drained() {
	keep live dial a -k "$SVC4:80"
	clean 0 detach a --drain=1
	nothing_left a
}

imported() {
	clean 0 import "$TESTS/import/cidrs-1.30-dual.rules"
	has "$(cat "$TMP/stdout")" '^-'
	clean 1 import "$TESTS/import/refused-dual-differs.rules"
}

IN_A=(--cgroup "$CG/a" --netns /run/netns/a --name a --ipv6=on)
pod_make a
outside_start a
app_start a
proxy_start a
agent_start a
"$NEXT" attach "${IN_A[@]}"
check "upgrade" taken_over
check "update" clean 0 update a --ipv6=on -o 8080 -x 10.1.0.0/16
check "status, stats, explain" looked_at
check "agent" clean 0 agent --once
check "trace" traced --dst "$SVC4"
check "trace as JSON" traced --json --reason out-captured
check "what is refused" refused
check "detach --drain with a live connection" drained
check "attach" clean 0 attach "${IN_A[@]}" -x 10.1.0.0/16,fd00::/8
check "detach" clean 0 detach a
check "nothing is left" nothing_left a
check "import" imported
finish
