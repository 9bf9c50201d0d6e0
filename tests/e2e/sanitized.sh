#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The unit programs, and suites that are here for themselves as well, with all of user/ built with ASan,
# UBSan and LeakSanitizer (build/san). What these have to say goes to files, so that it counts whatever
# status and output a test expects.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
SAN=$TOP/build/san
# Others trace the command, which LeakSanitizer does itself, or clear its environment.
SUITES=(cli lifecycle drain stale status)
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
trap 'kill "${pids[@]}" 2> /dev/null; wait; exit 143' INT TERM HUP

export ASAN_OPTIONS=log_path=$TMP/report:exitcode=99:detect_leaks=1:detect_stack_use_after_return=1
ASAN_OPTIONS+=:strict_string_checks=1
export UBSAN_OPTIONS=log_path=$TMP/report:exitcode=99:print_stacktrace=1:halt_on_error=1

built_so() {
	nm --undefined-only "$SAN/libsocktables.a" > "$TMP/symbols"
	grep -q __asan_report_load "$TMP/symbols"
	grep -q __ubsan_handle_shift_out_of_bounds_abort "$TMP/symbols"
}

# What goes on for long at random is the business of the fuzzers, which are built with the same.
units() {
	local programs
	mapfile -t programs < <(find "$SAN/tests" -name 'unit_*_test' ! -name '*_random_test')
	TEST_BIN=$SAN/tests "$TESTS/run.sh" "${programs[@]}"
}

# suites NAME...
suites() {
	ST=$SAN/socktables "$TESTS/run.sh" "$@"
}

# begin CMD...: in the background, its output in $TMP/out.N
begin() {
	"$@" > "$TMP/out.${#pids[@]}" 2>&1 &
	pids+=($!)
}

# verdict N NAME: what came of it
verdict() {
	local status=0 out=$TMP/out.$1
	wait "${pids[$1]}" || status=$?
	echo "# $(tail -n 1 "$out")"
	if ((status == 0)); then
		ok "$2"
	else
		grep -v '^PASS ' "$out" > "$out.not"
		fail "$2" "$out.not"
	fi
}

no_report() {
	local file
	for file in "$TMP"/report*; do
		[[ ! -e $file ]] || { head -n 40 "$file" && bad=1; }
	done
	[[ -z ${bad:-} ]]
}

check "the sanitizers are built in" built_so
pids=()
begin units
begin suites "${SUITES[0]}"
begin suites "${SUITES[@]:1}"
verdict 0 "unit programs"
verdict 1 "${SUITES[0]}"
verdict 2 "${SUITES[*]:1}"
check "no report of a sanitizer" no_report
finish
