#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Least privilege: every command works with the capabilities that its --help names and no others, refuses
# by name if one of them is missing, and holds no others while it works.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"

# needed VERB: its capabilities as --help has them, one a line; useful VERB: those it can do without
needed() {
	"$ST" "$1" --help | sed -n 's/^privileges: \([^;]*\).*/\1/p' | tr -d ' ' | tr , '\n' | grep CAP_
}

useful() {
	"$ST" "$1" --help | sed -n 's/^privileges: .*; if there are, //p' | tr -d ' ' | tr , '\n'
}

# only CAPS: words in front of a command that give root no other capabilities than these (in lines)
only() {
	local caps=-all cap
	for cap in $1; do
		caps+=,+${cap#CAP_}
	done
	echo setpriv --bounding-set "${caps,,}" --inh-caps=-all --
}

# whole_suites NAME...: suites in which no command has more than it and its like need together
whole_suites() {
	local dir name
	dir=$(mktemp -d)
	for name in attach update detach status; do
		needed $name
		useful $name
	done > "$dir/caps"
	printf '#!/bin/bash\nexec %s "%s" "$@"\n' "$(only "$(sort -u "$dir/caps")")" "$ST" > "$dir/least"
	chmod +x "$dir/least"
	for name; do
		if ST=$dir/least "$TESTS/e2e/$name.sh" > "$dir/log" 2>&1 && grep -q '^ok ' "$dir/log"; then
			ok "with just what they need: $name"
		else
			fail "with just what they need: $name" "$dir/log"
		fi
	done
	rm -rf "$dir"
}

# Before the private environment, as each of them makes its own
[[ -n ${ST_TEST_CG:-} ]] || whole_suites lifecycle drain
env_private "$@"

# with CAPS CMD...: runs CMD so
with() {
	local words
	read -ra words <<< "$(only "$1")"
	shift
	"${words[@]}" "$@"
}

# The verbs and nouns with arguments that make them do all they can
ATTACH_A=(attach --cgroup "$CG/a" --netns /run/netns/a --ipv6=on)
all_commands() {
	"$ST" --help | awk '/^  [a-z]/ { print $1 }'
}

# run VERB [CAPS]: runs a command of that verb on pod a, with these capabilities if they are given;
# istio-iptables and run in the pod's namespace, as in its container; trace until it is interrupted
run() {
	local verb=$1 wrap=() words=()
	[[ $verb != istio-iptables && $verb != run ]] || wrap=(nsenter --net=/run/netns/a --)
	[[ $verb != trace ]] || wrap=(timeout --preserve-status -s INT 2)
	[[ -z ${2+given} ]] || read -ra words <<< "$(only "$2")"
	case $verb in
	attach) set -- "${ATTACH_A[@]}" ;;
	update) set -- update a --ipv6=on -m TPROXY ;;
	detach) set -- detach a ;;
	agent) set -- agent --once ;;
	explain) set -- explain a out tcp 10.0.0.1:80 ;;
	run) set -- run --cgroup-parent "$CG/a" --proxy "$STUB proxy line:0.0.0.0:4001" -p 4001 -- true ;;
	import) set -- import "$TESTS/import/cidrs-1.12.rules" ;;
	istio-iptables) set -- istio-iptables --cgroup "$CG/a" -p 15001 -z 15006 -u 1337 -g 1337 -b '*' -i '*' ;;
	status | stats | check | trace) set -- "$verb" a ;;
	*) set -- "$verb" ;;
	esac
	"${wrap[@]}" "${words[@]}" "$ST" "$@"
}

# ready VERB: what the verb needs to find
ready() {
	case $1 in
	attach | probe | import | run) detach_if a ;;
	check)
		"$ST" "${ATTACH_A[@]}"
		[[ -e $TMP/a.proxy ]] || { proxy_start a && agent_start a; }
		;;
	istio-iptables) detach_if a; "$ST" detach --all ;;
	*) "$ST" "${ATTACH_A[@]}" ;;
	esac
}

# Who loads programs needs one more before Linux 6.2, where libbpf looks in all modules for a function of 6.2.
with_just_those() {
	local caps
	caps=$(needed "$1" || true) # or none
	[[ $1 != istio-iptables ]] || grep -qw bpf_rdonly_cast /proc/kallsyms || caps+=$'\nCAP_SYS_ADMIN'
	ready "$1"
	run "$1" "$caps"
}

