# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the suites of TPROXY mode share: a pod with a transparent proxy, and what everybody sees of calls
# through it. Sourced, after e2e.sh, by tproxy.sh and tproxy_env.sh.

TPROXY=$TEST_BIN/e2e_tproxy

# --- the parts ------------------------------------------------------------------------------------

# tproxy_start POD [ARG...]: the transparent proxy; Envoy runs as root with the proxy's group then
tproxy_start() {
	local pod=$1
	shift
	serve "$TMP/$pod.tproxy" pod_run_as "$pod" 0:1337 "$TPROXY" "$@" 15006
}

# tproxy_stop POD: ends it with all its connections
tproxy_stop() {
	stop "$(sed -n 's/^ready //p' "$TMP/$1.tproxy")"
}

# listen PORT...: what a stub has to be told to listen on these ports, one a line
listen() {
	local port
	for port; do
		printf '%s\n' "line:0.0.0.0:$port" "line:[::]:$port"
	done
}

# parts_start POD: all but attach: the outside, an app, one that echoes, the proxy with both listeners
parts_start() {
	local ports
	mapfile -t ports < <(listen 1 9 80 8080 15008 15020 65535)
	outside_start "$1"
	serve "$TMP/$1.app" pod_run_as "$1" 1000 "$STUB" app "${ports[@]}"
	serve "$TMP/$1.echo" pod_run_as "$1" 1000 "$TPROXY" -e 0.0.0.0:7 '[::]:7'
	serve "$TMP/$1.proxy" pod_run_as "$1" 1337 "$STUB" proxy line:0.0.0.0:15001 'line:[::]:15001'
	tproxy_start "$1"
}

# --- what is seen ---------------------------------------------------------------------------------

# seen POD CMD...: what CMD prints, then what the transparent proxy told meanwhile; without the ports
# that the kernel chose, and the address by which a proxy was reached on loopback
seen() {
	local log=$TMP/$1.tproxy before
	before=$(wc -l < "$log")
	shift
	{
		"$@"
		tail -n +$((before + 1)) "$log" | sed 's/^/tproxy: /'
	} | sed -E 's/:(3[2-9]|[45][0-9]|60)[0-9]{3}\b/:*/g; s/local=127\.[0-9.]+:15001/local=127.0.0.1:15001/'
}

# via CLIENT SERVER: what is to be seen of a call through the transparent proxy
via() {
	echo "peer=$2 name=$1:* app copy=1 peer=$1:* local=$2 od=$2"
	echo "tproxy: peer=$1:* local=$2 od=$2"
}

# direct CLIENT SERVER: the same of one that does not pass it
direct() {
	via "$@" | head -n 1
}

# reset POD HOST:PORT: a call from outside fails after it was accepted; the proxy could not reach the
# app for this reason
reset() {
	seen "$1" out_run "$1" "$DIAL" "$2" > "$TMP/reset"
	has "$(head -n 1 "$TMP/reset")" 'error=(ECONNRESET|EPIPE|EOF)$'
	same "tproxy: $2: ECONNREFUSED" "$(tail -n 1 "$TMP/reset")"
}

# still NAME...: inside check: these connections get another answer
still() {
	local name before
	for name; do
		before=$(wc -l < "$TMP/$name.out")
		echo again > "$TMP/$name.in"
		wait_for 10 awk -v n="$before" 'END { exit !(NR > n) }' "$TMP/$name.out"
		has "$(tail -n 1 "$TMP/$name.out")" '^[a-z]+ copy='
	done
}

# inbound, closed_port: calls from outside to the app of pod a, inside check
inbound() {
	same "$(via "$OUT4" "$POD4:8080")" "$(seen a out_run a "$DIAL" "$POD4:8080")"
	same "$(via "[$OUT6]" "[$POD6]:8080")" "$(seen a out_run a "$DIAL" "[$POD6]:8080")"
}

closed_port() {
	reset a "$POD4:8081"
	reset a "[$POD6]:8081"
}
