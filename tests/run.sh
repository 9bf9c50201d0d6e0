#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the tests: tests/run.sh [SUITE...], a suite by its path or by its name without directory and
# .sh; default: all. Each runs in its own private environment and prints results as lib.sh does, or
# TAP (cmocka programs); here they become one PASS, FAIL or SKIP line each, with what they print
# behind "# ", and at the very end the line "N passed, N failed, N skipped".
# With CI=true a test may be skipped only for what the kernel lacks. Of several suites JOBS run at once, by
# default one for each CPU; each is printed when it has ended.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
TEST_BIN=${TEST_BIN:-$(dirname "$HERE")/build/tests}
LIMIT=${SUITE_SECONDS:-900}	# a suite that takes longer hangs
JOBS=${JOBS:-$(nproc)}
declare -A RUNNING=()	# pid of a job: file with what it prints
export CMOCKA_MESSAGE_OUTPUT=TAP

# count_anew: no results yet; every job counts its own
count_anew() {
	PASSED=0 FAILED=0 SKIPPED=0
}
count_anew

stop() {
	trap - INT TERM HUP
	# shellcheck disable=SC2086 # pids
	[[ -z ${SUITE_PID:-}${!RUNNING[*]} ]] ||
		{ kill -TERM ${SUITE_PID:-} "${!RUNNING[@]}" && wait; } 2>/dev/null
	[[ -z ${OUTPUTS:-} ]] || rm -rf "$OUTPUTS"
	exit "$1"
}
catch() {
	trap 'stop 129' HUP
	trap 'stop 130' INT
	trap 'stop 143' TERM
}
catch

# all_suites: every suite there is: the one that takes longest, then the quick ones first
all_suites() {
	local file
	for file in "$HERE"/vm/kernels.sh "$TEST_BIN"/unit_* "$HERE"/fuzz/*.sh "$HERE"/e2e/*.sh \
		"$HERE"/pack/*.sh "$HERE"/diff/{diff,policies,random}.sh; do
		[[ -f $file && -x $file ]] && echo "$file"
	done
}

# suites_named NAME: the suites of that name or path; fails if there is none. Some run only by their path.
suites_named() {
	local file name found=1 # without a process for each, which emulated kernels are slow at
	[[ $1 != */* || ! -f $1 || ! -x $1 ]] || { echo "$1" && return; }
	while read -r file; do
		name=${file##*/}
		[[ $file -ef $1 || ${name%.sh} == "$1" || $name == "unit_$1" ]] || continue
		echo "$file"
		found=0
	done < <(all_suites)
	return "$found"
}

# report KIND SUITE: TEST: one line, with the seconds since the last one
report() {
	local now=${EPOCHREALTIME/[.,]/}
	printf '%s %s (%d.%02d s)\n' "$1" "$2" $(((now - LAST) / 1000000)) $(((now - LAST) / 10000 % 100))
	LAST=$now
}

# result SUITE LINE: counts and prints one result; fails if the line is none
result() {
	local suite=$1 line=$2
	# cmocka 1.1.5 says "not ok" for a skipped test
	if [[ $line =~ ^(not\ )?ok\ [0-9]+\ \#\ SKIP\ (.*) || $line =~ ^(skip)\ (.*) ]]; then
		if [[ ${CI:-} == true && ${BASH_REMATCH[2]} != *'# kernel: '* ]]; then
			FAILED=$((FAILED + 1))
			report FAIL "$suite: ${BASH_REMATCH[2]} (may not be skipped)"
		else
			SKIPPED=$((SKIPPED + 1))
			report SKIP "$suite: ${BASH_REMATCH[2]}"
		fi
	elif [[ $line =~ ^ok\ ([0-9]+ - )?(.*) ]]; then
		PASSED=$((PASSED + 1))
		report PASS "$suite: ${BASH_REMATCH[2]}"
	elif [[ $line =~ ^not\ ok\ ([0-9]+ - )?(.*) ]]; then
		FAILED=$((FAILED + 1))
		report FAIL "$suite: ${BASH_REMATCH[2]}"
	else
		return 1
	fi
}

# run_suite FILE: runs it and turns what it prints into results
run_suite() {
	local file=$1 suite line command out other='' status before=$((PASSED + FAILED + SKIPPED)) failed=$FAILED
	suite=$(basename "$file" .sh)
	command=("$file")
	[[ $file == *.sh ]] || command=("$HERE/private.sh" "$file")
	LAST=${EPOCHREALTIME/[.,]/}
	exec {out}< <(exec timeout --kill-after=20 "$LIMIT" "${command[@]}" 2>&1 < /dev/null)
	SUITE_PID=$!
	while IFS= read -r line <&"$out"; do
		result "$suite" "$line" && continue
		if [[ $line == '#'* ]]; then echo "    $line"; else other+="    $line"$'\n'; fi
	done
	exec {out}<&-
	wait "$SUITE_PID"
	status=$?
	SUITE_PID=''
	((status == 0 && PASSED + FAILED + SKIPPED > before)) && return
	((status > 0 && status < 124 && FAILED > failed)) && return
	FAILED=$((FAILED + 1))
	case $status in
	0) report FAIL "$suite: printed no result" ;;
	124) report FAIL "$suite: still running after $LIMIT s" ;;
	*) report FAIL "$suite: exit status $status" ;;
	esac
	printf '%s' "$other"
}

SUITES=()
if (($#)); then
	for name in "$@"; do
		named=$(suites_named "$name") || { echo "$0: no such suite: $name" >&2 && exit 2; }
		mapfile -t -O ${#SUITES[@]} SUITES <<< "$named"
	done
else
	mapfile -t SUITES < <(all_suites)
fi
# start FILE: runs a suite as a job
start() {
	local output
	output=$(mktemp "$OUTPUTS/XXXXXX")
	(
		RUNNING=() OUTPUTS=''
		count_anew
		catch
		run_suite "$1"
		echo "$PASSED $FAILED $SKIPPED"
	) > "$output" &
	RUNNING[$!]=$output
}

# collect: waits for a job to end, prints what it printed and adds its results
collect() {
	local pid passed failed skipped
	wait -n -p pid "${!RUNNING[@]}"
	sed '$d' "${RUNNING[$pid]}"
	read -r passed failed skipped < <(tail -n 1 "${RUNNING[$pid]}")
	unset "RUNNING[$pid]"
	[[ $skipped =~ ^[0-9]+$ ]] || passed=0 failed=1 skipped=0 # somebody ended the job
	PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

if ((JOBS == 1 || ${#SUITES[@]} == 1)); then
	for file in "${SUITES[@]}"; do
		run_suite "$file"
	done
else
	OUTPUTS=$(mktemp -d)
	for file in "${SUITES[@]}"; do
		((${#RUNNING[@]} < JOBS)) || collect
		start "$file"
	done
	while ((${#RUNNING[@]})); do
		collect
	done
	rm -rf "$OUTPUTS"
fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
((FAILED == 0))
