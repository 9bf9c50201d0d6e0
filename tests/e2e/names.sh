#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Names that others choose, of processes and of cgroups: whatever bytes they are made of, nothing is
# missing from what is shown, and a terminal is told nothing by them.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NO_UTF8=$'n\xffx'
ORDERS=$'\e[2J\e]0;pwn\a'
ODD=$'n\xff\e[31mx'	# of a cgroup
SHOWN='n\xff\x1b[31mx'

# prints CMD...: inside check: CMD's exit status is 0 or 1, and all that it prints, to $TMP/said, too, is
# lines of printable ASCII
prints() {
	local status=0
	"$@" > "$TMP/said" 2>&1 || status=$?
	same "" "$(LC_ALL=C tr -d '\n -~' < "$TMP/said" | od -An -tx1)" "what is no text, of '$*'"
	((status < 2)) || { cat "$TMP/said" && return 1; }
}

# owner_named NAME SHOWN: a proxy of another user that calls itself so
owner_named() {
	local said="but process [0-9]+ \\($2\\) of uid 1000"
	serve "$TMP/odd" pod_run_as a 1000 "$STUB" -c "$1" proxy 'line:*:15001' 'line:*:15006'
	prints "$ST" status a
	has "$(< "$TMP/said")" "warning    what listens on port 15001 .*$said"
	prints "$ST" status a --json
	same "broken wrong-owner wrong-owner" \
		"$(jq -r '.[0] | "\(.health) \([.findings[] | select(.severity == "broken").code] | join(" "))"' "$TMP/said")"
	has "$(jq -r '.[0].findings[].text' "$TMP/said")" "$said"
	has "$(jq -r '.[0].warnings[]' "$TMP/said")" "$said"
	prints "$ST" check a
	has "$(< "$TMP/said")" "^FAILED +wrong-owner: .*$said"
	"$ST" check a --json > "$TMP/said" 2> "$TMP/stderr" || true
	has "$(jq -r '.kinds[] | select(.outcome == "failed" and .what == "wrong-owner").text' "$TMP/said")" "$said"
	stop "$SERVED"
}

owners() {
	attach a --redirect-dns=false
	owner_named "$NO_UTF8" 'n\\xffx'
	owner_named "$ORDERS" '\\x1b\[2J\\x1b\]0;pwn\\x07'
}

# One pod that is named oddly does not hide another, nor itself.
cgroup() {
	attach b
	ip netns add c
	touch "/run/netns/$ODD"
	mount --bind /run/netns/c "/run/netns/$ODD"
	ip netns del c
	prints "$ST" attach --cgroup "$CG/$ODD" --netns "/run/netns/$ODD" --name web
	same "" "$(< "$TMP/said")"
	prints "$ST" status web
	has "$(< "$TMP/said")" "^  cgroup     .*/n\\\\xff\\\\x1b\\[31mx\$"
	has "$(< "$TMP/said")" '^  netns      /run/netns/n\\xff\\x1b\[31mx, inode '
	prints "$ST" status --json
	same "b $CG/b web $CG/$SHOWN" "$(jq -r 'sort_by(.name) | map("\(.name) \(.cgroup)") | join(" ")' "$TMP/said")"
	prints "$ST" check web
	has "$(< "$TMP/said")" '^ok +hooks: all 13 in effect$'
	prints "$ST" update web --ipv6=on
	same "" "$(< "$TMP/said")"
	same "/run/netns/$SHOWN" "$("$ST" status web --json | jq -r '.[0].netns')"
}

# A proxy of pod a that was started in the other cgroup
outside() {
	attach a
	# shellcheck disable=SC2016 # for the inner shell
	serve "$TMP/outside" "$BASH" -c 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"' - "$CG/$ODD" \
		nsenter --net=/run/netns/a -- setpriv --reuid 1337 --regid 1337 --clear-groups -- \
		"$STUB" proxy 'line:*:15001' 'line:*:15006'
	prints "$ST" status a
	has "$(< "$TMP/said")" 'was made in another cgroup, .*/n\\xff\\x1b\[31mx: it is not told'
	prints "$ST" status a --json
	has "$(jq -r '.[0].findings[] | select(.code == "outside-cgroup").text' "$TMP/said")" '/n\\xff\\x1b\[31mx: it is not told'
	stop "$SERVED"
}

# refused STATUS TEXT ARG...: one line of printable ASCII says why
refused() {
	one_line "$1" "$2" "$ST" "${@:3}"
}

messages() {
	local id
	refused 1 "attach: cgroup '$CG/$SHOWN.no': No such file or directory" \
		attach --cgroup "$CG/$ODD.no" --netns /run/netns/a
	refused 1 "attach: name '$SHOWN': only letters, digits, '.', '_' and '-' may be used" \
		attach --cgroup "$CG/$ODD" --netns /run/netns/a
	"$TEST_BIN/e2e_holder" "$CG/$ODD" exclusive
	id=$(bpftool -j cgroup show "$CG/$ODD" | jq '.[0].id')
	refused 1 "attach: hook 'cgroup/connect4': held exclusively by program $id (holder) on cgroup $CG/$SHOWN" \
		attach --cgroup "$CG/$ODD" --netns /run/netns/a --name web
	bpftool cgroup detach "$CG/$ODD" connect4 id "$id"
	refused 1 "run: cgroup '$CG/$SHOWN.no': No such file or directory" \
		run --cgroup-parent "$CG/$ODD.no" --proxy true -- true
	refused 2 "command '$SHOWN': unknown" "$ODD"
	prints pod_run a "$ST" istio-iptables --dry-run --cgroup "$CG/$ODD"
	has "$(< "$TMP/said")" '^  cgroup     /.*/n\\xff\\x1b\[31mx$'
	has "$(< "$TMP/said")" 'attach --cgroup .*/n\\xff\\x1b\[31mx. --netns'
}

# tried NAME CMD...: a check; what it leaves behind when it fails is cleared away
tried() {
	local dir
	check "$@"
	"$ST" detach --all
	for dir in a "$ODD"; do
		wait_for 5 cgroup_kill "$CG/$dir"
	done
}

pod_make a
pod_make b
mkdir "$CG/$ODD"
tried "processes" owners
tried "a pod's cgroup" cgroup
tried "another cgroup" outside
tried "messages" messages
finish
