#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The proxy comes and goes: listeners older and younger than the attach, of every kind and number;
# without one connections are refused, never let through. And who must not notice any of it.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

mkdir "$TMP/proxies"

# proxy NAME ARG...: a stub as the proxy's user in pod a
proxy() {
	serve "$TMP/proxies/$1" pod_run_as a 1337 "$STUB" "${@:2}"
}

# proxies: the pids of all of them
proxies() {
	sed -sn 's/^ready //p' "$TMP"/proxies/* 2> /dev/null
}

# pid NAME: of one of them
pid() {
	sed -n 's/^ready //p' "$TMP/proxies/$1"
}

# proxy_stop NAME: ends one of them. It is forgotten, lest it be ended again when its pid is another's.
proxy_stop() {
	stop "$(pid "$1")"
	rm "$TMP/proxies/$1"
}

# no_proxy: ends them all
no_proxy() {
	# shellcheck disable=SC2046 # pids are words
	stop $(proxies)
	rm -f "$TMP"/proxies/*
}

# alone NAME CMD...: a check that starts without a proxy
alone() {
	no_proxy
	check "$@"
}

# inbound: who answers connections from outside to the app's port, v4 then v6
inbound() {
	out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" | who
}

# outbound: who answers the app, v4 then v6
outbound() {
	dial a "$SVC4:80" "[$SVC6]:80" | who
}

# copies COUNT RUN...: the numbers of the copies that answer COUNT connections
copies() {
	local count=$1
	shift
	"$@" -n "$count" | sed -n 's/.* copy=\([0-9]*\) .*/\1/p' | sort -nu | paste -sd ' '
}

listeners() {
	"$ST" status a --json | jq '.[0].inbound_listeners'
}

IN_V4=line:0.0.0.0:15006 IN_V6='line:[::]:15006' IN_DUAL='line:*:15006'
OUT_V4=line:0.0.0.0:15001 OUT_V6='line:[::]:15001'
NOBODY='ECONNREFUSED ECONNREFUSED'

pod_make a
outside_start a
app_start a

# --- come and go ----------------------------------------------------------------------------------

older() {
	proxy old old "$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6"
	attach a
	same "old old" "$(inbound)"
	same "old old" "$(outbound)"
	same 2 "$(listeners)"
	no_proxy
	same 0 "$(listeners)"
}

gone() {
	same "$NOBODY" "$(inbound)"
	same "$NOBODY" "$(outbound)"
	has "$(counter in-no-listener)" '^[1-9]'
	same "app" "$(out_run a "$DIAL" "$POD4:15020" | who)" "an excluded port"
}

younger() {
	proxy new new "$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6"
	same "new new" "$(inbound)"
	same "new new" "$(outbound)"
	no_proxy
	same "$NOBODY" "$(inbound)"
	same "$NOBODY" "$(outbound)"
	proxy again again "$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6"
	same "again again" "$(inbound)"
	same "again again" "$(outbound)"
	no_proxy
}

families() {
	proxy v4 v4 "$IN_V4"
	same "v4 ECONNREFUSED" "$(inbound)" "a v4 listener alone"
	no_proxy
	proxy v6 v6 "$IN_V6"
	same "ECONNREFUSED v6" "$(inbound)" "a V6ONLY listener alone"
	proxy v4 v4 "$IN_V4"
	same "v4 v6" "$(inbound)" "the V6ONLY listener first, then the v4 one"
	no_proxy
	proxy dual dual "$IN_DUAL"
	same "dual dual" "$(inbound)" "a dual-stack listener"
	has "$(out_run a "$DIAL" "$POD4:8080")" "peer=\\[::ffff:$OUT4\\]:[0-9]+ local=\\[::ffff:$POD4\\]:8080 od=$POD4:8080|peer=$OUT4:[0-9]+ local=$POD4:8080 od=$POD4:8080"
	no_proxy
	# On the address of the interface, where iptables sends what comes by it
	proxy address address "line:$POD4:15006" "line:[$POD6]:15006"
	same "address address" "$(inbound)" "listeners on the pod's own addresses"
	no_proxy
	same "$NOBODY" "$(inbound)"
}

alone "listeners that are older than the attach" older
check "no proxy: refused, never let through to the app" gone
check "listeners that are younger, and their restart" younger
check "v4, V6ONLY, dual-stack, single addresses" families

# --- many -----------------------------------------------------------------------------------------

