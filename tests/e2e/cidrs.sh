#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# 10,000 CIDRs to capture and 10,000 to leave alone: the pod's app connects to both ends of every
# one and to the addresses beside them, and each connection has to end where the lists say.
# SEED=N makes other lists.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

CIDRS=$TEST_BIN/e2e_cidrs
MAKE=$TEST_BIN/e2e_mkcidrs
SEED=${SEED:-1}
NARROW=(-i "@$TMP/narrow.i" -x "@$TMP/narrow.x")
WIDE=(-i "@$TMP/wide.i" -x "@$TMP/wide.x")

# all_right LISTS: every connection ends where these lists say, and enough of them in either way
all_right() {
	pod_run_as a 1000 "$CIDRS" dial /dev/fd/3 /dev/fd/4 3< "$TMP/$1.i" 4< "$TMP/$1.x" > "$TMP/dialled" || { cat "$TMP/dialled" && return 1; }
	same 2 "$(awk '/^IPv/ && $2 >= 5000 && $4 >= 5000' "$TMP/dialled" | wc -l)" \
		"families with 5,000 connections of each kind, of: $(cat "$TMP/dialled")"
}

# classes: all prefixes of all pods, one a line
classes() {
	bpftool -j map dump pinned "$PINS/st_class" | jq -c '.[].formatted.key' | sort
}

lists() {
	local list
	"$MAKE" "$SEED" narrow "$TMP/narrow.i" "$TMP/narrow.x"
	"$MAKE" "$((SEED + 1000000))" wide "$TMP/wide.i" "$TMP/wide.x"
	for list in narrow.i narrow.x wide.i wide.x; do
		same 10000 "$(sed 's/ *#.*//' "$TMP/$list" | grep -c .)" "CIDRs in $list"
	done
	# Of both families, nested, the longest and some that are very short
	same 2 "$(grep -oE '^[^ #/]*:.*/128|^[0-9.]+/32' "$TMP/narrow.i" | grep -oE '/[0-9]+$' | sort -u | wc -l)"
}

attach_many() {
	attach b
	classes > "$TMP/classes"
	attach a "${NARROW[@]}"
	(($(classes | wc -l) > 5000)) # those that change nothing within others are left out
	all_right narrow
}

update_many() {
	"$ST" update a --ipv6=on "${WIDE[@]}"
	all_right wide
	"$ST" update a --ipv6=on "${NARROW[@]}"
	all_right narrow
}

explain_same() {
	local where want nr=0
	while read -r where want; do
		has "$("$ST" explain a out tcp "$where" --uid 1000)" "^$want: " || { echo "for $where" && return 1; }
		nr=$((nr + 1))
	done < <(pod_run a "$CIDRS" ask 40 "$TMP/narrow.i" "$TMP/narrow.x")
	[[ $nr -ge 30 ]] || { echo "only $nr asked" && return 1; }
}

file_refused() {
	sed '5000s/.*/10.0.0.0\/33/' "$TMP/narrow.x" > "$TMP/broken"
	same 2 "$(status_of "$ST" update a --ipv6=on -i "@$TMP/narrow.i" -x "@$TMP/broken")"
	has "$(cat "$TMP/output")" "'10.0.0.0/33': the prefix length .* \(line 5000 of $TMP/broken\)\$"
	same 1 "$(status_of "$ST" update a --ipv6=on -i "@$TMP/none")"
	has "$(cat "$TMP/output")" "^socktables: update: -i/--istio-service-cidr '@$TMP/none': No such file"
	"$ST" update a --ipv6=on -i @<(cat "$TMP/narrow.i") -x @<(cat "$TMP/narrow.x")
	all_right narrow
}

none_left() {
	"$ST" detach a
	same "" "$(classes | comm -3 - "$TMP/classes")" "prefixes beside those of the pod that stays"
	"$ST" detach b
	nothing_left a
	nothing_left b
}

pod_make a
pod_make b
# Without a route what is not redirected fails at once. Own addresses stay.
ip -n a route flush table main
ip -n a -6 route flush table main
check "10,000 CIDRs to capture, 10,000 to leave alone, by seed $SEED" lists
check "attached: the first and last address of every CIDR, and those beside them" attach_many
check "updated to other lists, and back" update_many
check "explain says the same" explain_same
check "from a file or a pipe; an error names the line" file_refused
check "detach leaves no entry" none_left
finish
