# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The figures: each function measures one engine once and prints, by emit, what it saw. Sourced by data.sh, after
# engines.sh.

# When (often: each round; seldom: as often as time allows; ours: each round, socktables alone; once: the same, in the
# first round), the name that --only looks at, and what to call.
# shellcheck disable=SC2034 # for data.sh
FIGURES=(
	'often|connections outbound, 1 core|connections out 0'
	'often|connections outbound, 2 cores|connections out 0,1'
	'often|connections inbound, 1 core|connections in 0'
	'often|connections inbound, 2 cores|connections in 0,1'
	'often|round trips outbound, 64 B|trips out 64'
	'often|round trips outbound, 1 KiB|trips out 1024'
	'often|round trips outbound, 16 KiB|trips out 16384'
	'often|round trips inbound, 64 B|trips in 64'
	'often|bulk outbound|bulk out'
	'seldom|bulk outbound, iperf3|iperf out'
	'seldom|bulk inbound, iperf3|iperf in'
	'seldom|http outbound, keep-alive|http out keep-alive'
	'seldom|http outbound, new connections|http out close'
	'seldom|http inbound, keep-alive|http in keep-alive'
	'seldom|http inbound, new connections|http in close'
	'often|dns connected sockets|queries connected'
	'often|dns unconnected sockets|queries unconnected'
	'seldom|dns dnsperf|dnsperf_'
	'often|not redirected, excluded port|not_redirected excluded'
	'often|not redirected, local|not_redirected local'
	'often|not redirected, getsockopt|getsockopt_'
	'ours|bpf outbound connection|bpf_connection out'
	'ours|bpf inbound connection|bpf_connection in'
	'ours|bpf connection not redirected|bpf_connection excluded'
	'ours|bpf query, connected|bpf_query connected'
	'ours|bpf query, unconnected|bpf_query unconnected'
	'once|bpf established traffic|bpf_traffic'
)

# emit FIGURE PARAM UNIT BETTER VALUE
emit() {
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$ENGINE" "$2" "$3" "$4" "$ROUND" "$5"
}

# value NAME: of a generator's last output, in $SAID
value() {
	awk -v name="$1" '$1 == name { print $2 }' <<< "$SAID"
}

# per A B: how much of A there is for one B
per() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# load PROGRAM out|in|excluded|local ARG...: runs a generator between the ends of a pod of the engine; its output in $SAID
load() {
	local program=$1 where=$2 pod=$ENGINE client server at
	shift 2
	client=$CG/$pod,/run/netns/$pod,1000
	server=$CG/$pod,/run/netns/$pod,1337
	targets "$ENGINE"
	case $where in
	out) at=(0.0.0.0:15001 "$OUT" "${TOLD_OUT[@]}") ;;
	in) at=(0.0.0.0:15006 "$IN" "${TOLD_IN[@]}") client=$CG/$pod-out,/run/netns/$pod-out,0 ;;
	dns) at=(127.0.0.1:15053 "$DNS") ;;
	excluded) at=(0.0.0.0:15020 "$OUT4:15020") server=$CG/$pod-out,/run/netns/$pod-out,0 ;;
	local) at=(127.0.0.1:9080 127.0.0.1:9080) server=$client ;;
	esac
	SAID=$("$TEST_BIN/bench_$program" -C "$client" -S "$server" "${at[@]:2}" "$@" "${at[@]:0:2}")
}

direction() {
	case $1 in
	out) echo outbound ;;
	in) echo inbound ;;
	esac
}

# connections out|in CPUS
connections() {
	local what
	what="$(direction "$1"), $([[ $2 == *,* ]] && echo 2 cores || echo 1 core)"
	load connect "$1" -t "$SECONDS_EACH" -c "$2" || return
	emit 'new connections' "$what" 1/s high "$(value rate)"
	emit 'connection p50' "$what" us low "$(value p50)"
	emit 'connection p99' "$what" us low "$(value p99)"
	emit 'CPU per connection' "$what" us low "$(value cpu)"
}

# trips out|in BYTES
trips() {
	local size="$2 B"
	((${2} < 1024)) || size="$(($2 / 1024)) KiB"
	load stream "$1" -m trips -b "$2" -t "$SECONDS_EACH" -c 0 || return
	emit 'round trips' "$(direction "$1"), $size" 1/s high "$(value rate)"
}

bulk() {
	load stream "$1" -m bulk -b 65536 -t "$SECONDS_EACH" -c 0 || return
	emit bulk "$(direction "$1"), 1 core" MB/s high "$(per "$(value rate)" 1e6)"
}

# iperf out|in: a server for one run, on the proxy's port
iperf() {
	local port=15001 run=(pod_run_as "$ENGINE" 1000) dial said rate
	targets "$ENGINE"
	dial=$OUT
	[[ $1 == out ]] || { port=15006 dial=$IN && run=(out_run "$ENGINE"); }
	spawn "$TMP/iperf.server" pod_run_as "$ENGINE" 1337 taskset -c 1 iperf3 -s -1 -4 -p "$port"
	wait_for 5 listens "$ENGINE" "0.0.0.0:$port" || return
	if ! said=$("${run[@]}" taskset -c 0 iperf3 -c "${dial%:*}" -p "${dial#*:}" -n "$IPERF_BYTES" -J) ||
		! rate=$(jq -e '.end.sum_received.bits_per_second / 8e6' <<< "$said"); then
		echo "iperf3: $said" | head -c 500 >&2
		return 1
	fi
	wait "$SPAWNED"
	emit bulk "$(direction "$1"), iperf3" MB/s high "$rate"
}