workers() {
	proxy many -n 4 proxy "$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6"
	same "1 2 3 4" "$(copies 100 out_run a "$DIAL" "$POD4:8080")" "inbound v4"
	same "1 2 3 4" "$(copies 100 out_run a "$DIAL" "[$POD6]:8080")" "inbound v6"
	same "1 2 3 4" "$(copies 100 dial a "$SVC4:80")" "outbound v4"
	same "1 2 3 4" "$(copies 100 dial a "[$SVC6]:80")" "outbound v6"
}

# close_copy N: closes the listeners of the lowest copy that is left, which is N
close_copy() {
	kill -USR1 "$(proxies)"
	wait_for 10 grep -qx "closed $1" "$TMP/proxies/many"
}

one_by_one() {
	local left n=0
	for left in '2 3 4' '3 4' '4'; do
		close_copy $((++n))
		same "$left" "$(copies 60 out_run a "$DIAL" "$POD4:8080")" "inbound v4"
		same "$left" "$(copies 60 out_run a "$DIAL" "[$POD6]:8080")" "inbound v6"
		same "$left" "$(copies 60 dial a "$SVC4:80")" "outbound v4"
	done
	close_copy 4
	same "$NOBODY" "$(inbound)"
	same "$NOBODY" "$(outbound)"
}

# More than there are slots: those beyond get their share too, as one of their group is in a slot.
eighty() {
	local before
	before=$(counter listener-no-slot)
	proxy many -n 80 proxy "$IN_V4"
	same 64 "$(listeners)" "listeners in slots"
	same 16 "$(($(counter listener-no-slot) - before))" "listeners that took the slot of another"
	same "$(seq -s ' ' 1 80)" "$(copies 3000 out_run a "$DIAL" "$POD4:8080")" "who answers"
}

# As many as there are slots close, the oldest ones, as when a proxy is replaced.
eighty_fewer() {
	local n
	for ((n = 1; n <= 64; n++)); do
		close_copy "$n"
	done
	same "$(seq -s ' ' 65 80)" "$(copies 1000 out_run a "$DIAL" "$POD4:8080")" "who answers"
}

# A hundred workers and their successors, in both families; and one family leaves the other alone.
hundreds() {
	proxy six six "$IN_V6"
	proxy old -n 100 old "$IN_V4"
	proxy young -n 100 young "$IN_V4"
	proxy_stop old
	same "young six" "$(inbound)"
	same "$(seq -s ' ' 1 100)" "$(copies 3000 out_run a "$DIAL" "$POD4:8080")" "who answers"
}

alone "four workers all get connections" workers
check "workers that close one by one" one_by_one
alone "eighty listeners all get connections" eighty
check "the first 64 of eighty listeners close" eighty_fewer
alone "a hundred listeners are replaced by a hundred" hundreds

# --- replaced under load --------------------------------------------------------------------------

ALL=("$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6")

# load WAY RUN...: connections until $TMP/enough is there, into $TMP/load.WAY
load() {
	local way=$1
	shift
	until [[ -e $TMP/enough ]]; do
		"$@" -n 50
	done > "$TMP/load.$way" 2>&1
}

# under_load CMD...: calls of all four kinds, in and out, while CMD runs: none fails
under_load() {
	local way loads=()
	local -A told=([in4]="od=$POD4:8080" [in6]="od=\[$POD6\]:8080" [out4]="od=$SVC4:80" [out6]="od=\[$SVC6\]:80")
	rm -f "$TMP/enough" "$TMP"/load.*
	load in4 out_run a "$DIAL" "$POD4:8080" &
	loads+=($!)
	load in6 out_run a "$DIAL" "[$POD6]:8080" &
	loads+=($!)
	load out4 dial a "$SVC4:80" &
	loads+=($!)
	load out6 dial a "[$SVC6]:80" &
	loads+=($!)
	"$@"
	touch "$TMP/enough"
	wait "${loads[@]}"
	for way in in4 in6 out4 out6; do
		same "" "$(grep -v '^peer=.* copy=' "$TMP/load.$way" | sort | uniq -c)" "failed ones of $way"
		same "old young" "$(sed -E 's/^peer=[^ ]+ name=[^ ]+ ([a-z]+).*/\1/' "$TMP/load.$way" | sort -u | paste -sd ' ')" \
			"who answered $way"
		same "" "$(grep -v " ${told[$way]}\$" "$TMP/load.$way" | sort | uniq -c)" "original destinations of $way"
	done
}

# Workers in processes of their own, each replaced by a younger one that listens before the old one
# closes. What an old one has not accepted yet goes to another (tcp_migrate_req).
one_after_the_other() {
	local n
	for ((n = 4; n < 16; n++)); do
		proxy "w$n" -r young "${ALL[@]}"
		kill -USR1 "$(pid "w$((n - 4))")"
		wait_for 10 grep -q ^closed "$TMP/proxies/w$((n - 4))"
	done
}

