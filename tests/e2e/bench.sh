#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Whether `make bench` can be believed: each engine does what is measured, the generators notice if one does not,
# and the report's arithmetic is right. Nothing here looks at a time.
# shellcheck disable=SC2317 # check runs the functions
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
# shellcheck source=tests/bench/engines.sh
. "$TESTS/bench/engines.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$TESTS/e2e/e2e.sh"
# shellcheck source=tests/bench/figures.sh
. "$TESTS/bench/figures.sh"

# shellcheck disable=SC2034 # for figures.sh
ROUND=1 SECONDS_EACH=0.02 QUERIES=20 BPF_COUNT=50

# --- the report -----------------------------------------------------------------------------------------------------

# Three rounds; one value each but the last of socktables, which is two.
samples() {
	awk -v OFS='\t' '{ print "new connections", $2, "outbound, 1 core", "1/s", "high", $1, $3 }' <<-'END'
		1 direct 1000
		1 socktables 900
		2 socktables 1000
		2 direct 2000
		3 direct 1600
		3 socktables 1500
		3 socktables 1700
	END
	printf 'BPF runs in all\tsocktables\t1 GiB\truns\tnone\t1\t0\n'
}

arithmetic() {
	local got
	mkdir -p "$TMP/report"
	samples > "$TMP/report/samples.tsv"
	"$BENCH/report.sh" "$TMP/report"
	got=$(grep '^new' "$TMP/report/results.csv")
	# direct 1000 1600 2000, socktables 900 1000 1600; ratios 0.9 0.5 1
	same 'new connections,direct,"outbound, 1 core",1/s,high,3,1600,1300,1800,1,1,1
new connections,socktables,"outbound, 1 core",1/s,high,3,1000,950,1300,0.9,0.7,0.95' "$got"
	got=$(grep '^| new' "$TMP/report/results.md")
	same '| new connections, outbound, 1 core | 1/s | 1,600 ±16 % | 1,000 (**0.90**, 0.70–0.95) |' "$got"
	has "$(cat "$TMP/report/results.md")" '^\| 1 GiB \| 0 \|'
}
check "report: medians, quartiles, ratios within a round" arithmetic

refuses() {
	samples | sed '2s/\t[^\t]*$/\tmany/' > "$TMP/report/samples.tsv"
	same 1 "$(status_of "$BENCH/report.sh" "$TMP/report")"
	has "$(cat "$TMP/output")" 'samples.tsv:2: not a sample'
}
check "report: a line that is no sample is refused" refuses

curves() {
	local cidrs
	for cidrs in 100 10 1; do
		printf 'connect\tsocktables\t%d CIDRs\tus\tlow\t1\t%d\n' "$cidrs" $((40 + cidrs))
	done > "$TMP/summary.in"
	gawk -f "$BENCH/summary.awk" "$TMP/summary.in" | gawk -v dir="$TMP" -f "$BENCH/curves.awk" > "$TMP/curves"
	same $'curve-connect-cidr\tconnect\tCIDR\tus\tsocktables' "$(cat "$TMP/curves")"
	same $'1\t41\t41\t41 10\t50\t50\t50 100\t140\t140\t140' "$(paste -sd ' ' "$TMP/curve-connect-cidr.dat" | sed 's/ *$//')"
}
check "report: curves along a number" curves

# --- the engines and the generators ---------------------------------------------------------------------------------

# positive N: inside check: N samples in the form that the report reads, all of them above 0
positive() {
	same "$1" "$(awk -F '\t' -v engine="$ENGINE" 'NF == 7 && $2 == engine && $7 > 0' "$TMP/samples" | wc -l)" \
		"samples in $(cat "$TMP/samples")"
}

measured() {
	{
		connections out 0
		connections out 0,0
		connections in 0
		trips out 64
		trips in 16384
		bulk out
		queries connected
		queries unconnected
		not_redirected excluded
		not_redirected local
		getsockopt_
	} > "$TMP/samples"
	positive 20
	same '0 0' "$(awk -F '\t' '$1 == "DNS answers lost" { print $7 }' "$TMP/samples" | paste -sd ' ')"
}

