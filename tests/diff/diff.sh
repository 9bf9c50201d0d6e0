#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The differential test: the same flows through pods that redirect by real iptables and by
# socktables; what every party sees is compared field by field.
#
#	matrix.sh	the flows		row.h	the language they are written in
#	flow.c ...	the clients		sink.c	the receivers
#	engine.sh	the engines		seed.rules	the rules of iptables
#	receivers.tsv	who has to receive what	allowed.tsv	how socktables may differ
set -u -o pipefail

usage() {
	cat <<-'END'
		usage: tests/diff/diff.sh [OPTION]...

		Performs the flow matrix under each engine and compares all with the first one.

		  --engine NAME   iptables-legacy, iptables-nft, nftables, socktables, or none (no rules at all);
		                  may be given several times; default: $DIFF_ENGINES or the first three
		  --only REGEX    only rows that match; default: $DIFF_ONLY
		  --list          print the rows and do nothing
		  --show          print the results instead of comparing
		  --classes       print how often each difference occurs, without a row's name
		  --mutate        instead: delete each iptables rule in turn, does the matrix notice?
		  --save DIR      keep the results in DIR/ENGINE

		  tests/diff/diff.sh --engine iptables-nft --only 'app tcp4 connect=(pod|outside):' --show
	END
}

ENGINES=() ONLY=${DIFF_ONLY:-} MODE=compare SAVE=''

parse_options() {
	while (($#)); do
		case $1 in
		--engine) ENGINES+=("${2:?--engine needs a name}") && shift ;;
		--only) ONLY=${2:?--only needs a pattern} && shift ;;
		--save) SAVE=${2:?--save needs a directory} && shift ;;
		--list | --show | --classes | --mutate) MODE=${1#--} ;;
		--help | -h) usage && exit 0 ;;
		*) usage >&2 && exit 2 ;;
		esac
		shift
	done
	((${#ENGINES[@]})) || read -ra ENGINES <<< "${DIFF_ENGINES:-iptables-legacy iptables-nft socktables}"
	for engine in "${ENGINES[@]}"; do
		[[ $engine =~ ^(iptables-legacy|iptables-nft|nftables|socktables|none)$ ]] && continue
		echo "$0: no such engine: $engine" >&2
		exit 2
	done
}

parse_options "$@"
if [[ $MODE == list ]]; then
	"$(dirname "$0")/matrix.sh" | cut -f 2 | grep -E -- "$ONLY"
	exit
fi
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"

programs_built diff_flow diff_sink
MATRIX=$TMP/matrix ROWS=$TMP/rows
"$DIFF/matrix.sh" | awk -F '\t' -v only="$ONLY" '$2 ~ only' > "$MATRIX"
cut -f 2 "$MATRIX" > "$ROWS"
[[ -s $ROWS ]] || { echo "$0: no row matches '$ONLY'" >&2 && exit 2; }

# compare REFERENCE OTHER ALLOWED [AWK-OPTION...]: see compare.awk
compare() {
	local ref=$1 other=$2 allowed=$3
	shift 3
	awk -v ref="$ref" -v other="$other" -v partial="${ONLY:+1}" -v limit=20 "$@" \
		-f "$DIFF/compare.awk" "$MATRIX" "$allowed" "$TMP/result.$ref" "$TMP/result.$other"
}

# run ENGINE [NAME SED-SCRIPT]: performs $ROWS; the results into $TMP/result.NAME, complaints into log.NAME
run() {
	local name=${2:-$1}
	engine_run "$1" "diff-$name" "$ROWS" "${3:-}" > "$TMP/result.$name" 2> "$TMP/log.$name"
}

# runnable ENGINE: runs it; says why not, as a test result, and fails
runnable() {
	local why
	if why=$(engine_missing "$1"); then
		skip "$1 runs" "$why"
	elif run "$1"; then
		[[ -z $SAVE ]] || { mkdir -p "$SAVE" && cp "$TMP/result.$1" "$SAVE/$1"; }
		return 0
	else
		fail "$1 runs" "$TMP/log.$1"
	fi
	return 1
}

# receivers ENGINE: whether they are those of the table
receivers() {
	awk -v partial="${ONLY:+1}" -f "$DIFF/receivers.awk" "$DIFF/receivers.tsv" \
		"$TMP/result.$1" > "$TMP/wrong"
	if [[ -s $TMP/wrong ]]; then
		fail "$1: receivers are those of the table" "$TMP/wrong"
	else
		ok "$1: receivers are those of the table"
	fi
}

# show ENGINE: a table of the results: row, who received it, everything else
show() {
	echo "$1:"
	awk -F '\t' -v OFS='\t' '{
		to = rest = ""
		for (i = 2; i <= NF; i++)
			if ($i ~ /^([0-9ab]\.)*to=/) to = to (to ? "," : "") substr($i, index($i, "=") + 1)
			else rest = rest (rest ? " " : "") $i
		print "  " $1, (to ? to : "-"), rest
	}' "$TMP/result.$1" | column -t -s $'\t'
}

# notices SED-SCRIPT: whether the rows show that iptables runs without the rules the script deletes
notices() {
	run iptables-nft changed "$1" || { cat "$TMP/log.changed" && return 1; }
	! compare iptables-nft changed /dev/null > "$TMP/noticed"
}

# never_missed RULE: prints why nobody notices when it is deleted; fails if somebody should
never_missed() {
	case $1 in
	*'-A PREROUTING -p udp'*) echo "replies need no translation: their zone only keeps conntrack tidy" ;;
	*'--sport 15053'*) echo "the agent is uid and gid 1337, the two rules stand in for each other" ;;
	*'! --gid-owner 1337 -j RETURN') echo "not reached: the two rules about uid 1337 leave nothing for it" ;;
	*'-d 127.0.0.1/32 -j RETURN') echo "not reached: only port 53 comes this far, and is redirected" ;;
	*) return 1 ;;
	esac
}