migrate() {
	nsenter --net=/run/netns/a "$BASH" -c 'echo 1 > /proc/sys/net/ipv4/tcp_migrate_req' ||
		skip_now "kernel: no tcp_migrate_req (5.14)"
}

rolled() {
	local n
	migrate
	for ((n = 0; n < 4; n++)); do
		proxy "w$n" -r old "${ALL[@]}"
	done
	under_load one_after_the_other
	same "young young" "$(inbound)"
}

# The listeners themselves go to a new process by SCM_RIGHTS, as Envoy, HAProxy and nginx do it.
handed_over() {
	local n
	for ((n = 1; n < 6; n++)); do
		serve "$TMP/proxies/p$n" pod_run_as a 1337 "$STUB" -t "heir$n" -o "heir$((n + 1))" young
		kill -USR2 "$(pid "p$((n - 1))")"
		wait_for 10 grep -qx 'took 4' "$TMP/proxies/p$n"
	done
}

handover() {
	local n
	proxy p0 -o heir1 old "${ALL[@]}"
	under_load handed_over
	for ((n = 0; n < 5; n++)); do
		proxy_stop "p$n"
	done
	same "young young" "$(inbound)"
	same "young young" "$(outbound)"
	same 2 "$(listeners)"
	no_proxy
	same "$NOBODY" "$(inbound)"
	same "$NOBODY" "$(outbound)"
}

# in_queue: how many connections wait to be accepted by any listener of the proxy
in_queue() {
	nsenter --net=/run/netns/a ss -Hltn "( sport = :15001 or sport = :15006 )" | awk '{ n += $2 } END { print n + 0 }'
}

# answered_or_queued N: of N connections, all that do not wait in a queue have their answer
answered_or_queued() {
	(($(cat "$TMP"/migrated.* | grep -c .) + $(in_queue) == $1))
}

# A worker that stops accepting, and ends with connections in its queue: they go to the other one, who
# is told where they were going.
migrated() {
	local n calls=() waiting before way
	local -A told=([in4]="$POD4:8080" [in6]="[$POD6]:8080" [out4]="$SVC4:80" [out6]="[$SVC6]:80")
	migrate
	rm -f "$TMP"/migrated.*
	proxy w0 -r old "${ALL[@]}"
	proxy w1 -r young "${ALL[@]}"
	kill -STOP "$(pid w0)"
	for ((n = 0; n < 16; n++)); do
		for way in in4 in6; do
			out_run a "$DIAL" -w 300 "${told[$way]}" > "$TMP/migrated.$way.$n" 2>&1 &
			calls+=($!)
		done
		for way in out4 out6; do
			dial a -w 300 "${told[$way]}" > "$TMP/migrated.$way.$n" 2>&1 &
			calls+=($!)
		done
	done
	wait_for 20 answered_or_queued "${#calls[@]}"
	waiting=$(in_queue)
	before=$(migrations)
	proxy_stop w0
	wait "${calls[@]}"
	((waiting >= 4)) # each of 64 is there in one of two cases
	((waiting <= $(migrations) - before))
	for way in "${!told[@]}"; do
		same "16 young ${told[$way]}" "$(sed -E 's/^peer=[^ ]+ name=[^ ]+ ([a-z]+).* od=/\1 /' "$TMP"/migrated."$way".* |
			sort | uniq -c | sed 's/^ *//')" "$way"
	done
}

# migrations: how many waiting connections changed their listener
migrations() {
	nsenter --net=/run/netns/a cat /proc/net/netstat | awk '
		{ for (i = 2; i <= NF; i++) if (names[i] == "TCPMigrateReqSuccess") print $i; split($0, names) }'
}

alone "workers are replaced one by one under load: nobody is refused" rolled
alone "a worker ends with connections in its queue: the next one is told their original destinations" migrated
alone "listeners are handed over under load: nobody is refused" handover

# --- the DNS agent --------------------------------------------------------------------------------

asked() {
	dial a "dns:$SVC4:53" "dns:[$SVC6]:53" | who
}

agent_life() {
	local n
	for ((n = 0; n < 3; n++)); do
		same "$NOBODY" "$(asked)" "without an agent"
		agent_start a
		same "agent agent" "$(asked)" "as soon as it is there"
		same "agent agent" "$(dial a "sendto:$SVC4:53" "sendto:[$SVC6]:53" | who)" "unconnected"
		stop "$SERVED"
	done
}

