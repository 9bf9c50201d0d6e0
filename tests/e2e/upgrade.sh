#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Another build takes over attached pods: $NEXT has other instructions in every program, $LAYOUT
# says that its maps have another layout. What runs, what lives on, what is refused, what a kill leaves.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/inject.sh
. "$(dirname "$0")/inject.sh"
env_private "$@"

THIS=$ST NEXT=$TEST_BIN/next/socktables LAYOUT=$TEST_BIN/layout/socktables

# name PROGRAM: what this suite calls a build
name() {
	if [[ $1 == "$NEXT" ]]; then echo next; else echo this; fi
}

# other: makes $ST the build whose programs do not run
other() {
	if [[ $("$ST" status a --json | jq -r '.[0].build') == "$(cat "$TMP/id.next")" ]]; then
		ST=$THIS
	else
		ST=$NEXT
	fi
}

# --- what runs, and what is there -------------------------------------------------------------------

# programs: "PIN ID NAME TAG" of every program that is pinned or linked
programs() {
	bpftool -j prog show | jq -r '.[] | "\(.id) \(.name) \(.tag)"' > "$TMP/loaded"
	{
		pinned prog | jq -r '"\(.pin) \(.id)"'
		pinned link | jq -r '"\(.pin) \(.prog_id)"'
	} | awk 'NR == FNR { what[$1] = $2 " " $3; next } { print $0, what[$2] }' "$TMP/loaded" - | sort
}

# runs PROGRAM: inside check: all programs are those that a fresh attach by PROGRAM had; the hooks of
# all cgroups run the pinned ones, not others that are like them
runs() {
	programs | grep -v '^pods/[^ab]/' > "$TMP/programs"	# not those of stale pods
	same "$(cat "$TMP/fresh.$(name "$1")")" "$(grep -v '^pods/b/' "$TMP/programs" |
		cut -d ' ' -f 1,3,4)" "programs$POINT"
	same "" "$(awk '{ pin = $1; sub(".*/", "", pin) }
		pin == $1 { id[pin] = $2 }
		pin != $1 && pin != "st_inbound" && id[pin] != $2' \
		<(grep -v ^pods "$TMP/programs") "$TMP/programs")" "linked, but not pinned$POINT"
	same "$(cat "$TMP/id.$(name "$1")")" "$("$1" status a --json | jq -r '.[0].build')" "build$POINT"
	same "" "$(find /sys/fs/bpf -maxdepth 1 -name '+*')" "pins of the upgrade$POINT"
}

# ids KIND: of all maps or links, with their pins
ids() {
	pinned "$1" | jq -r '"\(.pin) \(.id)"' | sort
}

# everything: all objects, all that is in the maps, and what is in pod a's namespace
everything() {
	local map
	pins | sort
	ids map
	ids link
	programs
	for map in st_version st_policy st_class st_ids st_count st_handshake; do
		bpftool map dump pinned "$PINS/$map"
	done
	ip -n a address
}

# unchanged CMD...: inside check: CMD succeeds, and everything is as it was
unchanged() {
	everything > "$TMP/before"
	"$@"
	diff "$TMP/before" <(everything)
}

fresh() {
	attach a
	programs | cut -d ' ' -f 1,3,4 > "$TMP/fresh.$(name "$ST")"
	"$ST" status a --json | jq -r '.[0].build' > "$TMP/id.$(name "$ST")"
	"$ST" detach --all
}

two_builds() {
	fresh
	ST=$NEXT fresh
	same 27 "$(wc -l < "$TMP/fresh.next")" "programs of one pod and of all"
	same "pods/a/st_inbound st_enter" "$(comm -12 "$TMP"/fresh.* | cut -d ' ' -f 1,2)" \
		"programs that are the same in both builds"
}

pod_make a
pod_make b
outside_start a
app_start a
proxy_start a
agent_start a
check "there are two builds whose programs all differ, but for the one that jumps to others" two_builds
# --- upgrade ----------------------------------------------------------------------------------------

again() {
	unchanged "$ST" upgrade > "$TMP/said"
	has "$(cat "$TMP/said")" '^the programs are build [0-9a-f]{16} already: nothing to do$'
}

nothing_attached() {
	same "3 " "$(status_of "$ST" upgrade) $(cat "$TMP/output")" "nothing is attached"
	one_line 2 "upgrade: argument 'web': not expected" "$ST" upgrade web
}

