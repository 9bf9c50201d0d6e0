#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Each system call of attach, update and detach fails once, and at each the command is killed once:
# that leaves the old state or the new one, captures by half in no case, and the next verb clears
# away what lies about. No proxy runs here, so that captured traffic is refused.
#
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/inject.sh
. "$(dirname "$0")/inject.sh"
env_private "$@"

ATTACH_A=(attach --cgroup "$CG/a" --netns /run/netns/a --ipv6=on)
UPDATE_A=(update a --ipv6=on -o 80 -x 10.9.0.0/16)
TPROXY_A=(update a --ipv6=on -m TPROXY)
DETACH_A=(detach a)

# state: all that there is of pod a, and of all pods together; lines of the same order each time
state() {
	{
		"$TEST_BIN/e2e_state" "$CG/a" /run/netns/a
		printf '%s\n' rule "route show table 133" "address show dev lo" > "$TMP/batch"
		ip -n a -4 -force -batch "$TMP/batch"
		ip -n a -6 -force -batch "$TMP/batch"
	} 2> /dev/null | sort
}

# took STATE WHAT: inside check: that is the state now
took() {
	diff <(echo "$1") <(state) && return
	echo "$2$POINT"
	return 1
}

# told VERB: inside check: it said why it failed, as a person wants to read it
told() {
	has "$(head -n 1 "$TMP/output")" "^socktables: $1: [^:]+.*: [^ ]" || { echo "$POINT" && return 1; }
	has "$(wc -l < "$TMP/output")" '^[12]$'
}

# whole SEEN...: inside check: one of these is what reaches whom
whole() {
	local seen one
	seen=$(reach a)
	for one; do
		[[ $seen != "$one" ]] || return 0
	done
	same "$*" "$seen" "captured by half$POINT"
}

# begin BACK...: inside check: brings about state OLD, by "again", from whatever state this is
begin() {
	BACK=("$@")
	"$ST" detach a 2> /dev/null || true
	[[ $OLD == "$DETACHED" || $OLD == "$NOTHING" ]] || "$ST" "${ATTACH_A[@]}"
	again
}

again() {
	"${BACK[@]}"
	took "$OLD" "the way back"
}

# anew: detach and attach, as an update leaves what live connections of a transparent proxy need
anew() {
	"$ST" detach a
	"$ST" "${ATTACH_A[@]}"
}

# --- fails: done or undone, and told ---------------------------------------------------------------

# fails VERB ARG...: each call of the verb fails, which starts from state OLD and makes state NEW
fails() {
	local name n status points
	points=$(points "$@")
	[[ -n $points ]]
	again
	while read -r name n _; do
		status=0
		inject error=ENOMEM "$name" "$n" "$@" || status=$?
		if [[ $status == 0 ]]; then
			took "$NEW" "it said that it was done"
			again
			continue
		fi
		same 1 "$status" "exit status$POINT"
		told "$1"
		if grep -q 'the new policy is in force' "$TMP/output"; then
			"$ST" "$@"
			took "$NEW" "the next update does not clear it away"
			again
		else
			took "$OLD" "it failed, and this is left"
		fi
	done <<< "$points"
	took_place "$points"
}

attach_fails() {
	OLD=$DETACHED NEW=$ATTACHED
	begin detach_if a
	fails "${ATTACH_A[@]}"
	"$ST" "${ATTACH_A[@]}"
	whole "$REFUSED"
}

attach_again_fails() {
	OLD=$ATTACHED NEW=$ATTACHED
	begin true
	fails "${ATTACH_A[@]}"
	whole "$REFUSED"
}

update_fails() {
	OLD=$ATTACHED
	begin anew
	"$ST" "$@"
	NEW=$(state)
	again
	fails "$@"
}

# What has begun to go is not brought back: it captures nothing, and the next detach ends it.
detach_fails() {
	local name n status points
	OLD=$ATTACHED
	begin true
	points=$(points "${DETACH_A[@]}")
	[[ -n $points ]]
	while read -r name n _; do
		"$ST" "${ATTACH_A[@]}"
		status=0
		inject error=ENOMEM "$name" "$n" "${DETACH_A[@]}" || status=$?
		if [[ $status != 0 ]]; then
			same 1 "$status" "exit status$POINT"
			told detach
			whole "$DIRECT" "$REFUSED"
			detach_if a
		fi
		took "$DETACHED" "after detach"
	done <<< "$points"
	took_place "$points"
}

# --- killed: the next verb clears it away ----------------------------------------------------------

# killed VERB ARG...: at each call that changes something; begins with state OLD. The traffic is that of
# one of SEEN; then attach makes a whole pod of it, every other time; detach ends it in any case.
killed() {
	local name n points i=0
	points=$(points "$@" | grep ' 1$')
	[[ -n $points ]]
	again
	while read -r name n _; do
		inject signal=KILL "$name" "$n" "$@" || true
		whole "${SEEN[@]}"
		if ((++i % 2)); then
			"$ST" "${ATTACH_A[@]}"
			whole "$REFUSED"
			has "$("$ST" status a)" '^a: attached$'
		fi
		has "$(status_of "$ST" "${DETACH_A[@]}")" '^[03]$'
		took "$DETACHED" "detach does not clear it away"
		again
	done <<< "$points"
	took_place "$points"
}

