#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The differential test for policies other than the default one: those of policies.tsv, each with
# the flows that exercise it, under real iptables and under socktables.
#
#	policies.tsv	the policies		rules.c	their rules for iptables
#	flows.c		their flows		world.sh	their pods
#	predicted.awk	what the rules say of them, walked in C: are the rules read as the kernel does?
#	compare.awk	what each party saw under two engines	allowed.tsv	how socktables may differ
set -u -o pipefail

usage() {
	cat <<-'END'
		usage: tests/diff/policies.sh [OPTION]...

		  --policy REGEX  only policies whose name matches
		  --only REGEX    only rows that match
		  --engine NAME   iptables-legacy, iptables-nft or socktables; may be given several times;
		                  all are compared with the first one; default: the three
		  --show          print the results instead of comparing
		  --mutate        instead: delete each rule of nat and mangle in turn, do the flows
		                  notice? A rule that no policy misses shows a hole; takes long
		  --save DIR      keep everything in DIR

		  tests/diff/policies.sh --policy '^owner groups$' --only ' udp' --show
	END
}

ENGINES=() POLICY='' ONLY='' MODE=compare SAVE=''

parse_options() {
	while (($#)); do
		case $1 in
		--policy) POLICY=${2:?--policy needs a pattern} && shift ;;
		--only) ONLY=${2:?--only needs a pattern} && shift ;;
		--engine) ENGINES+=("${2:?--engine needs a name}") && shift ;;
		--save) SAVE=${2:?--save needs a directory} && shift ;;
		--show | --mutate) MODE=${1#--} ;;
		--help | -h) usage && exit 0 ;;
		*) usage >&2 && exit 2 ;;
		esac
		shift
	done
	((${#ENGINES[@]})) || ENGINES=(iptables-legacy iptables-nft socktables)
}

parse_options "$@"
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
# shellcheck source=tests/diff/world.sh
. "$TESTS/diff/world.sh"

# policy_add DIR NAME OPTIONS FLAGS MORE: what there is to do for one policy
policy_add() {
	local dir=$1 name=$2 options=$3 args
	mkdir -p "$dir"
	[[ $options == - ]] && options=''
	echo "${4//RESOLV_CONF/$TMP/resolv.conf}" > "$dir/flags"
	echo "${options:+--$options}" > "$dir/options"
	echo "$name" > "$dir/name"
	eval "args=($(cat "$dir/options" "$dir/flags"))"
	{
		"$TEST_BIN/diff_flows" "${args[@]}" || return
		[[ -z $5 ]] || sed 's/; */\t-\n/g; s/$/\t-/' <<< "$5"
	} | awk -v name="$name" -v only="$ONLY" -F '\t' \
		'$1 ~ only && !seen[$1]++ { print name "\t" $0 }' > "$dir/matrix"
	[[ -s $dir/matrix ]] || rm -r "$dir"
}

# policies_read: $WORLD/NUMBER for each policy
policies_read() {
	local name options flags more number=100
	printf 'nameserver %s\n' "$SVC4" "$SVC6" > "$TMP/resolv.conf"
	while IFS=$'\t' read -r name options flags more; do
		[[ -n $name && $name != '#'* && $name =~ $POLICY ]] || continue
		policy_add "$WORLD/$((++number))" "$name" "$options" "$flags" "$more" || return
	done < "$DIFF/policies.tsv"
}

# relay: prints results and counts the failed ones
relay() {
	local line
	while IFS= read -r line; do
		echo "$line"
		[[ $line != 'not ok'* ]] || FAILED=$((FAILED + 1))
	done
}

# engines_there: takes the engines out of $ENGINES that this machine does not have
engines_there() {
	local engine why there=()
	for engine in "${ENGINES[@]}"; do
		if why=$(engine_missing "$engine"); then
			skip "policies under $engine" "$why"
		else
			there+=("$engine")
		fi
	done
	ENGINES=("${there[@]}")
}

# without RULE: a sed script that deletes it
without() {
	local escaped
	escaped=$(printf '%s\n' "$1" | sed 's/[][\\.*^$|]/\\&/g')
	echo "\\|^$escaped\$|d"
}

# mutant DIR NUMBER RULE: says in $WORLD/../missed whether the policy's flows notice that it is gone
mutant() {
	local dir=$1 pod=mutant-$2-${1##*/} text said=missed
	policy_run iptables-nft "$pod" "$dir" "$(without "$3")" > "$TMP/$pod.result" 2> /dev/null || said=broken
	awk -v ref=whole -v other=mutant -v partial=1 -v limit=1 -f "$DIFF/compare.awk" "$dir/matrix" \
		/dev/null "$dir/result.iptables-nft" "$TMP/$pod.result" > /dev/null && said=unnoticed
	text=$(printf '%s\n' "$3" | sed 's/[0-9.]*[0-9]\(\/[0-9]*\)\{0,1\}/N/g')
	printf '%s\t%s\t%s\t%s\n' "$said" "$text" "$3" "$(cat "$dir/name")" >> "$TMP/mutants"
	rm -f "$TMP/$pod.result"
}

# mutate: every rule of IPv4, in every policy; the zones of raw keep conntrack tidy, and are not tried
mutate() {
	local dir rule nr=0
	world_run iptables-nft
	for dir in "$WORLD"/*/; do
		dir=${dir%/}
		while IFS= read -r rule; do
			jobs_below "$JOBS"
			((++nr))
			mutant "$dir" "$nr" "$rule" &
		done < <(rules v4 "$dir" | sed -n '/^\*raw/,/^COMMIT/!{/^-A/p}' | sort -u)
	done
	wait
	# a kind of rule is seen through if one of its kind is missed somewhere
	awk -F '\t' '
		{ tried[$2]++; if ($1 != "unnoticed") missed[$2]++; else example[$2] = $3 "\t" $4 }
		END {
			for (kind in tried)
				if (!missed[kind]) {
					split(example[kind], e, "\t")
					printf "not missed in %d policies: %s (%s)\n", tried[kind], e[1], e[2]
				}
		}' "$TMP/mutants"
	awk -F '\t' '{ n[$1]++ } END { for (i in n) printf "# %s: %d\n", i, n[i] }' "$TMP/mutants"
}

programs_built diff_flow diff_sink diff_flows diff_rules
engines_there
policies_read || exit 2
[[ -d $WORLD ]] || { echo "$0: no policy and no row match" >&2 && exit 2; }
if [[ $MODE == mutate ]]; then
	mutate
	finish
fi
world_run "${ENGINES[@]}"
for dir in "$WORLD"/*/; do
	for engine in "${ENGINES[@]}"; do
		if [[ $MODE == show ]]; then
			sed "s/^/$engine: /" "$dir/result.$engine"
		else
			relay < <(judge "${dir%/}" "$engine" "${ENGINES[0]}" 10)
		fi
	done
done
DIRS=("$WORLD"/*/)
echo "# ${#DIRS[@]} policies, $(cat "$WORLD"/*/matrix | wc -l) flows, each under ${ENGINES[*]}"
[[ -z $SAVE ]] || { mkdir -p "$SAVE" && cp -r "$WORLD"/. "$SAVE"; }
finish
