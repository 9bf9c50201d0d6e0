#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# control.sh quick|full: what it costs to attach, and how costs grow with pods, lists and live connections.
# Prints samples, as bench.sh says; progress goes to stderr. Times are those of whole commands; that of rules, of
# the commands for both families together.
# shellcheck disable=SC2317,SC2015 # timed, memory run the functions; what follows || ends the script
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"

case ${1:-} in
quick) ROUNDS=3 PODS=100 MANY=40 TIMES=4 LISTS=(0 100 10000) RULES=(0 100) LIVE=5000 SECONDS_EACH=0.15 ;;
full) ROUNDS=9 PODS=1000 MANY=99 TIMES=12 LISTS=(0 100 1000 10000) RULES=(0 100 1000 10000) LIVE=100000 SECONDS_EACH=0.4 ;;
*) echo "usage: $0 quick|full" >&2 && exit 2 ;;
esac
STEPS=(1 100 1000)	# pods, as far as there are so many
TIMED=$TEST_BIN/bench_timed CONNECT=$TEST_BIN/bench_connect

progress() {
	if [[ -t 2 ]]; then printf '\r\e[K%s' "$*" >&2; else echo "$*" >&2; fi
}

die() {
	echo "$0: $*" >&2
	exit 1
}

# sample FIGURE ENGINE PARAM UNIT BETTER ROUND VALUE
sample() {
	local IFS=$'\t'
	echo "$*"
}

# nth N: "1 pod", "100 pods"
nth() {
	if (($1 == 1)); then echo '1 pod'; else echo "$1 pods"; fi
}

# --- commands -----------------------------------------------------------------------------------------

# timed FIGURE ENGINE PARAM ROUND CMD...: in milliseconds
timed() {
	local us figure=$1 engine=$2 param=$3 round=$4
	shift 4
	us=$("$TIMED" "$@") || die "$engine: $figure: $* failed"
	sample "$figure" "$engine" "$param" ms low "$round" "$(awk "BEGIN { printf \"%.3f\", $us / 1000 }")"
}

# in_pod N CMD...: runs CMD in that pod's namespace
in_pod() {
	local n=$1
	shift
	nsenter --net="/run/netns/p$n" -- "$@"
}

