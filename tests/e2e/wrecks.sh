#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Broken states: pins and map entries that somebody deleted. None of it may capture by half, and the
# next verb clears it away. No proxy runs here, so that captured traffic is refused.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# shape: all that there is of pod a, and of all pods together
shape() {
	local map
	pins | sort
	not six a || echo "a has ::6"
	echo "a has $(links a | wc -l) links"
	[[ ! -d $PINS ]] || for map in st_policy st_count st_class st_ids; do
		echo "$map has $(bpftool map dump pinned "$PINS/$map" | grep -c '"key":') entries"
	done
}

# start_anew [POD]: whatever the last check left is cleared away; POD is attached and SHAPE taken
start_anew() {
	"$ST" detach --all
	pins | xargs -r rm -rf
	six a && ip -n a address del ::6/128 dev lo
	[[ -z ${1:-} ]] || attach "$1"
	SHAPE=$(shape)
}

# as_before: inside check: pod a is not captured and nothing of it is there: see start_anew
as_before() {
	same "$DIRECT" "$(reach a)" "pod a is captured"
	diff <(echo "$SHAPE") <(shape) && return
	echo "this is left behind"
	return 1
}

# detached: inside check: whatever pod a is, detach ends it
detached() {
	has "$(status_of "$ST" detach a)" '^[03]$' || { cat "$TMP/output" && return 1; }
	[[ -n $SHARED ]] || "$ST" detach --all
	as_before
}

# attached: inside check: attach makes a whole pod of whatever pod a is
attached() {
	attach a
	same "$REFUSED" "$(reach a)" "pod a is not captured"
	has "$("$ST" status a)" '^a: attached$'
}

# beside NAME CMD...: a check with pod b attached, so that the datapath stays loaded
beside() {
	start_anew b
	SHARED=b check "$@"
}

# alone NAME CMD...: a check with no other pod
alone() {
	start_anew
	SHARED='' check "$@"
}

# --- what somebody deleted ------------------------------------------------------------------------

# wreck CMD...: CMD breaks the attached pod a; then detach works, and attach does
wreck() {
	attach a
	"$@"
	has "$(status_of "$ST" status a)" '^[013]$'
	detached
	attach a
	"$@"
	attached
	detached
}

# entry_delete MAP: deletes pod a's entry, by the netns cookie that is its key
entry_delete() {
	local cookie
	cookie=$("$ST" status a --json | jq '.[].netns_cookie')
	bpftool -j map dump pinned "$PINS/$1" | jq -r --argjson cookie "$cookie" \
		'.[] | select(.formatted.key == $cookie) | .key | join(" ")' > "$TMP/key"
	# shellcheck disable=SC2046 # eight bytes, eight words
	bpftool map delete pinned "$PINS/$1" key $(cat "$TMP/key")
}

# Nobody knows any more who added ::6.
policy_delete() {
	entry_delete st_policy
	ip -n a address del ::6/128 dev lo
}

each_link() {
	local hook
	for hook in st_connect4 st_sendmsg6 st_sockops st_sockopt st_inbound; do
		echo "# link $hook"
		wreck rm "$PINS/pods/a/$hook"
	done
}

# All pods lose their links; b's own detach and attach are what brings it back.
pods_directory() {
	attach a
	rm -r "$PINS/pods"
	same "$DIRECT" "$(reach a)"
	attached
	attach b
	detached
}

# shared PIN: this file of the datapath is deleted while pod a alone is attached
shared() {
	attach a
	rm "$PINS/$1"
	has "$(status_of "$ST" status a)" '^[013]$'
	"$ST" detach a
	same "$DIRECT" "$(reach a)" "pod a is captured"
	"$ST" detach --all
	nothing_left a
}

# Everything that is pinned is deleted; the links go with their pins, but who added ::6 is forgotten.
all_of_it() {
	attach a
	rm -r "$PINS"
	same "$DIRECT" "$(reach a)"
	same 3 "$(status_of "$ST" detach a)"
	"$ST" detach --all
	same "" "$(pins)"
	ip -n a address del ::6/128 dev lo
	attached
	"$ST" detach a
	nothing_left a
}

# --- what killed updates left -------------------------------------------------------------------------

# le N: a 32-bit number as bpftool wants its bytes (of a machine that puts the low one first)
le() {
	printf '0x%02x 0x%02x 0x%02x 0x%02x ' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}

# leftover: an outbound port that is excluded, by a policy of pod a that never came into force
leftover() {
	local cookie id
	cookie=$("$ST" status a --json | jq '.[].netns_cookie')
	id=$(bpftool -j map dump pinned "$PINS/st_policy" |
		jq --argjson cookie "$cookie" '.[].formatted | select(.key == $cookie) | .value.id')
	# shellcheck disable=SC2046 # words
	bpftool map update pinned "$PINS/st_ids" key $(le $((id ^ 1))) $(le 1) $(le 4711) value $(le 1)
}

# why PORT: the reason of the verdict on a connection to that port
why() {
	"$ST" explain a out tcp "10.9.9.9:$1" --uid 1000 --json | jq -r .reason
}

killed_update() {
	attach a
	leftover
	"$ST" update a --ipv6=on -o 4712
	same "out-captured out-port-excluded" "$(why 4711) $(why 4712)" "the next update has it"
	"$ST" update a --ipv6=on
	leftover
	detached
}

