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

# A pipe can be read once: what was looked at is what is attached.
piped() {
	local status=0
	{ pod_line a "-b @/dev/fd/3" && pod_line b; } > "$TMP/pods"
	"$ST" attach --from "$TMP/pods" 3< <(echo 80,81)
	has "$("$ST" status a)" 'inbound +TCP ports 80, 81 '
	"$ST" detach --all
	mkfifo "$TMP/fifo"
	pod_line a "-b @$TMP/fifo" > "$TMP/pods"
	echo 80,81 > "$TMP/fifo" &
	timeout 20 "$ST" attach --from "$TMP/pods" || status=$?
	same 0 "$status" "a named pipe"
	has "$("$ST" status a)" 'inbound +TCP ports 80, 81 '
	"$ST" detach --all
	{ pod_line a "-b @/dev/fd/3" && pod_line b "-b @/dev/fd/3"; } > "$TMP/pods"
	one_line 2 "attach: line 2: -b/--istio-inbound-ports '@/dev/fd/3': the pipe was read before, for another list" \
		"$ST" attach --from "$TMP/pods" 3< <(echo 80,81)
	same "" "$(attached)"
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
	local flag
	wrong "flags: --cgroup and --netns, or --pid, are needed" "--name b"
	wrong "flag '--from': not in a file" "$(pod_line b) --from $TMP/other"
	wrong "flag '--help': not in a file" "--help"
	wrong "quote: ' is not closed" "$(pod_line b) -b '80"
	wrong "argument 'x': not expected" "$(pod_line b) x"
	one_line 2 "attach: --from '$TMP/pods': stands alone: flags are in the file" \
		"$ST" attach --from "$TMP/pods" -p 15101
	for flag in -b80 --cgroup="$CG/a" --netns=/run/netns/a --pid=1 --name=a --force a; do
		one_line 2 "attach: --from '$TMP/pods': stands alone: flags are in the file" \
			"$ST" attach --from="$TMP/pods" "$flag"
	done
	same "" "$(attached)"
	one_line 1 "attach: file of pods '$TMP/nowhere': No such file or directory" "$ST" attach --from "$TMP/nowhere"
	one_line 1 "attach: file of pods '$TMP': Is a directory" "$ST" attach --from "$TMP"
}

# What is not read must not look like the end: a policy without its last flags, a node without its last pods.
cut_off() {
	{ pod_line a "-p 15101" && printf '%s \0-b 80\n' "$(pod_line b)"; } > "$TMP/pods"
	one_line 2 "attach: file of pods '$TMP/pods': line 2 has a NUL byte" "$ST" attach --from "$TMP/pods"
	{ pod_line a && head -c 50M /dev/zero | tr '\0' '#'; } > "$TMP/pods"
	one_line 1 "attach: file of pods '$TMP/pods': Cannot allocate memory" "$BASH" -c \
		"ulimit -v 50000 && exec '$ST' attach --from '$TMP/pods'"
	same "" "$(attached)"
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
check "a list in a pipe" piped
check "a line that is wrong: nothing is attached" refused
check "what cannot be read: nothing is attached" cut_off
check "a pod that cannot be attached: the others are" one_fails
check "how far it has come, on a terminal alone" progress
finish
