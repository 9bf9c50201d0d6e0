#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# attach --from: many pods out of a file, all of it looked at before anything is done.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# pod_line POD [FLAG...]: its line
pod_line() {
	echo "--cgroup $CG/$1 --netns /run/netns/$1 --name $1 ${*:2}"
}

# attached: the names of all pods
attached() {
	"$ST" status --json | jq -r '.[].name' | sort | paste -sd ' '
}


many() {
	{
		echo "# pods of this node"
		pod_line a "-b '' -p 15101"
		echo
		pod_line b "	-p \"15201\"  # another port"
		printf %s "$(pod_line c)" # no newline
	} > "$TMP/pods"
	same "" "$("$ST" attach --from "$TMP/pods" 2>&1)"
	same "a b c" "$(attached)"
	has "$("$ST" status a)" 'TCP -> 15101'
	has "$("$ST" status b)" 'TCP -> 15201'
	has "$("$ST" status a)" 'inbound +not captured'
	"$ST" attach --from - < "$TMP/pods"
	same "a b c" "$(attached)"
	"$ST" detach --all
}

# wrong TEXT LINE...: a file with these lines is refused with that, and nothing is attached
wrong() {
	local text=$1
	shift
	printf '%s\n' "$(pod_line a)" "$@" > "$TMP/pods"
	one_line 2 "attach: line 2: $text" "$ST" attach --from "$TMP/pods"
	same "" "$(attached)"
}

refused() {
	wrong "flags: --cgroup and --netns, or --pid, are needed" "--name b"
	wrong "flag '--from': not in a file" "$(pod_line b) --from $TMP/other"
	wrong "flag '--help': not in a file" "--help"
	wrong "quote: ' is not closed" "$(pod_line b) -b '80"
	wrong "argument 'x': not expected" "$(pod_line b) x"
	one_line 2 "attach: --from '$TMP/pods': stands alone: flags are in the file" \
		"$ST" attach --from "$TMP/pods" -p 15101
	one_line 1 "attach: file of pods '$TMP/nowhere': No such file or directory" "$ST" attach --from "$TMP/nowhere"
	one_line 1 "attach: file of pods '$TMP': Is a directory" "$ST" attach --from "$TMP"
}

one_fails() {
	local status=0
	{
		pod_line a
		echo "--cgroup $CG/a --netns /run/netns/nowhere --name nowhere"
		pod_line b
	} > "$TMP/pods"
	"$ST" attach --from "$TMP/pods" > "$TMP/said" 2>&1 || status=$?
	same 1 "$status"
	has "$(head -n 1 "$TMP/said")" "^socktables: attach: line 2: .*'/run/netns/nowhere': No such file or directory\$"
	same "socktables: attach: pods: 1 of 3 could not be attached" "$(tail -n 1 "$TMP/said")"
	same "a b" "$(attached)"
	not grep -q $'\r' "$TMP/said"
	"$ST" detach --all
}

progress() {
	{ pod_line a && pod_line b; } > "$TMP/pods"
	TERM=xterm script -qec "$ST attach --from $TMP/pods" /dev/null < /dev/null > "$TMP/said"
	has "$(cat "$TMP/said")" '1 of 2 pods'
	same "a b" "$(attached)"
	"$ST" detach --all
}

for pod in a b c; do
	pod_make "$pod"
done
check "each line is a pod with its flags" many
check "a line that is wrong: nothing is attached" refused
check "a pod that cannot be attached: the others are" one_fails
check "how far it has come, on a terminal alone" progress
finish