# write_rules: scripts that put rules into the namespace they run in, and take them away
write_rules() {
	local kind
	rules_v4 > "$TMP/v4"
	rules_v6 > "$TMP/v6"
	sed -n '/^\*/p; /^COMMIT/p' "$TMP/v4" > "$TMP/none"
	for kind in legacy nft; do
		printf '#!/bin/sh\niptables-%s-restore < %s && ip6tables-%s-restore < %s\n' \
			"$kind" "$TMP/v4" "$kind" "$TMP/v6" > "$TMP/iptables-$kind.add"
		printf '#!/bin/sh\niptables-%s-restore < %s && ip6tables-%s-restore < %s\n' \
			"$kind" "$TMP/none" "$kind" "$TMP/none" > "$TMP/iptables-$kind.remove"
	done
	printf '#!/bin/sh\nnft -f %s\n' "$TESTS/bench/istio.nft" > "$TMP/nftables.add"
	{ echo 'delete table inet istio'; cat "$TESTS/bench/istio.nft"; } > "$TMP/again.nft"
	printf '#!/bin/sh\nnft -f %s\n' "$TMP/again.nft" > "$TMP/nftables.again"
	printf '#!/bin/sh\nnft delete table inet istio\n' > "$TMP/nftables.remove"
	for kind in legacy nft; do cp "$TMP/iptables-$kind.add" "$TMP/iptables-$kind.again"; done
	chmod +x "$TMP"/*.add "$TMP"/*.again "$TMP"/*.remove
}

# rules_commands PARAM: every engine's rules in some pods' namespaces: written, written anew, taken away
rules_commands() {
	local engine verb n param=$1 figure
	for engine in "${ENGINES[@]}"; do
		[[ $engine != socktables ]] || continue
		for ((n = 1; n <= TIMES; n++)); do
			for verb in add again remove; do
				figure=attach
				[[ $verb != again ]] || figure=update
				[[ $verb != remove ]] || figure=detach
				timed "$figure" "$engine" "$param" "$n" \
					nsenter --net="/run/netns/p$((PODS - n))" "$TMP/$engine.$verb"
			done
		done
	done
}

pod_flags() {
	FLAGS=(--cgroup "$CG/p$1" --netns "/run/netns/p$1" --name "p$1" --ipv6=on)
}

# attach_upto N: all pods up to that one are attached; FIRST is the first that is not
attach_upto() {
	for ((; FIRST <= $1; FIRST++)); do
		pod_flags "$FIRST"
		"$ST" attach "${FLAGS[@]}" || die "pod $FIRST"
	done
}

# our_commands N: attaches, updates and detaches the N-th pod
our_commands() {
	local round n=$1
	attach_upto $((n - 1))
	pod_flags "$n"
	for ((round = 1; round <= TIMES; round++)); do
		timed attach socktables "$(nth "$n")" "$round" "$ST" attach "${FLAGS[@]}"
		timed update socktables "$(nth "$n")" "$round" "$ST" update "p$n" --ipv6=on -o "$((1000 + round))"
		timed detach socktables "$(nth "$n")" "$round" "$ST" detach "p$n"
	done
}

# --- memory -------------------------------------------------------------------------------------------

# kernel_memory: KiB of slabs, vmalloc and per-CPU memory of the machine. Others' come and go: so over many pods.
kernel_memory() {
	awk '/^(Slab|VmallocUsed|Percpu):/ { n += $2 } END { print n }' /proc/meminfo
}

# memory FIGURE ENGINE PARAM N CMD...: what CMD leaves behind of it, for each of N, in KiB
memory() {
	local before figure=$1 engine=$2 param=$3 n=$4
	shift 4
	before=$(settled)
	"$@"
	sample "$figure" "$engine" "$param" KiB low 1 \
		"$(awk "BEGIN { printf \"%.2f\", ($(settled) - $before) / $n }")"
}

# settled: kernel_memory when caches that may be dropped are dropped, and what was freed is gone: it is the same
# twice, or two seconds have passed
settled() {
	local now last=0 i
	echo 2 > /proc/sys/vm/drop_caches
	for ((i = 0; i < 10; i++)); do
		sleep 0.2
		now=$(kernel_memory)
		((now - last > 64 || last - now > 64)) || break
		last=$now
	done
	echo "$now"
}

rules_everywhere() {
	local n
	for ((n = 1; n <= MANY; n++)); do
		in_pod "$n" "$TMP/$1.add" || die "$1: pod $n"
	done
}

rules_nowhere() {
	local n
	for ((n = 1; n <= MANY; n++)); do
		in_pod "$n" "$TMP/$1.remove" || die "$1: pod $n"
	done
}

memory_of_pods() {
	local engine
	for engine in "${ENGINES[@]}"; do
		progress "memory of $MANY pods: $engine"
		if [[ $engine == socktables ]]; then
			memory 'kernel memory per pod' socktables '' $((MANY - FIRST + 1)) attach_upto "$MANY"
		else
			memory 'kernel memory per pod' "$engine" '' "$MANY" rules_everywhere "$engine"
			rules_nowhere "$engine"
		fi
	done
}

# --- connections --------------------------------------------------------------------------------------

# connect FIGURE ENGINE PARAM ROUND POD [ARG...]: microseconds from connect() to the original destination
connect() {
	local figure=$1 engine=$2 param=$3 round=$4 pod=$5 dial=$SVC4:80
	shift 5
	[[ $engine != direct ]] || dial=127.0.0.1:15001
	"$CONNECT" -t "$SECONDS_EACH" -c 0 "$@" -C "$CG/$pod,/run/netns/$pod,1000" -S "$CG/$pod,/run/netns/$pod,1337" \
		0.0.0.0:15001 "$dial" > "$TMP/connect" || die "$engine: $figure $param: connect"
	sample "$figure" "$engine" "$param" us low "$round" "$(awk '$1 == "p50" { print $2 }' "$TMP/connect")"
}

# connect4_runs PARAM ROUND POD: nanoseconds of st_connect4
connect4_runs() {
	"$CONNECT" -n 2000 -c 0 -p "/sys/fs/bpf/socktables/pods/$3" -C "$CG/$3,/run/netns/$3,1000" \
		-S "$CG/$3,/run/netns/$3,1337" 0.0.0.0:15001 "$SVC4:80" > "$TMP/connect" || die "$1: programs"
	sample 'BPF st_connect4' socktables "$1" ns low "$2" \
		"$(awk '$2 == "st_connect4" { printf "%.1f", $4 / $3 }' "$TMP/connect")"
}

# cidrs N: so many that nobody dials, one a line
cidrs() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "172.%d.%d.%d/30\n", 16 + i / 16384, i / 64 % 256, i % 64 * 4 }'
}

# rules_with N POD: the rules of iptables-legacy with so many excluded CIDRs, in the pod
rules_with() {
	cidrs "$1" | sed 's/.*/-A ISTIO_OUTPUT -d & -j RETURN/' > "$TMP/returns"
	sed "/^-A ISTIO_OUTPUT -j ISTIO_REDIRECT/{
		e cat $TMP/returns
	}" "$TMP/v4" | nsenter --net="/run/netns/$2" iptables-legacy-restore
}