# http out|in keep-alive|close: through the real proxy to the real web server, 8 clients
http() {
	local pod=$ENGINE-web run dial what header=()
	targets "$ENGINE"
	run=(pod_run_as "$pod" 1000) dial=$WEB what="$(direction "$1"), $2"
	[[ $1 == out ]] || { run=(out_run "$pod") && dial=$IN; }
	[[ $2 == keep-alive ]] || { header=(-H 'Connection: close') && what="$(direction "$1"), new connections"; }
	SAID=$("${run[@]}" wrk -t 1 -c 8 -d "${HTTP_SECONDS}s" -s "$BENCH/wrk.lua" "${header[@]}" "http://$dial/") || return
	[[ $(value failed) == 0 ]] || { echo "wrk: $SAID" >&2 && return 1; }
	emit HTTP "$what" requests/s high "$(value rate)"
	emit 'HTTP p99' "$what" us low "$(value p99)"
}

# queries connected|unconnected: a fixed number, as iptables' memory of each outlives it
queries() {
	load datagram dns -m "$1" -n "$QUERIES" -c 0 || return
	emit DNS "$1 sockets" queries/s high "$(value rate)"
	emit 'DNS answers lost' "$1 sockets" queries low "$(value lost)"
}

# What it says of its own speed includes waiting for what got lost.
dnsperf_() {
	local said
	targets "$ENGINE"
	echo 'who.mesh.test TXT' > "$TMP/queries"
	said=$(pod_run_as "$ENGINE-web" 1000 taskset -c 0 dnsperf -s "${DNS%:*}" -p "${DNS#*:}" -d /dev/stdin -t 1 \
		-l "$HTTP_SECONDS" < "$TMP/queries") || return
	SAID=$(awk '/Queries completed:/ { print "completed " $3 } /Queries lost:/ { print "lost " $3 }' <<< "$said")
	[[ $(value completed) -gt 0 ]] || { echo "dnsperf: $said" >&2 && return 1; }
	emit DNS 'dnsperf, dnsmasq' queries/s high "$(per "$(value completed)" "$HTTP_SECONDS")"
	emit 'DNS answers lost' 'dnsperf, dnsmasq' queries low "$(value lost)"
}

# not_redirected excluded|local
not_redirected() {
	load connect "$1" -t "$SECONDS_EACH" -c 0 || return
	emit 'not redirected' "$([[ $1 == excluded ]] && echo 'excluded port' || echo "app's own port, on lo")" 1/s high \
		"$(value rate)"
}

getsockopt_() {
	load sockopt local -t "$(per "$SECONDS_EACH" 3)" -c 0 || return
	emit 'getsockopt(SO_ERROR)' '' ns low "$(value ns)"
}

# --- BPF programs ---------------------------------------------------------------------------------------------------

# programs WHAT COUNT: prints what the programs did for one of COUNT, by the output in $SAID
programs() {
	local name runs ns insns bytes
	while read -r _ name runs ns insns bytes; do
		emit 'BPF verified instructions' "$name" insns none "$insns"
		emit 'BPF size' "$name" bytes none "$bytes"
		((runs)) || continue
		emit 'BPF runs' "$1: $name" '' none "$(per "$runs" "$2")"
		emit 'BPF ns a run' "$1: $name" ns low "$(per "$ns" "$runs")"
		emit 'BPF ns in all' "$1: $name" ns low "$(per "$ns" "$2")"
	done < <(grep '^prog ' <<< "$SAID")
	emit 'BPF ns in all' "$1: all" ns low "$(per "$(awk '/^prog / { t += $4 } END { print t }' <<< "$SAID")" "$2")"
}

bpf_connection() {
	local what
	what="$(direction "$1") connection"
	[[ $1 != excluded ]] || what='connection not redirected'
	load connect "$1" -n "$BPF_COUNT" -c 0 -p "$POD_PINS/$ENGINE" && programs "$what" "$BPF_COUNT"
}

bpf_query() {
	load datagram dns -m "$1" -n "$BPF_COUNT" -c 0 -p "$POD_PINS/$ENGINE" && programs "query, $1" "$BPF_COUNT"
}

# How often anything runs while a connection that is there is used. It never does.
bpf_traffic() {
	local where
	for where in out in; do
		load stream "$where" -m trips -b 64 -n 10000 -c 0 -p "$POD_PINS/$ENGINE" || return
		emit 'BPF runs in all' "10,000 round trips, $(direction "$where")" runs none \
			"$(awk '/^prog / { n += $3 } END { print n + 0 }' <<< "$SAID")"
		load stream "$where" -m bulk -b 65536 -n 16384 -c 0 -p "$POD_PINS/$ENGINE" || return
		emit 'BPF runs in all' "1 GiB, $(direction "$where")" runs none \
			"$(awk '/^prog / { n += $3 } END { print n + 0 }' <<< "$SAID")"
	done
}