pod_make a
pod_make b
outside_start a
app_start a
alone "deleted: everything" all_of_it
alone "deleted: a map of the datapath" shared st_handshake
alone "deleted: the number of the layout" shared st_version
alone "deleted: a program" shared st_connect4
alone "deleted: the listener scan" shared st_scan
beside "deleted: a link" each_link
beside "deleted: the directory of the pod's links" wreck rm -r "$PINS/pods/a"
beside "deleted: the directory of all pods" pods_directory
beside "deleted: the pod's policy" wreck policy_delete
beside "deleted: the pod's counters" wreck entry_delete st_count
beside "an update that was killed: its lists are not the next one's, and detach clears them away" killed_update

# In a bpffs to which others may write, a link may be where we clear away what a killed command left.
link_away() {
	mkdir -p "$TMP/precious/sub" && touch "$TMP/precious/file" "$TMP/precious/sub/file"
	ln -s "$TMP/precious" /sys/fs/bpf/+socktables
	one_line 1 "attach: directory '/sys/fs/bpf/+socktables': Not a directory" attach linked
	same "file sub sub/file" "$(find "$TMP/precious" -mindepth 1 -printf '%P\n' | sort | paste -sd ' ')"
	rm /sys/fs/bpf/+socktables
	attach linked
	"$ST" detach linked
}

# --- a bpffs to which others may write, as mount(8) makes it ------------------------------------------

NOBODY=(setpriv --reuid 65534 --regid 65534 --clear-groups)

LOCK=/sys/fs/bpf/+socktables-lock

# flocked PATH [RUN...]: holds a lock on PATH; its pid is in $HOLDER
flocked() {
	local path=$1
	shift
	"$@" flock --no-fork "$path" sleep 60 &
	HOLDER=$!
	wait_for 10 grep -q "FLOCK .* $HOLDER " /proc/locks
}

# Nobody else can keep us waiting, and what does is of root alone and does not stay.
lock_of_others() {
	chmod 1777 /sys/fs/bpf
	flocked /sys/fs/bpf "${NOBODY[@]}"
	timeout 20 "$ST" attach --cgroup "$CG/linked" --netns /run/netns/linked --name linked
	timeout 20 "$ST" status linked > "$TMP/said"
	same "" "$(pins | grep -v "^$PINS")" "beside the pins"
	stop "$HOLDER"
	mkdir -m 700 "$LOCK" # of one that was killed
	flocked "$LOCK"
	not "${NOBODY[@]}" flock -n "$LOCK" true
	same 124 "$(status_of timeout 1 "$ST" status linked)"
	stop "$HOLDER"
	timeout 20 "$ST" detach linked
	same "" "$(pins)"
	chmod 700 /sys/fs/bpf
}

# Commands take turns there, too.
turns() {
	local i n pids=() pid
	chmod 1777 /sys/fs/bpf
	for i in linked a b; do
		for ((n = 0; n < 5; n++)); do
			"$ST" attach --cgroup "$CG/$i" --netns "/run/netns/$i" --name "$i" --ipv6=on
			"$ST" update "$i" --ipv6=on
			"$ST" detach "$i"
		done > "$TMP/turns.$i" 2>&1 &
		pids+=($!)
	done
	for ((n = 0; n < 20; n++)); do
		"$ST" stats > /dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	same "" "$(cat "$TMP"/turns.*)"
	same "" "$(pins)"
	chmod 700 /sys/fs/bpf
}

# refuses PATH WHY: every command does that uses it, and it stays
refuses() {
	local verb
	for verb in "attach --cgroup $CG/linked --netns /run/netns/linked" status 'detach --all'; do
		# shellcheck disable=SC2086 # words
		one_line 1 "${verb%% *}: directory '$1': $2" "$ST" $verb
	done
	test -e "$1"
}

# Names that others have taken
names_of_others() {
	local name by='uid 65534, mode 0755: not of root alone'
	chmod 1777 /sys/fs/bpf
	for name in socktables +socktables-lock; do
		"${NOBODY[@]}" mkdir -p -m 755 "/sys/fs/bpf/$name/pods"
		refuses "/sys/fs/bpf/$name" "$by"
		has "$(< "$TMP/stderr")" "^hint: .*chmod 700 /sys/fs/bpf"
		rm -r "/sys/fs/bpf/$name"
		"${NOBODY[@]}" ln -s "$TMP" "/sys/fs/bpf/$name"
		refuses "/sys/fs/bpf/$name" 'Not a directory'
		rm "/sys/fs/bpf/$name"
	done
	"${NOBODY[@]}" mkdir -p -m 755 /sys/fs/bpf/+socktables/sub
	one_line 1 "attach: directory '/sys/fs/bpf/+socktables': $by" attach linked
	test -d /sys/fs/bpf/+socktables/sub
	rm -r /sys/fs/bpf/+socktables
	chmod 700 /sys/fs/bpf
}

# Where others may move away what is root's, nothing is safe.
others_may_move() {
	local mode
	for mode in 777 770; do
		chmod "$mode" /sys/fs/bpf
		refuses /sys/fs/bpf "uid 0, mode 0$mode: others may take away what is in it"
		has "$(< "$TMP/stderr")" "^hint: 'chmod 700 /sys/fs/bpf'$"
	done
	chown 65534 /sys/fs/bpf
	chmod 1777 /sys/fs/bpf
	refuses /sys/fs/bpf 'uid 65534, mode 1777: others may take away what is in it'
	chown 0 /sys/fs/bpf
	chmod 755 /sys/fs/bpf
	attach linked
	"$ST" detach linked
	chmod 700 /sys/fs/bpf
}

start_anew
pod_make linked
check "others may write to bpffs: a lock of theirs keeps nobody waiting" lock_of_others
check "commands take turns there, too" turns
check "what others have put there is refused, and left" names_of_others
check "so is a bpffs in which they may take away what is ours" others_may_move
check "a link where pins are cleared away leads nowhere" link_away
finish