in_place() {
	local pins maps links old counters
	pins=$(pins | sort) maps=$(ids map) links=$(ids link)
	old=$(programs | awk '$3 != "st_enter" { print "prog", $2 }' | sort -u)
	counters=$("$ST" stats --json)
	"$NEXT" upgrade > "$TMP/said"
	wait_for 10 all_gone "$old"
	same "a: upgraded b: upgraded the" "$(sort "$TMP/said" | cut -d ' ' -f 1,2 | paste -sd ' ' | cut -d ' ' -f 1-5)"
	same "$links" "$(ids link)" "links"
	same "$maps" "$(ids map)" "maps"
	same "$pins" "$(pins | sort)" "pins"
	same "$counters" "$("$NEXT" stats --json)" "counters"
	runs "$NEXT"
	same "$CAPTURED" "$(reach a)"
	same "$(($(jq '.[] | select(.name == "a") | .ipv4["out-captured"]' <<< "$counters") + 1))" \
		"$("$NEXT" stats a --json | jq '.[0].ipv4["out-captured"]')" "connections captured"
}

check "nothing is attached: status 3" nothing_attached
attach a
attach b
check "what runs already is not upgraded" again
reached() {
	same "$CAPTURED" "$(reach a)"
}
check "the pod is captured" reached
keep out4 dial a -k "$SVC4:80"
keep out6 dial a -k "[$SVC6]:80"
keep in4 out_run a "$DIAL" -k "$POD4:8080"

# asked NAME LINE: what comes back on that connection for the line
asked() {
	local before
	before=$(wc -l < "$TMP/$1.out")
	echo "$2" > "$TMP/$1.in"
	wait_for 10 awk -v n="$before" 'END { exit !(NR > n) }' "$TMP/$1.out"
	tail -n 1 "$TMP/$1.out"
}

# The proxy asks for the original destination anew each time.
live() {
	has "$(asked out4 names)" "^peer=$SVC4:80 name=$POD4:[0-9]+ \$"
	has "$(asked out4 again)" "^proxy copy=1 peer=$POD4:[0-9]+ .* od=$SVC4:80\$"
	has "$(asked out6 names)" "^peer=\[$SVC6\]:80 name=\[$POD6\]:[0-9]+ \$"
	has "$(asked out6 again)" "^proxy copy=1 peer=\[$POD6\]:[0-9]+ .* od=\[$SVC6\]:80\$"
	has "$(asked in4 names)" "^peer=$POD4:8080 name=$OUT4:[0-9]+ \$"
	has "$(asked in4 again)" "^proxy copy=1 peer=$OUT4:[0-9]+ .* od=$POD4:8080\$"
}

check "every program is exchanged in place; links, maps, pins and counters stay" in_place
check "live connections keep their original destination and names" live

# --- under load -------------------------------------------------------------------------------------

# load NAME LINE COUNT RUN...: COUNT connections in the background, each of which should say LINE
load() {
	local name=$1 line=$2 count=$3
	shift 3
	echo "$line" > "$TMP/load/$name.line"
	"$@" -n "$count" > "$TMP/load/$name.out" 2>&1 &
	LOADS+=($!)
}

any_alive() {
	local pid
	for pid; do
		[[ ! -d /proc/$pid ]] || return 0
	done
	return 1
}