notices() {
	local at=() pod=$CG/$ENGINE,/run/netns/$ENGINE
	targets "$ENGINE"
	at=(-C "$pod,1000" -S "$pod,1337" -o 10.96.0.11:80 0.0.0.0:15001 "$OUT")
	same 1 "$(status_of "$TEST_BIN/bench_connect" -n 1 "${at[@]}")"
	has "$(cat "$TMP/output")" 'original destination .*, not 10.96.0.11:80'
	same 1 "$(status_of "$TEST_BIN/bench_stream" -m trips -n 1 "${at[@]}")"
	has "$(cat "$TMP/output")" 'original destination .*, not 10.96.0.11:80'
}

for ENGINE in direct socktables iptables-legacy iptables-nft nftables; do
	if why=$(engine_missing "$ENGINE"); then
		skip "$ENGINE is measured" "$why"
		continue
	fi
	pod_make "$ENGINE" && engine_start "${ENGINE/direct/none}" "$ENGINE"
	check "$ENGINE: is measured" measured
	check "$ENGINE: a wrong original destination is an error" notices
done

# The proxy's listener is there, but nobody redirects to it.
bypassed() {
	local pod=$CG/direct,/run/netns/direct
	same 1 "$(status_of "$TEST_BIN/bench_connect" -n 1 -C "$pod,1000" -S "$pod,1337" 0.0.0.0:15001 "$SVC4:80")"
	has "$(cat "$TMP/output")" 'connect: Connection refused'
}
check "direct: a connection that is not redirected is an error" bypassed

# --- our programs ---------------------------------------------------------------------------------------------------

# sample FIGURE REGEX: prints its value at a parameter that matches
sample() {
	awk -F '\t' -v figure="$1" -v param="^($2)\$" '$1 == figure && $3 ~ param { print $7 }' "$TMP/samples"
}

programs_run() {
	{
		bpf_connection out
		bpf_connection in
		bpf_query unconnected
	} > "$TMP/samples"
	same 1.00 "$(sample 'BPF runs' 'outbound connection: st_connect4')"
	same 1.00 "$(sample 'BPF runs' 'outbound connection: st_sockopt')"
	same 1.00 "$(sample 'BPF runs' 'inbound connection: st_(inbound|enter)')"
	has "$(sample 'BPF runs' 'query, unconnected: st_sendmsg4')" '^[12]\.00$'
	positive "$(wc -l < "$TMP/samples")"
}

none_runs() {
	bpf_traffic > "$TMP/samples"
	same '0 0 0 0' "$(cut -f 7 "$TMP/samples" | paste -sd ' ')"
}

ENGINE=socktables
check "the programs of a connection are counted" programs_run
check "no program runs on an established connection" none_runs
socktables_stop socktables

# --- rules for nft --------------------------------------------------------------------------------------------------

# Some of the flows of the differential test; all of them: tests/diff/diff.sh --engine iptables-nft --engine nftables
"$DIFF/matrix.sh" | awk 'NR % 9 == 0' > "$TMP/matrix"
cut -f 2 "$TMP/matrix" > "$TMP/rows"
alike() {
	for ENGINE in iptables-nft nftables; do
		engine_run "$ENGINE" "diff-$ENGINE" "$TMP/rows" > "$TMP/result.$ENGINE" || return 1
	done
	if ! awk -v ref=iptables-nft -v other=nftables -v partial=1 -v limit=5 -f "$DIFF/compare.awk" \
		"$TMP/matrix" /dev/null "$TMP/result.iptables-nft" "$TMP/result.nftables" > "$TMP/alike"; then
		grep -v '^ok ' "$TMP/alike"
		return 1
	fi
	same "" "$(grep -v '^ok ' "$TMP/alike")"
	grep -q '^ok ' "$TMP/alike"
}
if why=$(engine_missing iptables-nft || engine_missing nftables); then
	skip "nftables redirects as iptables does" "$why"
else
	check "nftables redirects as iptables does: $(wc -l < "$TMP/rows") flows" alike
fi

# --- the command ----------------------------------------------------------------------------------------------------

command_line() {
	same 2 "$(status_of "$BENCH/bench.sh" --fast)"
	same 0 "$(status_of "$BENCH/bench.sh" --list)"
	has "$(cat "$TMP/output")" '^connections outbound, 1 core$'
}
check "bench.sh: usage, --list" command_line

finish
