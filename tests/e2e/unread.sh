#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Whoever reads what a command says may take any time for that: no other command waits meanwhile.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEXT=$TEST_BIN/next/socktables # another build

upgraded() {
	local pid
	full_pipe
	stdbuf -oL "$NEXT" upgrade > "$TMP/full" &
	pid=$!
	stuck_without_lock "$pid"
	"$ST" update a --ipv6=on
	cat <&"$FULL" > "$TMP/read" &
	wait "$pid"
	wait_for 10 grep -aq 'the programs are build' "$TMP/read"
	stop $!
	tr -d '\0' < "$TMP/read" > "$TMP/said"
	same "a: upgraded b: upgraded the" "$(sort "$TMP/said" | cut -d ' ' -f 1,2 | paste -sd ' ' | cut -d ' ' -f 1-5)"
	"$ST" upgrade
}

trace_warns() {
	local pid
	rm "$PINS/pods/a/st_recvmsg4"
	full_pipe
	"$ST" trace a > "$TMP/trace" 2> "$TMP/full" &
	pid=$!
	stuck_without_lock "$pid"
	attach a
	stop "$pid"
}

pod_make a
pod_make b
attach a
attach b
check "what upgrade did" upgraded
check "what trace warns of" trace_warns

finish