# judge: of all lines, how many are as they should be, show who was not captured, or anything else
judge() {
	local name
	for name in "$TMP"/load/*.line; do
		awk -v line="$(cat "$name")" '
			$0 ~ line { good++; next }
			/ (outside|app) copy=|a=10\.0\.0\.53$/ { bypassed++; print > "/dev/stderr"; next }
			{ failed++; print > "/dev/stderr" }
			END { print good + 0, failed + 0, bypassed + 0 }' "${name%.line}.out"
	done 2> "$TMP/load/bad" | awk '
		{ good += $1; failed += $2; bypassed += $3 }
		END { print good, "as they should be,", failed, "failed,", bypassed, "bypassed" }'
}

under_load() {
	local n=0 port='[0-9]+' LOADS=()
	mkdir "$TMP/load"
	load out4 "^peer=$SVC4:80 name=$POD4:$port proxy copy=1 peer=$POD4:$port .* od=$SVC4:80\$" 35000 \
		dial a "$SVC4:80"
	load out6 "^peer=.$SVC6.:80 name=.$POD6.:$port proxy copy=1 peer=.$POD6.:$port .* od=.$SVC6.:80\$" 15000 \
		dial a "[$SVC6]:80"
	load in4 "^peer=$POD4:8080 .* proxy copy=1 peer=$OUT4:$port local=$POD4:8080 od=$POD4:8080\$" 20000 \
		out_run a "$DIAL" "$POD4:8080"
	load in6 "^peer=.$POD6.:8080 .* proxy copy=1 peer=.$OUT6.:$port local=.$POD6.:8080 od=.$POD6.:8080\$" 10000 \
		out_run a "$DIAL" "[$POD6]:8080"
	load dns4 "^peer=$SVC4:53 a=10.0.0.15\$" 10000 dial a "dns:$SVC4:53"
	load dns6 "^peer=.$SVC6.:53 a=10.0.0.15\$" 10000 dial a "sendto:[$SVC6]:53"
	while any_alive "${LOADS[@]}"; do
		other
		"$ST" upgrade > /dev/null
		n=$((n + 1))
	done
	echo "$(judge), during $n upgrades" > "$TMP/load/verdict"
	head -n 5 "$TMP/load/bad"
	has "$(cat "$TMP/load/verdict")" '^100000 as they should be, 0 failed, 0 bypassed, during [1-9][0-9]* upgrades$'
	runs "$ST"
}

check "100,000 connections while upgrades go back and forth" under_load
echo "# $(cat "$TMP/load/verdict")"

# --- two builds at once -----------------------------------------------------------------------------

# The programs that all pods share are what is pinned, whoever attaches.
attach_by_other() {
	other
	"$ST" detach b
	attach b
	same "$(programs | grep '^pods/a' | grep -v inbound | cut -d / -f 3)" \
		"$(programs | grep '^pods/b' | grep -v inbound | cut -d / -f 3)" "programs of both pods"
	has "$("$ST" status b)" "warning    the programs are build $("$ST" status b --json | jq -r '.[0].build'): "
	"$ST" upgrade
	runs "$ST"
	not grep -q warning.*programs <<< "$("$ST" status b)"
	other
	has "$("$ST" status b)" "warning    the programs are build $("$ST" status b --json | jq -r '.[0].build'): "
	same "$CAPTURED" "$(reach a)"
}

# byte MAP ENTRY OFFSET VALUE: changes one byte of the Nth entry's value
byte() {
	bpftool -j map dump pinned "$PINS/$1" | jq -r --argjson n "$2" --argjson at "$3" --arg byte "$4" \
		'.[$n] | .value[$at] = $byte | "key \(.key | join(" ")) value \(.value | join(" "))"' > "$TMP/entry"
	# shellcheck disable=SC2046 # words
	bpftool map update pinned "$PINS/$1" $(cat "$TMP/entry")
}

# The loaded programs do not know POLICY_V6, which is in the first byte of the flags they know.
programs_know_less() {
	byte st_version 0 4 0xfd
	unchanged one_line 1 "update: policy: the loaded programs, another build's, do not know all of it" \
		"$ST" update a --ipv6=on
	"$ST" update a --ipv6=off
	byte st_version 0 8 0x78	# "x...": they are another build's
	"$ST" upgrade
	"$ST" update a --ipv6=on
	same "$CAPTURED" "$(reach a)"
}

# The highest bit of a policy's flags is one that we do not know.
policy_is_newer() {
	other
	byte st_policy 0 7 0x80
	unchanged one_line 1 "upgrade: pod '$("$ST" status --json | jq -r '.[0].name')': its policy uses what$(
		) this build does not know" "$ST" upgrade
	"$ST" update a --ipv6=on
	"$ST" update b --ipv6=on
	"$ST" upgrade
	runs "$ST"
}

check "another build attaches a pod: the shared programs stay the pinned ones" attach_by_other
check "a policy that the loaded programs do not know all of is refused" programs_know_less
check "a policy of a newer build: upgrade to an older one is refused" policy_is_newer

# --- another layout ---------------------------------------------------------------------------------

# foreign VERB ARG...: $LAYOUT refuses this by name
foreign() {
	one_line 1 "$1: datapath '$PINS': has layout $(layout), of build $RUNNING; this is build $(
		)$(cat "$TMP/id.this"), for layout 99" "${FOREIGN[@]}" "$LAYOUT" "$@"
}

verbs_and_nouns() {
	local FOREIGN=() RUNNING
	RUNNING=$("$ST" status a --json | jq -r '.[0].build')
	foreign status
	foreign status a
	foreign stats
	foreign explain a out tcp 10.0.0.5:80
	foreign attach --cgroup "$CG/a" --netns /run/netns/a
	foreign attach --cgroup "$CG/c" --netns /run/netns/c
	foreign update a
	foreign detach a
	foreign detach --all
	foreign upgrade
	FOREIGN=(pod_run a)
	foreign istio-iptables
	foreign istio-iptables --cleanup-only
}

other_layout() {
	unchanged verbs_and_nouns
	same "$CAPTURED" "$(reach a)"
}

# Structs that differ while the number does not: of what a longer one would write behind ours.
other_sizes() {
	local verb
	mv "$PINS/st_policy" /sys/fs/bpf/st_policy
	bpftool map create "$PINS/st_policy" type hash key 8 value 8192 entries 4 name st_policy
	# shellcheck disable=SC2046 # words
	bpftool map update pinned "$PINS/st_policy" key 1 0 0 0 0 0 0 0 value $(yes 65 | head -n 8192)
	for verb in status stats 'update a' 'detach a' 'detach --all' upgrade "attach --cgroup $CG/a --netns /run/netns/a"; do
		# shellcheck disable=SC2086 # words
		one_line 1 "${verb%% *}: map 'st_policy': made by another version of socktables" "$ST" $verb
	done
	mv -f /sys/fs/bpf/st_policy "$PINS/st_policy"
	same "$CAPTURED" "$(reach a)"
}

pod_make c
check "another layout is refused by every verb and noun, and nothing changes" other_layout
check "so are maps of other sizes" other_sizes

# --- pods that are gone -----------------------------------------------------------------------------

is_stale() {
	"$ST" status "$1" | grep -q "^$1: stale$"
}

# Programs of links that hang on nothing cannot be exchanged: they go with their pins.
stale_pods() {
	local old
	pod_make d
	attach c
	attach d
	ip netns del c
	cgroup_remove "$CG/d"
	wait_for 10 is_stale c
	wait_for 10 is_stale d
	old=$(programs | awk '$3 != "st_enter" { print "prog", $2 }' | sort -u)
	other
	"$ST" upgrade > "$TMP/said"
	has "$(cat "$TMP/said")" "^a: upgraded\$"
	has "$(cat "$TMP/said")" "^b: upgraded\$"
	has "$(cat "$TMP/said")" "^c: left alone: its network namespace is gone\$"
	has "$(cat "$TMP/said")" "^d: left alone: its cgroup is gone\$"
	runs "$ST"
	"$ST" detach c
	"$ST" detach d
	wait_for 10 all_gone "$old"
	same "$CAPTURED" "$(reach a)"
}

check "pods that are gone do not keep the others from it" stale_pods

# --- half-way ---------------------------------------------------------------------------------------

# some EVERY CHANGES: each EVERYth of the points of an upgrade, or of those that change something
some() {
	other
	points upgrade | awk -v every="$1" -v changes="$2" '$3 >= changes && NR % every == 0 { print $1, $2 }'
}

# completes VERB: inside check: what was stopped half-way goes on capturing, and an upgrade completes it
completes() {
	same "$CAPTURED" "$(reach a)" "captured$POINT"
	"$ST" upgrade > "$TMP/said" || { cat "$TMP/said" && return 1; }
	runs "$ST"
}

upgrade_fails() {
	local name n status all abilities
	all=$(some 25 0)
	abilities=$(abilities)
	[[ -n $all ]] # where to stop it
	while read -r name n; do
		status=0
		other
		inject error=ENOMEM "$name" "$n" upgrade || status=$?
		if [[ $status != 0 ]]; then
			same 1 "$status" "exit status$POINT"
			has "$(head -n 1 "$TMP/output")" '^socktables: upgrade: .*: .'
		fi
		same "$abilities" "$(abilities)" "loaded in the way of poorer kernels$POINT"
		completes
	done <<< "$all"
	took_place "$all"
}

upgrade_killed() {
	local name n all
	all=$(some 11 1)
	[[ -n $all ]] # where to stop it
	while read -r name n; do
		other
		inject signal=KILL "$name" "$n" upgrade || true
		completes
	done <<< "$all"
	took_place "$all"
}

# The build that was running takes over again, and what is left aside goes with attach and detach.
and_back() {
	local running=$ST verb
	other
	for verb in upgrade detach attach; do
		other
		running=$([[ $ST == "$NEXT" ]] && echo "$THIS" || echo "$NEXT")
		not inject signal=KILL rename 5 upgrade
		has "$("$ST" status a)" "warning    the programs are of several builds"
		has "$(pins)" '^/sys/fs/bpf/\+socktables/'
		case $verb in
		detach) "$ST" detach b ;;
		attach) attach b ;;
		esac
		[[ $verb == upgrade ]] || not test -d /sys/fs/bpf/+socktables
		ST=$running
		"$ST" upgrade
		runs "$ST"
	done
	other
	not inject signal=KILL rename 5 upgrade
	"$ST" detach b
	"$ST" detach a
	nothing_left a
}

check "a call fails" upgrade_fails
check "killed at a call" upgrade_killed
check "half an upgrade: back, or detach, or attach" and_back
finish
