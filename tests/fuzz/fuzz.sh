#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs every fuzzer for $FUZZ_SECONDS (30), side by side. Each finds its way from nothing, or from the
# dictionary NAME.dict and the texts in NAME.seeds (one directory a line). With FUZZ_KEEP=DIR its corpus
# stays in DIR/NAME and is used the next time. An input that fails is shown, and is tried again by
# build/tests/fuzz_NAME FILE.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
FUZZ=$TESTS/fuzz
SECONDS_LIMIT=${FUZZ_SECONDS:-30}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
trap 'kill "${pids[@]}" 2> /dev/null; exit 143' INT TERM HUP

# fuzz NAME: runs one; what it finds goes to $TMP/NAME
fuzz() {
	local name=$1 corpus=${FUZZ_KEEP:-$TMP}/$1 args=()
	mkdir -p "$corpus" "$TMP/$name-found"
	[[ ! -e $FUZZ/$name.dict ]] || args+=("-dict=$FUZZ/$name.dict")
	args+=("$corpus")
	[[ ! -e $FUZZ/$name.seeds ]] || mapfile -t -O ${#args[@]} args < <(sed "s,^,$TOP/," "$FUZZ/$name.seeds")
	exec "$TEST_BIN/fuzz_$name" -max_total_time="$SECONDS_LIMIT" -max_len=4096 -verbosity=1 \
		-timeout=20 -print_final_stats=1 -artifact_prefix="$TMP/$name-found/" "${args[@]}"
}

# failed NAME: its last words and the input
failed() {
	local input
	grep -vE '^(stat::|#[0-9]+)' "$TMP/$1.log" | tail -n 60
	for input in "$TMP/$1-found"/*; do
		[[ -e $input ]] || continue
		echo "the input, for: base64 -d > FILE; build/tests/fuzz_$1 FILE"
		base64 "$input"
	done
}

names=() pids=()
for program in "$TEST_BIN"/fuzz_*; do
	[[ -x $program ]] || { echo "$0: build the test programs first: make test-programs" >&2 && exit 2; }
	name=${program##*/fuzz_}
	fuzz "$name" > "$TMP/$name.log" 2>&1 &
	names+=("$name")
	pids+=($!)
done
for i in "${!names[@]}"; do
	name=${names[i]}
	if wait "${pids[i]}"; then
		ok "fuzz $name"
		echo "# $(sed -n 's/^stat::number_of_executed_units: *//p' "$TMP/$name.log") executions in $SECONDS_LIMIT s"
	else
		failed "$name" > "$TMP/failed"
		fail "fuzz $name" "$TMP/failed"
	fi
done
finish