attach_killed() {
	OLD=$DETACHED SEEN=("$DIRECT" "$REFUSED")
	begin detach_if a
	killed "${ATTACH_A[@]}"
}

# attached_killed VERB ARG...: the same of an attached pod
attached_killed() {
	OLD=$ATTACHED
	begin reattach
	killed "$@"
}

reattach() {
	detach_if a
	"$ST" "${ATTACH_A[@]}"
}

update_killed() {
	SEEN=("$REFUSED" "outside outside ${REFUSED#* * }")
	attached_killed "${UPDATE_A[@]}"
}

# --- what was there before --------------------------------------------------------------------------

# What is not ours stays, wherever attach is killed or fails.
six_was_there() {
	local name n points
	detach_if a
	ip -n a address add ::6/128 dev lo nodad
	points=$(points "${ATTACH_A[@]}" | sed -nE 's/^((sendto|bpf|mkdir) .*) 1$/\1/p')
	detach_if a
	while read -r name n; do
		inject signal=KILL "$name" "$n" "${ATTACH_A[@]}" || true
		"$ST" detach a || true
		six a || { echo "::6 is gone$POINT" && return 1; }
		inject error=EIO "$name" "$n" "${ATTACH_A[@]}" || true
		six a || { echo "::6 is gone$POINT" && return 1; }
		"$ST" detach a || true
	done <<< "$points"
	ip -n a address del ::6/128 dev lo
	took_place "$points"
}

# --- the datapath itself ---------------------------------------------------------------------------

# first_killed VERB ARG...: with no other pod, so that the datapath is loaded, aside, or removed; at all of
# EACH, and every twentieth other call that changes something
first_killed() {
	local name n points
	points=$(points "$@" | awk -v each="$EACH" '$3 && ($1 ~ each || ++n % 20 == 0)')
	[[ -n $points ]]
	again
	while read -r name n _; do
		inject signal=KILL "$name" "$n" "$@" || true
		whole "$DIRECT" "$REFUSED"
		"$ST" "${ATTACH_A[@]}" # as it is, without any detach before
		whole "$REFUSED"
		"$ST" "${DETACH_A[@]}"
		took "$NOTHING" "detach does not clear it away"
		again
	done <<< "$points"
	took_place "$points"
}

first_attach_killed() {
	OLD=$NOTHING EACH='^(mkdir|rename)$'
	begin "$ST" detach --all
	first_killed "${ATTACH_A[@]}"
}

last_detach_killed() {
	OLD=$ALONE EACH='^(rename|rmdir)$'
	begin "$ST" "${ATTACH_A[@]}"
	first_killed "${DETACH_A[@]}"
}

first_attach_fails() {
	OLD=$NOTHING NEW=$ALONE STEP=$((STEP * 20))
	begin "$ST" detach --all
	fails "${ATTACH_A[@]}"
}

# loaded: the pinned maps and whether they have types, the programs, and what these may ask of the kernel
loaded() {
	pinned map | jq -r '"\(.pin) \(has("btf_id"))"' | sort
	pinned prog | jq -r '"\(.pin) \(.name)"' | sort
	abilities
}

# A map or its types that cannot be had, be it for a moment: nothing is loaded in the way of poorer kernels,
# and it is said which. libbpf tries types once more by itself.
first_attach_no_memory() {
	local n calls whole
	"$ST" detach --all
	calls=$(strace -qq -e trace=bpf "$ST" "${ATTACH_A[@]}" 2>&1 | grep '^bpf(' |
		awk '/BPF_BTF_LOAD.*btf_size=[0-9]{5}/ { print NR ".." NR + 1 } /BPF_MAP_CREATE/ { print NR }')
	whole=$(loaded)
	not grep -q 'no types' <<< "$whole"
	for n in $calls; do
		"$ST" detach a || true
		if inject error=ENOMEM bpf "$n" "${ATTACH_A[@]}"; then
			same "$whole" "$(loaded)" "what is loaded$POINT"
		else
			told attach
			took "$NOTHING" "it failed, and this is left"
		fi
	done
	took_place "$calls"
}

pod_make a
pod_make b
outside_start a
app_start a
DETACHED='' NOTHING=$(state)
"$ST" "${ATTACH_A[@]}"
ALONE=$(state)
check "first attach: killed" first_attach_killed
check "first attach: a call fails" first_attach_fails
check "first attach: a map cannot be had" first_attach_no_memory
check "last detach: killed" last_detach_killed
"$ST" detach --all
attach b
DETACHED=$(state)
"$ST" "${ATTACH_A[@]}"
ATTACHED=$(state)
check "attach: a call fails" attach_fails
check "attach once more: a call fails" attach_again_fails
check "update: a call fails" update_fails "${UPDATE_A[@]}"
check "update to TPROXY: a call fails" update_fails "${TPROXY_A[@]}"
check "detach: a call fails" detach_fails
check "attach: killed" attach_killed
SEEN=("$REFUSED")
check "attach once more: killed" attached_killed "${ATTACH_A[@]}"
check "update: killed" update_killed
check "update to TPROXY: killed" attached_killed "${TPROXY_A[@]}"
SEEN=("$DIRECT" "$REFUSED")
check "detach: killed" attached_killed "${DETACH_A[@]}"
check "attach: killed or failed where ::6 was there before" six_was_there
finish
