# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The engines that are compared: each makes one pod redirect by the seed's rules. Sourced by diff.sh.

DIFF=$TESTS/diff

# programs_built NAME...: ends the script unless these test programs are there
programs_built() {
	local name
	for name; do
		[[ -x $TEST_BIN/$name ]] && continue
		echo "$0: build the test programs first: make test-programs" >&2
		exit 2
	done
}

# rules_v4, rules_v6: the seed's rules for iptables-restore
rules_v4() {
	cat "$DIFF/seed.rules"
}

rules_v6() {
	sed -e 's,127\.0\.0\.6/32,::6/128,' -e 's,127\.0\.0\.1/32,::1/128,' "$DIFF/seed.rules"
}

# iptables_start POD legacy|nft [SED-SCRIPT]: loads the rules, after the script if there is one
iptables_start() {
	local pod=$1 kind=$2 script=${3:-}
	rules_v4 | sed "$script" | pod_run "$pod" "iptables-$kind-restore" &&
		rules_v6 | sed "$script" | pod_run "$pod" "ip6tables-$kind-restore" &&
		ip -n "$pod" address add ::6/128 dev lo nodad
}

# nftables_start POD: the same rules, written for nft
nftables_start() {
	pod_run "$1" nft -f "$TESTS/bench/istio.nft" && ip -n "$1" address add ::6/128 dev lo nodad
}

socktables_start() {
	"$ST" attach --cgroup "$CG/$1" --netns "/run/netns/$1" --name "$1" --ipv6=on
}

socktables_stop() {
	"$ST" detach "$1"
}

# engine_missing ENGINE: prints why this machine cannot run it; fails if it can
engine_missing() {
	local kind=${1#iptables-}
	case $1 in
	iptables-legacy | iptables-nft)
		if ! command -v "iptables-$kind-restore" > /dev/null; then
			echo "iptables-$kind-restore is not installed"
		elif ! unshare --net "iptables-$kind" -t nat -L > "$TMP/probe" 2>&1; then
			echo "kernel: $(head -n 1 "$TMP/probe")"
		else
			return 1
		fi
		;;
	nftables)
		command -v nft > /dev/null && return 1
		echo "nft is not installed"
		;;
	*) return 1 ;;
	esac
}

# engine_start ENGINE POD [SED-SCRIPT]: the pod redirects; the script may take rules away from iptables
engine_start() {
	case $1 in
	iptables-*) iptables_start "$2" "${1#iptables-}" "${3:-}" ;;
	nftables) nftables_start "$2" ;;
	socktables) socktables_start "$2" ;;
	none) ip -n "$2" address add ::6/128 dev lo nodad ;;
	esac
}

# sinks_start POD: all receivers of both sides listen
sinks_start() {
	spawn "$TMP/$1.sink" pod_run "$1" "$TEST_BIN/diff_sink" pod
	spawn "$TMP/$1-out.sink" out_run "$1" "$TEST_BIN/diff_sink" outside
	wait_for 10 grep -q ready "$TMP/$1.sink" && wait_for 10 grep -q ready "$TMP/$1-out.sink"
}

# engine_run ENGINE POD ROWS [SED-SCRIPT]: performs the rows in a new pod, prints their results
engine_run() {
	local engine=$1 pod=$2 rows=$3 status=0
	pod_make "$pod" && engine_start "$engine" "$pod" "${4:-}" >&2 && sinks_start "$pod" || status=1
	if ((!status)); then
		grep -v '^peer ' "$rows" | pod_run "$pod" "$TEST_BIN/diff_flow"
		grep '^peer ' "$rows" | out_run "$pod" "$TEST_BIN/diff_flow"
	fi
	grep -hvs '^ready$' "$TMP/$pod.sink" "$TMP/$pod-out.sink" >&2
	[[ $engine != socktables ]] || socktables_stop "$pod" >&2 || status=1
	pod_drop "$pod"
	return "$status"
}