lists_up() {
	local n
	for n in "${LISTS[@]}"; do
		pod_make "l$n"
		cidrs "$n" > "$TMP/cidrs"
		"$ST" attach --cgroup "$CG/l$n" --netns "/run/netns/l$n" --name "l$n" -x "@$TMP/cidrs" || die "$n CIDRs"
	done
	[[ " ${ENGINES[*]} " == *' iptables-legacy '* ]] || RULES=()
	for n in "${RULES[@]}"; do
		pod_make "r$n"
		rules_with "$n" "r$n" || die "$n rules"
	done
}

# along_lists: connections with lists of every length, one after the other in each round
along_lists() {
	local round n
	for ((round = 1; round <= ROUNDS; round++)); do
		progress "lists: round $round of $ROUNDS"
		for n in "${LISTS[@]}"; do
			connect 'connect with CIDRs' socktables "$n CIDRs" "$round" "l$n"
		done
		for n in "${RULES[@]}"; do
			connect 'connect with CIDRs' iptables-legacy "$n CIDRs" "$round" "r$n"
		done
		connect 'connect with CIDRs' direct '' "$round" direct
	done
	for n in "${LISTS[@]}"; do
		connect4_runs "$n CIDRs" 1 "l$n"
	done
}

# along_pods N: connections while so many pods are attached
along_pods() {
	local round
	for ((round = 1; round <= ROUNDS; round++)); do
		connect 'connect with pods' socktables "$(nth "$1")" "$round" l0
		((${#RULES[@]} == 0)) || connect 'connect with pods' iptables-legacy "$(nth "$1")" "$round" r0
		connect 'connect with pods' direct "$(nth "$1")" "$round" direct
	done
	connect4_runs "$(nth "$1")" 1 l0
}

# --- live connections ---------------------------------------------------------------------------------

tracked() {
	nsenter --net="/run/netns/$1" cat /proc/sys/net/netfilter/nf_conntrack_count 2> /dev/null || echo 0
}

hold() {
	coproc HELD { exec "$TEST_BIN/bench_live" -n "$LIVE" -o "$POD4_2ND:0" \
		-C "$CG/$1,/run/netns/$1,1000" -S "$CG/$1,/run/netns/$1,1337" 0.0.0.0:15001 10.99.0.1:2000; }
	# shellcheck disable=SC2153 # coproc sets it
	HOLDER=$HELD_PID HOLD_IN=${HELD[1]}
	read -r -t 120 LINE <&"${HELD[0]}" && [[ $LINE == "live $LIVE" ]] || die "$1: $LIVE live connections: ${LINE:-none}"
}

# live ENGINE POD: so many connections that stay, and what others cost beside them
live() {
	local engine=$1 pod=$2 round before
	progress "$LIVE live connections: $engine"
	for ((round = 1; round <= ROUNDS; round++)); do
		connect 'connect beside live connections' "$engine" '0 live' "$round" "$pod"
	done
	before=$(tracked "$pod")
	memory 'kernel memory per connection' "$engine" "$LIVE live" "$LIVE" hold "$pod"
	sample 'conntrack entries per connection' "$engine" "$LIVE live" entries low 1 \
		"$(awk "BEGIN { printf \"%.3f\", ($(tracked "$pod") - $before) / $LIVE }")"
	for ((round = 1; round <= ROUNDS; round++)); do
		connect 'connect beside live connections' "$engine" "$LIVE live" "$round" "$pod"
	done
	eval "exec $HOLD_IN>&-"
	wait "$HOLDER" || die "$engine: live connections ended"
}

# --- all ----------------------------------------------------------------------------------------------

programs_built bench_timed bench_connect bench_live
ENGINES=()
for engine in socktables iptables-legacy iptables-nft nftables; do
	if why=$(engine_missing "$engine"); then echo "$engine is left out: $why" >&2; else ENGINES+=("$engine"); fi
done
write_rules
progress "$PODS namespaces"
for ((n = 1; n <= PODS; n++)); do
	mkdir "$CG/p$n"
	ip netns add "p$n" && ip -n "p$n" link set lo up || die "namespace $n"
done
FIRST=1
progress 'commands at the first pod'
pod_make direct
timed 'attach and load' socktables '' 1 "$ST" attach --cgroup "$CG/direct-out" --netns /run/netns/direct-out \
	--name keeper # so that what all pods share stays
our_commands 1
rules_commands '1 pod'
progress 'lists'
lists_up
along_lists
along_pods 1
memory_of_pods
for n in "${STEPS[@]}"; do
	((n > 1 && n <= PODS)) || continue
	progress "commands at pod $n"
	our_commands "$n"
	attach_upto "$n"
	along_pods "$n"
done
live socktables l0
((${#RULES[@]} == 0)) || live iptables-legacy r0
timed 'detach all' socktables "$(nth "$PODS")" 1 "$ST" detach --all
progress ''
finish
