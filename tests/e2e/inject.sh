# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Commands whose system calls fail, or that are killed at one. Sourced after e2e.sh.
#
# A call that is made many times in a row is taken twice, the first and the last time, but for unlink():
# each takes a hook away. Being killed at a call that changes nothing is being killed at the next one that
# does. Not taken are close() and nanosleep(), whose errors mean nothing, and brk(): glibc's malloc() does
# not survive it (2.36: SIGSEGV).
# FAULT_STEP=N takes every Nth point only, for machines that are slow.

# shellcheck disable=SC2034 # for the suites
STEP=${FAULT_STEP:-1}
MISSED=0	# calls that were not made this time
POINT=		# where the verb was stopped, for messages

# points VERB ARG...: its calls from main() on, as "NAME N CHANGES": the Nth call of that name,
# counted from its start; CHANGES is 1 if it changes something
points() {
	strace -qq -o "$TMP/calls" "$ST" "$@" || return
	gawk -v step="$STEP" '
		{
			name = $1
			sub(/\(.*/, "", name)
			command = name
			if (name == "bpf")
				command = $1
			n[name]++
		}
		/^rt_sigaction\(SIGPIPE/ { started = 1 }	# the first thing that main() does
		!started || name ~ /^(close|clock_nanosleep|brk|exit_group|exit|\+\+\+)$/ { next }
		{ text[++all] = name " " n[name]; what[all] = command }
		$1 ~ /^bpf\(BPF_(MAP_CREATE|MAP_UPDATE_ELEM|MAP_DELETE_ELEM|OBJ_PIN|LINK_CREATE|LINK_UPDATE|PROG_LOAD)/ ||
		name ~ /^(mkdir|rmdir|unlink|rename|mount|sendto|pwrite64|bind)$/ { changes[all] = 1 }
		END {
			for (i = 1; i <= all; i++)
				if ((what[i] != what[i - 1] || what[i] != what[i + 1] || what[i] == "unlink") && ++seen % step == 0)
					print text[i], changes[i] + 0
		}' "$TMP/calls"
}

# inject FAULT NAME N VERB ARG...: runs the verb; FAULT (strace has the words) happens at that call
inject() {
	local fault=$1 name=$2 n=$3 status=0
	shift 3
	POINT=" ($1: $fault at $name call $n)"
	{
		strace -qq -o "$TMP/strace" -e "trace=$name" -e "inject=$name:$fault:when=$n" "$ST" "$@" \
			> "$TMP/output" 2>&1 || status=$?
	} 2> /dev/null # the shell's word on who was killed
	if ! grep -qE 'INJECTED|killed by SIGKILL' "$TMP/strace"; then
		MISSED=$((MISSED + 1))
		return 0
	fi
	return "$status"
}

# took_place POINTS: inside check: almost all happened; how often detach has to look for what the
# kernel has not freed yet varies
took_place() {
	local all
	all=$(wc -l <<< "$1")
	echo "$all calls, $MISSED not made this time"
	((MISSED * 10 <= all))
}
