#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The differential test at random: policies and flows that nobody thought of, under real iptables
# (of both kinds in turn) and under socktables. A seed gives the same ones again.
set -u -o pipefail

usage() {
	cat <<-'END'
		usage: tests/diff/random.sh [OPTION]...

		  --policies N    how many [$RANDOM_POLICIES, or 12]
		  --flows N       with each [$RANDOM_FLOWS, or 150]
		  --seconds N     begin no more policies after this time [$RANDOM_SECONDS, or none]
		  --seed N        of the first policy, the next one has N + 1 [the time]
		  --policy FLAGS  this one instead, quoted as in a shell
		  --flow ROW      this one instead; several times for several
	END
}

POLICIES=${RANDOM_POLICIES:-12} FLOWS=${RANDOM_FLOWS:-150} LENGTH=${RANDOM_SECONDS:-} SEED=$(date +%s) FLAGS='' ROWS=''

parse_options() {
	while (($#)); do
		case $1 in
		--policies) POLICIES=${2:?--policies needs a number} && shift ;;
		--flows) FLOWS=${2:?--flows needs a number} && shift ;;
		--seconds) LENGTH=${2:?--seconds needs a number} && shift ;;
		--seed) SEED=${2:?--seed needs a number} && shift ;;
		--policy) FLAGS=${2:?--policy needs flags} POLICIES=1 && shift ;;
		--flow) ROWS+=${2:?--flow needs a row}$'\t-\n' && shift ;;
		--help | -h) usage && exit 0 ;;
		*) usage >&2 && exit 2 ;;
		esac
		shift
	done
}

parse_options "$@"
[[ -n ${ST_TEST_CG:-} ]] || set -- --seed "$SEED" "$@" # the same one inside the environment
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
# shellcheck source=tests/diff/world.sh
. "$TESTS/diff/world.sh"
BATCH=40	# policies whose results are kept at a time

# policy_draw DIR SEED: a policy and its flows
policy_draw() {
	local dir=$1 seed=$2 args
	mkdir -p "$dir"
	echo "seed $seed" > "$dir/name"
	: > "$dir/options"
	echo "--ipv6=on --resolv-conf $TMP/resolv.conf ${FLAGS:-$("$TEST_BIN/diff_random" policy "$seed")}" \
		> "$dir/flags"
	eval "args=($(cat "$dir/flags"))"
	if [[ -n $ROWS ]]; then
		printf '%s' "$ROWS"
	else
		"$TEST_BIN/diff_random" flows "$seed" "$FLOWS" "${args[@]}" || return
	fi | awk -v name="seed $seed" -F '\t' '!seen[$1]++ { print name "\t" $0 }' > "$dir/matrix"
}

# quote TEXT: as one word of a shell
quote() {
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

# tell DIR FILE: what is needed to understand and repeat a failure; FILE is what judge said
tell() {
	local flags row
	flags=$(sed "s,--ipv6=on --resolv-conf $TMP/resolv.conf ,," "$1/flags")
	echo "# policy: $flags"
	sed -n 's/^# \([^ ]* \(tcp\|udp\)[46m] [^:]*.*\)/\1/p' "$2" | sed 's/: the rules say .*//' |
		while IFS= read -r row; do
			echo "# again: tests/diff/random.sh --policy $(quote "$flags") --flow $(quote "$row")"
		done
}

# batch FIRST LAST: policies with these numbers; those of even seeds under one kind of iptables
batch() {
	local seed dir engine
	rm -rf "$WORLD"
	for ((seed = $1; seed <= $2; seed++)); do
		policy_draw "$WORLD/$seed" "$seed" || exit 2
	done
	world_run iptables socktables
	for ((seed = $1; seed <= $2; seed++)); do
		dir=$WORLD/$seed
		for engine in iptables socktables; do
			judge "$dir" "$engine" iptables 5 > "$TMP/judged" || true
			cat "$TMP/judged"
			grep -q '^not ok' "$TMP/judged" || continue
			FAILED=$((FAILED + 1))
			tell "$dir" "$TMP/judged"
		done
		SEEN=$((SEEN + $(wc -l < "$dir/matrix")))
	done
}

programs_built diff_flow diff_sink diff_random diff_rules
KINDS=()
for kind in legacy nft; do
	if why=$(engine_missing "iptables-$kind"); then
		skip "at random under iptables-$kind" "$why"
	else
		KINDS+=("$kind")
	fi
done
((${#KINDS[@]})) || finish
echo "# $POLICIES policies with $FLOWS flows each; again: tests/diff/random.sh --seed $SEED --policies $POLICIES --flows $FLOWS"
printf 'nameserver %s\n' "$SVC4" "$SVC6" > "$TMP/resolv.conf"
SEEN=0
[[ -z $LENGTH ]] || BATCH=8	# so that time is looked at
for ((first = SEED; first < SEED + POLICIES; first += BATCH)); do
	[[ -z $LENGTH ]] || ((SECONDS < LENGTH)) || break
	last=$((first + BATCH - 1))
	batch "$first" $((last < SEED + POLICIES ? last : SEED + POLICIES - 1))
done
echo "# $SEEN flows compared"
finish
