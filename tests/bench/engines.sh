# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The engines' pods. Each has two that differ in nothing but who listens: in ENGINE only load generators, in
# ENGINE-web the servers of the demo. Sourced after lib.sh and diff/engine.sh.
#
# "direct" has no rules and no programs. Its clients dial the proxy's ports themselves, and its proxy has the
# destination in its configuration, as nobody could tell it.

# shellcheck disable=SC2034 # for data.sh
POD_PINS=/sys/fs/bpf/socktables/pods
BENCH=$TESTS/bench DEMO=$TESTS/demo

# listens NETNS ADDRESS:PORT...
listens() {
	local at netns=$1
	shift
	for at; do
		nsenter --net="/run/netns/$netns" ss -Hlntu | awk -v want="$at" '$5 == want { n++ } END { exit !n }' ||
			return
	done
}

# proxy_config ENGINE: the demo's, without its log
proxy_config() {
	sed '/^ *log/d' "$DEMO/haproxy.cfg" |
		if [[ $1 == direct ]]; then
			sed "s/server wanted 0.0.0.0:0/server wanted $OUT4:80/; s/server app 0.0.0.0:0/server app $POD4:8080/"
		else
			cat
		fi
}

# web_start ENGINE: proxy, DNS agent, app, and a web server outside
web_start() {
	local pod=$1-web dir=$TMP/$1-web side
	for side in app outside; do
		mkdir -p "$dir/$side"
		cp "$DEMO/nginx-$side.conf" "$dir"
	done
	proxy_config "$1" > "$dir/haproxy.cfg"
	sed '/^log-queries/d' "$DEMO/dnsmasq-agent.conf" > "$dir/agent.conf"
	chown -R 1000:1000 "$dir/app"
	spawn "$dir/haproxy.log" pod_run_as "$pod" 1337 haproxy -db -f "$dir/haproxy.cfg"
	spawn "$dir/agent.log" pod_run_as "$pod" 1337 dnsmasq -k -C "$dir/agent.conf"
	spawn "$dir/app.log" pod_run_as "$pod" 1000 nginx -e stderr -p "$dir/app" -c "$dir/nginx-app.conf"
	spawn "$dir/outside.log" out_run "$pod" nginx -e stderr -p "$dir/outside" -c "$dir/nginx-outside.conf"
	if ! wait_for 20 listens "$pod" 0.0.0.0:15001 0.0.0.0:15006 127.0.0.1:15053 0.0.0.0:8080 ||
		! wait_for 20 listens "$pod-out" 0.0.0.0:80; then
		cat "$dir"/*.log >&2
		return 1
	fi
}

# targets ENGINE: where its clients dial. OUT, IN, DNS: who is dialled; TOLD_OUT, TOLD_IN: what the proxy must hear
targets() {
	if [[ $1 == direct ]]; then
		OUT=127.0.0.1:15001 IN=$POD4:15006 DNS=127.0.0.1:15053 WEB=127.0.0.1:15001
		TOLD_OUT=() TOLD_IN=()
	else
		OUT=$SVC4:80 IN=$POD4:8080 DNS=$SVC4:53 WEB=$OUT4:80
		TOLD_OUT=(-o "$OUT") TOLD_IN=(-o "$IN")
	fi
}

# told ENGINE WANT RUN...: a request to the proxy succeeds and tells what the proxy was told
told() {
	local engine=$1 want=$2 got
	shift 2
	got=$("$@" curl -qsS --noproxy '*' --max-time 5 -o /dev/null -w '%{http_code} %header{x-mesh-dst}' "http://$want/")
	[[ $got == "200 $want" ]] && return
	echo "$engine: $want by way of the proxy: '$got'" >&2
	return 1
}

# engine_check ENGINE: what is to be measured does happen: fails otherwise, and says what does not.
# The generators look at what they are told each time; so this is about the real servers.
engine_check() {
	local pod=$1-web answer
	targets "$1"
	told "$1" "$WEB" pod_run_as "$pod" 1000 && told "$1" "$IN" out_run "$pod" || return
	answer=$(pod_run_as "$pod" 1000 dig -r +short +notcp +tries=1 +time=3 "@${DNS%:*}" -p "${DNS#*:}" \
		who.mesh.test TXT)
	[[ $answer == '"agent"' ]] && return
	echo "$1: the DNS agent does not answer: '$answer'" >&2
	return 1
}

# engine_up ENGINE: its two pods are there, redirect and work
engine_up() {
	local pod
	for pod in "$1" "$1-web"; do
		pod_make "$pod" && engine_start "${1/direct/none}" "$pod" || return
	done
	web_start "$1" && engine_check "$1"
}
