#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What README says of bpftool: its commands are run as they stand there, of a pod that is attached, and have to print
# the names that it shows. Every map that has entries shows them by the names of their fields.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# sessions: the section's fenced lines, those of each command in a file $TMP/session.N with the command first
sessions() {
	awk -v at="$TMP/session." '
		/^## / { in_section = /bpftool/ }
		/^```/ { fenced = !fenced }
		in_section && fenced && /^\$ / { n++ }
		in_section && fenced && n && !/^```/ { print > (at n) }' "$TOP/README.md"
}

# names TEXT: its words that are names: no numbers, nothing that is different each time
names() {
	grep -oE '[A-Za-z_][A-Za-z0-9_]+' <<< "$1" | sort -u
}

# as_shown FILE: the command prints every name that stands below it; a line that is but a figure as it is
as_shown() {
	local command shown output name
	command=$(sed -n '1s/^\$ //p' "$1")
	command=${command//\/sys\/fs\/cgroup\/kubepods\/pod1/$CG\/web}
	shown=$(sed 1d "$1")
	output=$("$BASH" -o pipefail -c "$command")
	has "$output" .
	not grep -w null <<< "$output"
	for name in $(names "$shown"); do
		has "$output" "(^|[^A-Za-z0-9_])$name([^A-Za-z0-9_]|\$)"
	done
	[[ ! $shown =~ ^[0-9]+$ ]] || same "$shown" "$output"
}

captures() {
	same "$CAPTURED" "$(reach web)"
	keep open pod_run_as web 1000 "$DIAL" -k "$SVC4:80"
}

# The numbered destination is the one that was dialled.
destinations() {
	local command
	command=$(sed -n '1s/^\$ //p' "$(grep -l st_number\  "$TMP"/session.*)")
	same "$SVC4" "$("$BASH" -c "$command" | jq -r 'select(.via == 15001) | .dst')"
}

# fields MAP: dumps as a list of objects, all of their keys and values with names or plain numbers
fields() {
	bpftool -j map dump pinned "$PINS/$1" | jq -e 'length > 0 and all(.[].formatted; has("key") and
		(has("value") or (.values | length > 0 and all(.[]; has("value")))))'
}

pod_make web
attach web
outside_start web
app_start web
proxy_start web
agent_start web
check "a pod that is captured" captures
sessions
check "README has sessions" test -s "$TMP/session.5"
for file in "$TMP"/session.*; do
	check "README: $(head -c 90 "$file" | head -n 1)" as_shown "$file"
done
check "st_number tells the destinations" destinations
for map in st_policy st_class st_ids st_count st_number st_dest st_numbering st_version st_caller; do
	check "$map has names of fields" fields $map
done
finish