each_is_needed() {
	local cap before status
	for cap in $(needed "$1"); do
		ready "$1"
		before=$("$TEST_BIN/e2e_state" "$CG/a" /run/netns/a | sort)
		status=0
		run "$1" "$(needed "$1" | grep -vx "$cap")" > "$TMP/stdout" 2> "$TMP/stderr" || status=$?
		same 1 "$status" "exit status without $cap"
		same "socktables: $1: capability '$cap': missing" "$(grep -v '^hint: ' "$TMP/stderr")"
		has "$(cat "$TMP/stderr")" "^hint: try with sudo; all that it needs is CAP_"
		same "$before" "$("$TEST_BIN/e2e_state" "$CG/a" /run/netns/a | sort)" "changed without $cap"
	done
}

# set_of FIELD FILE: the capabilities that a field of /proc/PID/status stands for, in order
set_of() {
	capsh --decode="$(awk -v field="$1:" '$1 == field { print $2 }' "$2")" | sed 's/.*=//' | tr 'a-z,' 'A-Z\n' | sort
}

# waiting: the process that waits for the lock
waiting() {
	awk '$2 == "->" && $3 == "FLOCK" { print $6; found = 1; exit } END { exit !found }' /proc/locks
}

# holds_no_others VERB: caught as it waits for its turn
holds_no_others() {
	local lock pid set all
	ready "$1"
	flock --no-fork /sys/fs/bpf sleep 60 &
	lock=$!
	wait_for 10 grep -q "FLOCK .* $lock " /proc/locks
	run "$1" > "$TMP/output" 2>&1 &
	pid=$!
	wait_for 10 waiting
	cp "/proc/$(waiting)/status" "$TMP/held"
	stop "$lock"
	wait "$pid"
	all=$({ needed "$1"; useful "$1"; } | sort)
	for set in CapPrm CapEff CapBnd; do
		same "$all" "$(set_of "$set" "$TMP/held")" "$set"
	done
	same "" "$(set_of CapInh "$TMP/held")$(set_of CapAmb "$TMP/held")" "capabilities to inherit"
	grep -q '^NoNewPrivs:.1$' "$TMP/held"
}

# row VERB: as the README's table should have it
row() {
	echo "| \`$1\` | $(needed "$1" | sed 's/CAP_//' | paste -sd ' ' | sed 's/ /, /g') |" \
		"$(useful "$1" | sed 's/CAP_//' | paste -sd ' ' | sed 's/ /, /g') |"
}

readme() {
	local verb
	for verb in $(all_commands); do
		has "$("$ST" "$verb" --help)" '^privileges: '
		grep -qxF "$(row "$verb")" "$TOP/README.md" || { echo "missing: $(row "$verb")" && return 1; }
	done
}

# What the nouns say without what is useful to them
status_without() {
	"$ST" "${ATTACH_A[@]}"
	has "$(with CAP_BPF "$ST" status a)" 'cgroup     unknown: needs CAP_DAC_READ_SEARCH$'
	has "$(with "$(printf 'CAP_BPF\nCAP_DAC_READ_SEARCH\n')" "$ST" status a)" "cgroup     $CG/a\$"
}

# By processes, whoever they belong to, a namespace is found with CAP_SYS_PTRACE only.
pid_of_another() {
	local status=0
	detach_if a
	serve "$TMP/a.app" pod_run_as a 1000 "$STUB" app line:0.0.0.0:8080
	with "$(needed attach)" "$ST" attach --pid "$SERVED" --name a 2> "$TMP/stderr" || status=$?
	same 1 "$status"
	has "$(cat "$TMP/stderr")" "^socktables: attach: netns '/proc/$SERVED/ns/net': Permission denied"
	with "$(needed attach; useful attach)" "$ST" attach --pid "$SERVED" --name a --ipv6=on
	umount /run/netns/a # from now on only its process leads to it
	one_line 1 "detach: network namespace of the pod: Permission denied" with "$(needed detach)" "$ST" detach a
	with "$(needed detach; useful detach)" "$ST" detach a --drain
	stop "$SERVED"
	same "" "$(pins | grep pods/a)"
}

pod_make a
pod_make b
attach b
for verb in $(all_commands); do
	check "$verb works with just what it needs" with_just_those "$verb"
	check "$verb refuses by name if anything of it is missing" each_is_needed "$verb"
done
for verb in attach update detach upgrade status stats explain check istio-iptables; do
	check "$verb gives up all else" holds_no_others "$verb"
done
check "status without what is useful to it" status_without
check "--pid of a process of another user" pid_of_another
check "README has the same table" readme

finish