# mutate: each rule of the seed in turn; one that nobody misses shows a hole in the matrix
mutate() {
	local line rule why
	run iptables-nft || { cat "$TMP/log.iptables-nft" && return 1; }
	while IFS=: read -r line rule; do
		if notices "${line}d"; then
			ok "missed: $rule"
		elif why=$(never_missed "$rule"); then
			ok "not missed: $rule ($why)"
		else
			fail "not missed: $rule"
		fi
	done < <(grep -n '^-A' "$DIFF/seed.rules")
}

# A comparison that cannot fail proves nothing.
self_test() {
	ROWS=$TMP/self ONLY='^(app|proxy) tcp4 (bind=lo6:0 )?connect=pod:80$'
	grep -E "$ONLY" "$TMP/rows" > "$ROWS" || return
	awk -F '\t' -v only="$ONLY" '$2 ~ only' "$MATRIX" > "$MATRIX.self"
	MATRIX=$MATRIX.self
	if notices '/-s 127.0.0.6/d;/-s ::6/d'; then
		ok "a missing rule is noticed"
	else
		fail "a missing rule is noticed"
	fi
}

if [[ $MODE == mutate ]]; then
	mutate
	finish
fi
DONE=()
for engine in "${ENGINES[@]}"; do
	runnable "$engine" && DONE+=("$engine")
done
# The same rules say the same: if not, conntrack remembered a flow of before and gave a client another port
if [[ $MODE == compare && ${DONE[0]:-} == iptables-legacy && ${DONE[1]:-} == iptables-nft ]] &&
	! compare iptables-legacy iptables-nft /dev/null > "$TMP/twice"; then
	runnable iptables-legacy || DONE=("${DONE[@]:1}")
fi
for engine in "${DONE[@]}"; do
	allowed=/dev/null
	[[ $engine != socktables ]] || allowed=$DIFF/allowed.tsv
	case $MODE in
	show) show "$engine" ;;
	classes)
		[[ $engine == "${DONE[0]}" ]] ||
			compare "${DONE[0]}" "$engine" "$allowed" -v classes=1 | sort -rn
		;;
	compare)
		[[ $engine == none ]] || receivers "$engine"
		[[ $engine == "${DONE[0]}" ]] || compare "${DONE[0]}" "$engine" "$allowed" ||
			FAILED=$((FAILED + 1))
		;;
	esac
done
[[ $MODE == compare && " ${DONE[*]} " == *' iptables-nft '* ]] && self_test
finish