check "the DNS agent comes and goes" agent_life

# ask_two RESOLVER RESOLVER: one socket asks both; prints as whom the agent saw it the second time
ask_two() {
	local said
	said=$(pod_run_as a 1000 "$TEST_BIN/e2e_ugly" -u "sendto:$1:53" "sendto:$2:53")
	same "from=$1:53 a=10.0.0.15
from=$2:53 a=10.0.0.15" "$said"
	tail -n 1 "$TMP/a.agent" | sed -n 's/.* peer=\([^ ]*\) .*/\1/p'
}

# The port that stands for a socket at a further resolver is none that another socket has: what the agent
# answers to would be that. After some in a row that are taken the agent is shown the mark.
shown_ports() {
	local port held=()
	for port in 61440 61441 6144{3..6}; do
		held+=("dns:0.0.0.0:$port" "dns:[::]:$port")
	done
	serve "$TMP/held" pod_run_as a 1000 "$STUB" held "${held[@]}"
	agent_start a
	same "$POD4:61442" "$(ask_two "$SVC4" "$SVC4_2ND")" "two are taken"
	has "$(ask_two "$SVC4" "$SVC4_2ND")" '^127\.1\.0\.1:[0-9]+$'
	same "$POD4:61447" "$(ask_two "$SVC4" "$SVC4_2ND")" "the next one"
	same "[$POD6]:61442" "$(ask_two "[$SVC6]" "[$SVC6_2ND]")" "v6, two are taken"
	has "$(ask_two "[$SVC6]" "[$SVC6_2ND]")" '^\[100::1:1\]:[0-9]+$'
	same "[$POD6]:61447" "$(ask_two "[$SVC6]" "[$SVC6_2ND]")" "v6, the next one"
	stop "$(sed -n 's/^ready //p' "$TMP/held")" "$SERVED"
}
check "a port that stands for a client is nobody else's" shown_ports

# --- Istio's validator ----------------------------------------------------------------------------

# validate LOOPBACK PASSTHROUGH: it listens on loopback alone, and connects as the proxy's user from
# there to port 15002 of the address that the proxy calls the app from
validate() {
	proxy validator proxy "line:$1:15001" "line:$1:15006"
	has "$(pod_run_as a 1337 "$DIAL" -b "$1:0" "$2:15002")" \
		"^peer=${2//[\[\]]/.}:15002 .* proxy .* local=${1//[\[\]]/.}:15006 od=${2//[\[\]]/.}:15002\$"
	no_proxy
}

alone "validation passes over IPv4" validate 127.0.0.1 127.0.0.6
alone "validation passes over IPv6" validate '[::1]' '[::6]'

# --- who must not notice --------------------------------------------------------------------------

# totals: all counters of pod a
totals() {
	"$ST" stats a --json | jq -c '.[0] | [.ipv4, .ipv6]'
}

# Another pod under the same names and addresses; a namespace nested in pod a's cgroup; a process of
# pod a's cgroup in another namespace; one of another cgroup in pod a's namespace.
others() {
	local before
	before=$(totals)
	same "$DIRECT" "$(reach b)" "another pod"
	same "outside" "$(pod_run a nsenter --net=/run/netns/a-inner -- "$DIAL" "10.78.0.1:80" | who)" \
		"a namespace nested in the pod"
	same "elsewhere" "$(pod_run a nsenter --net="/proc/$$/ns/net" -- "$DIAL" 127.0.0.1:80 | who)" "a namespace that is no pod"
	same "outside" "$(nsenter --net=/run/netns/a -- "$DIAL" "$SVC4:80" | who)" "a process from outside"
	same "$before" "$(totals)" "counters of pod a"
}

pod_make b
outside_start b
app_start b
ip netns add a-inner
ip link add eth0 netns a-inner type veth peer name inner netns a-out
ip -n a-inner -batch - <<-EOF2
	link set lo up
	link set eth0 up
	address add 10.78.0.2/24 dev eth0
EOF2
ip -n a-out -batch - <<-EOF2
	link set inner up
	address add 10.78.0.1/24 dev inner
EOF2
serve "$TMP/elsewhere" "$STUB" elsewhere line:127.0.0.1:80
no_proxy
proxy all proxy "$IN_V4" "$IN_V6" "$OUT_V4" "$OUT_V6"
check "others are not captured and not counted" others
itself() {
	same "proxy proxy" "$(outbound)"
	same "proxy proxy" "$(inbound)"
}
check "the pod itself is" itself
finish
