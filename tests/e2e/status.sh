#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What `status` says of pods that work and of pods that are broken on purpose: one word, and the cause
# by name. And what it looks like on a terminal and elsewhere.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

HOLDER=$TEST_BIN/e2e_holder
ESC=$'\e'

# health POD: in one word
health() {
	"$ST" status "$1" --json | jq -r '.[0].health'
}

# codes POD: what was found, without notes
codes() {
	"$ST" status "$1" --json | jq -r '[.[0].findings[] | select(.severity != "note").code] | unique | join(" ")'
}

# notes POD: their texts
notes() {
	"$ST" status "$1" --json | jq -r '.[0].findings[] | select(.severity == "note").text'
}

# becomes POD HEALTH: inside check: waits for it
becomes() {
	wait_for 20 is_now "$@"
}

is_now() {
	[[ $(health "$1") == "$2" ]]
}

# is POD HEALTH CODES: inside check: just that, in the exit status of --check, too
is() {
	same "$2: $3" "$(health "$1"): $(codes "$1")" "health of $1"
	same "$([[ $2 == ok ]] && echo 0 || echo 1)" "$(status_of "$ST" status "$1" --check)" "exit status of --check"
	has "$("$ST" status "$1")" "^  health     $2\$"
	same 0 "$(status_of "$ST" status "$1")" "exit status without --check"
}

# says POD TEXT: inside check: there is a warning that has TEXT in it
says() {
	"$ST" status "$1" | grep -F "  warning    " | grep -qF -- "$2" && return
	"$ST" status "$1"
	echo "no warning has: $2"
	return 1
}

# whole: pod a with all that belongs to it, attached
whole() {
	pod_make a
	outside_start a
	app_start a
	OUTSIDE=$SERVED
	proxy_start a
	PROXY=$SERVED
	agent_start a
	AGENT=$SERVED
	attach a
}

# broken NAME CMD...: a check on a fresh pod a that works
broken() {
	whole
	check "$@"
	"$ST" detach --all
	pod_drop a
}

# --- one that works ---------------------------------------------------------------------------------

works() {
	is a ok ''
	same "" "$(notes a)" "notes"
	same "$CAPTURED" "$(reach a)"
	same "13 13 13" "$("$ST" status a --json | jq -r '.[0].links | "\(.attached) \(.expected) \(.effective)"')"
	same "/run/netns/a" "$("$ST" status a --json | jq -r '.[0].netns')"
	same "tcp 15001 1337 tcp 15006 1337 tcp 15053 1337 udp 15053 1337" "$("$ST" status a --json |
		jq -r '[.[0].listening[] | "\(.protocol) \(.port) \(.uid)"] | unique | join(" ")')"
	has "$("$ST" status a)" '^  listeners  2 for inbound; .*TCP 15001: 2.*UDP 15053: 2'
	one_line 2 "status: flags: --check looks once, --watch again and again" "$ST" status --check --watch
	same 3 "$(status_of "$ST" status nobody --check)"
}

in_words() {
	local out
	printf '%s\n' 10.{1..12}.0.0/16 10.1.2.0/24 > "$TMP/cidrs"
	"$ST" update a --ipv6=on -i "@$TMP/cidrs" -x 10.1.2.0/25 -q 3306 -o 15020,9999 -b 80,8080 -c eth0 \
		-u 1337,1338 --outbound-owner-groups 2000 --capture-all-dns=false --dns-servers "$SVC4,$SVC6"
	out=$("$ST" status a)
	has "$out" '^  outbound   TCP to 10\.1\.0\.0/16, .* and 4 more, and to ports 3306 -> 15001$'
	has "$out" '^             not ports 9999, 15020$'
	has "$out" '^             not to 10\.1\.2\.0/25$'
	has "$out" '^             not by or from interfaces eth0$'
	has "$out" '^             only of groups 2000$'
	has "$out" '^  inbound    TCP ports 80, 8080 -> 15006$'
	has "$out" "^  DNS        port 53 of $SVC4, $SVC6 -> 15053"
	has "$out" '^  proxy      uid 1337, 1338; gid 1337$'
	same '12 ["10.1.0.0/16","10.2.0.0/16"]' \
		"$("$ST" status a --json | jq -rc '.[0].policy.lists.outbound_cidrs | "\(.count) \(.first[:2])"')"
	"$ST" update a --ipv6=off -i '' -b '' --redirect-dns=false
	out=$("$ST" status a)
	has "$out" '^  outbound   not captured$'
	has "$out" '^  inbound    not captured$'
	has "$out" '^  DNS        not captured$'
	stop "$PROXY" "$AGENT"
	is a ok ''	# nobody needs them
	"$ST" update a --ipv6=off -m TPROXY -t 77 -r 78
	has "$("$ST" status a)" '^  inbound    all TCP -> 15006, TPROXY: mark 77, table 78$'
}

broken "a pod that works is ok" works
broken "its policy in words" in_words

# --- the proxy and its agent ------------------------------------------------------------------------

proxy_down() {
	stop "$PROXY"
	is a broken 'inbound-down outbound-down'
	says a 'nothing listens on port 15006: inbound connections are refused'
	says a 'nothing listens on TCP port 15001: outbound connections are refused'
	serve "$TMP/half" pod_run_as a 1337 "$STUB" proxy line:0.0.0.0:15001 line:0.0.0.0:15006
	is a degraded 'inbound-down outbound-down'
	says a 'nothing listens on TCP port 15001 by IPv6: '
	stop "$SERVED"
	serve "$TMP/dual" pod_run_as a 1337 "$STUB" proxy 'line:*:15001' 'line:*:15006'
	is a ok ''
	stop "$SERVED"
	serve "$TMP/elsewhere" pod_run_as a 1337 "$STUB" proxy "line:$POD4:15001" 'line:*:15006'
	is a broken outbound-down
	says a 'nothing listens on TCP port 15001 of loopback, though there are sockets of that port: outbound'
}

agent_dead() {
	stop "$AGENT"
	is a broken dns-down
	says a 'nothing listens on UDP port 15053: DNS queries are refused'
	same "proxy proxy ECONNREFUSED ECONNREFUSED proxy proxy" "$(reach a)"
	agent_start a
	is a ok ''
}

wrong_uid() {
	local pid
	stop "$PROXY"
	serve "$TMP/proxy1000" pod_run_as a 1000 "$STUB" proxy 'line:*:15001' 'line:*:15006'
	is a broken wrong-owner
	says a "what listens on port 15001 is no proxy to the policy (uid 1337, gid 1337), but process $SERVED (e2e_stub) of $(
		)uid 1000, gid 1000: what it sends is captured, too"
	stop "$SERVED"
	serve "$TMP/proxy0" pod_run_as a 0:1337 "$STUB" proxy 'line:*:15001' 'line:*:15006'
	is a ok ''	# by its group
	attach a	# registers again what is there
	has "$("$ST" status a)" '^  listeners  1 for inbound'
	stop "$SERVED"
	serve "$TMP/proxy1338" pod_run_as a 1338 "$STUB" proxy 'line:*:15001' 'line:*:15006'
	is a broken wrong-owner
	attach a -u 1337,1338
	is a ok ''
	pid=$SERVED
	serve "$TMP/agent1000" pod_run_as a 1000 "$STUB" agent 'dns:127.0.0.2:15053'
	is a broken wrong-owner
	stop "$SERVED" "$pid"
}

# proxy_outside: in the pod's namespace, but in the cgroup of these tests
proxy_outside() {
	stop "$PROXY"
	serve "$TMP/outside" nsenter --net=/run/netns/a -- \
		setpriv --reuid 1337 --regid 1337 --clear-groups -- "$STUB" proxy 'line:*:15001' 'line:*:15006'
	is a broken 'inbound-unknown outside-cgroup'
	says a "what listens on port 15001 was made in another cgroup, $(cgroup2_root)"
	says a 'what listens on port 15006 was never registered: '
	stop "$SERVED"
}

broken "the proxy is down, or a part of it" proxy_down
broken "the DNS agent is dead" agent_dead
broken "the proxy is of another user" wrong_uid
broken "the proxy was started outside of the pod's cgroup" proxy_outside

# --- the pod ----------------------------------------------------------------------------------------

address_changed() {
	ip -n a address add 10.77.0.55/24 dev eth0
	is a degraded addresses-changed
	says a "its addresses, routes or interfaces have changed, 10.77.0.55 is new: 'socktables update' or 'agent' looks again"
	"$ST" agent --once
	is a ok ''
	ip -n a address del ::6/128 dev lo
	has "$(codes a)" env-missing
	says a '::6 is missing on lo'
	"$ST" update a --ipv6=on
	is a ok ''
}

cgroup_gone() {
	wait_for 5 cgroup_kill "$CG/a"
	cgroup_remove "$CG/a"
	becomes a stale
	is a stale stale
	says a "its cgroup is gone: 'socktables detach --all --stale' clears all such pods away"
	mkdir "$CG/a"	# of the same name, but another
	is a stale stale
}

namespace_gone() {
	stop "$OUTSIDE" "$PROXY" "$AGENT"
	wait_for 5 cgroup_kill "$CG/a"
	ip netns del a
	becomes a stale
	is a stale stale
	says a 'its network namespace is gone'
	ip netns add a
}

draining() {
	keep live dial a -k "$SVC4:80"
	"$ST" detach a --drain=60 2> /dev/null &
	becomes a draining
	is a draining draining
	hang_up live
	wait $!
	same 3 "$(status_of "$ST" status a --check)"
	attach a
}

istio_rules() {
	local kind names=/proc/thread-self/net/ip_tables_names
	for kind in nft legacy; do
		[[ $kind != nft ]] || nsenter --net=/run/netns/a -- "iptables-$kind" -t nat -N OTHER
		is a ok ''
		nsenter --net=/run/netns/a -- "iptables-$kind" -t nat -N ISTIO_OUTPUT
		is a degraded istio-rules
		nsenter --net=/run/netns/a -- "iptables-$kind" -t nat -X ISTIO_OUTPUT
		is a ok ''
	done
	nsenter --net=/run/netns/a -- ip6tables-legacy -t mangle -N ISTIO_INBOUND
	says a "Istio's own rules are still there (iptables-legacy)"
	nsenter --net=/run/netns/a -- ip6tables-legacy -t mangle -X ISTIO_INBOUND
	is a ok ''
	# To look makes no table where there is none.
	pod_make b
	attach b
	"$ST" status > /dev/null
	same "" "$(nsenter --net=/run/netns/b -- cat "$names")" "tables"
	"$ST" detach b
	pod_drop b
}

broken "an address has changed since, ::6 is missing" address_changed
broken "the cgroup is gone" cgroup_gone
broken "the namespace is gone" namespace_gone
broken "it is being drained" draining
broken "Istio's own rules are still there" istio_rules

# That is told when they are given: a policy does not keep what has no effect.
no_effect() {
	attach a --dns-servers "$SVC4" 2> "$TMP/stderr"
	same "socktables: attach: flag '--dns-servers': of no effect, as DNS to any address is captured" "$(head -n 1 "$TMP/stderr")"
	"$ST" update a --ipv6=on --resolv-conf /dev/null 2> "$TMP/stderr"
	has "$(cat "$TMP/stderr")" "^socktables: update: flag '--resolv-conf': of no effect"
	"$ST" update a --ipv6=on --capture-all-dns=false --dns-servers "$SVC4" 2> "$TMP/stderr"
	same "" "$(cat "$TMP/stderr")"
	is a ok ''
}

broken "nameservers that have no effect" no_effect

# --- hooks ------------------------------------------------------------------------------------------

link_taken() {
	local pin=$PINS/pods/a/st_connect4 id
	bpftool link detach pinned "$pin"
	is a broken 'incomplete link-detached'
	says a 'st_connect4: somebody detached its link; attach it again'
	same 12 "$("$ST" status a --json | jq '.[0].links.effective')"
	attach a
	is a ok ''
	bpftool link detach pinned "$pin"
	"$HOLDER" "$CG/a" exclusive
	id=$(bpftool -j cgroup show "$CG/a" | jq '.[] | select(.name == "holder").id')
	is a broken 'hook-held incomplete link-detached'
	says a "hook 'cgroup/connect4': held exclusively by program $id (holder) on cgroup $CG/a"
	same 1 "$(status_of attach a)"
	bpftool cgroup detach "$CG/a" connect4 id "$id"
	attach a
	is a ok ''
	rm "$pin"
	is a broken 'incomplete link-missing'
	says a 'st_connect4: its link is missing; attach it again'
	bpftool link detach pinned "$PINS/pods/a/st_inbound"
	says a 'st_inbound: somebody detached its link; attach it again'
	attach a
	is a ok ''
}

program_replaced() {
	"$HOLDER" "$PINS/pods/a/st_connect4" replace
	same outside "$(dial a "$SVC4:80" | who)"	# this is what is broken
	is a broken program-replaced
	says a 'st_connect4: somebody put another program into its link'
}

# The parent's own cgroup is between the pod's and the tests', so that nobody else sees its program.
neighbours() {
	local how id
	mkdir -p "$CG/parent/pod"
	for how in multi exclusive; do
		"$ST" attach --cgroup "$CG/parent/pod" --netns /run/netns/b --name b
		"$HOLDER" "$CG/parent" "$how"
		id=$(bpftool -j cgroup show "$CG/parent" | jq '.[0].id')
		if [[ $how == multi ]]; then
			has "$(notes b)" "^program $id \(holder\) runs there, too: cgroup/connect4, after ours\$"
			not grep -q hook-held <<< "$(codes b)"
		else
			has "$(codes b)" hook-held	# it is off in the pod
			same "" "$(notes b)"
		fi
		"$ST" detach b
		bpftool cgroup detach "$CG/parent" connect4 id "$id"
	done
}

with_neighbours() {
	pod_make b
	neighbours
	cgroup_remove "$CG/parent"
	pod_drop b
}

broken "a link was detached, taken, removed" link_taken
broken "another program is in our link" program_replaced
broken "other programs in the hierarchy" with_neighbours

# --- what may not be looked at ----------------------------------------------------------------------

# with CAPS ARG...: the command with these capabilities alone
with() {
	setpriv --bounding-set "-all,$1" --inh-caps=-all -- "$ST" "${@:2}"
}

unprivileged() {
	stop "$PROXY" "$AGENT"
	has "$(with +bpf status a)" 'note +not looked into: network namespace of the pod: Permission denied|note +not looked into'
	has "$(with +bpf status a)" 'note +not looked at: whether the kernel runs each program'
	same null "$(with +bpf status a --json | jq '.[0].links.effective')"
	same null "$(with +bpf status a --json | jq '.[0].listening')"
	same "inbound-down" "$(with +bpf status a --json |
		jq -r '[.[0].findings[] | select(.severity != "note").code] | join(" ")')"	# the map tells
}

broken "without the capabilities to look, it does not guess" unprivileged

# --- on a terminal, and elsewhere -------------------------------------------------------------------

# on_terminal ARG...: what the command writes on a terminal of 24 lines of 80 columns
on_terminal() {
	script -qec "stty cols 80 rows 24; ${*@Q}" /dev/null < /dev/null | tr -d '\r'
}

colours() {
	stop "$PROXY"
	export TERM=xterm
	unset NO_COLOR
	not grep -q "$ESC" <<< "$("$ST" status a)" || { echo "escapes in a pipe" && return 1; }
	has "$(on_terminal "$ST" status a)" "^  health     $ESC\[1;31mbroken$ESC\[m\$"
	has "$(on_terminal "$ST" status a)" "^${ESC}\[1ma$ESC\[m: attached\$"
	has "$(NO_COLOR='' on_terminal "$ST" status a)" "$ESC\["	# empty is not set
	not grep -q "$ESC" <<< "$(NO_COLOR=1 on_terminal "$ST" status a)" || { echo "NO_COLOR" && return 1; }
	has "$(NO_COLOR=1 on_terminal "$ST" status a)" "^  health     broken\$"
	not grep -q "$ESC" <<< "$(TERM=dumb on_terminal "$ST" status a)" || { echo "TERM=dumb" && return 1; }
	not grep -q "$ESC" <<< "$(TERM='' on_terminal "$ST" status a)" || { echo "no TERM" && return 1; }
}

# The longest line of a pod without an agent is longer than a narrow terminal.
width() {
	stop "$PROXY" "$AGENT"
	same "" "$(NO_COLOR=1 on_terminal "$ST" status a | grep '^  warning' | awk 'length > 80')" "too wide"
	script -qec "stty cols 50 rows 24; NO_COLOR=1 '$ST' status a" /dev/null < /dev/null | tr -d '\r' > "$TMP/narrow"
	same "" "$(grep -A 1 'warning' "$TMP/narrow" | awk 'length > 50')" "too wide"
	has "$(grep -A 1 'warning .* 15006' "$TMP/narrow")" '^             [a-z]'	# goes on below the text
	has "$("$ST" status a)" '^  warning    nothing listens on port 15006: inbound connections are refused$'
}

# shown LOG COUNT: so many pictures are in it
shown() {
	(($(grep -c "a.*: attached" "$1") >= $2))
}

# interrupted LOG COUNT CMD...: CMD in the background until LOG has COUNT lines "a: attached", then
# Ctrl-C; its exit status is that of this function
interrupted() {
	local log=$1 count=$2 pid
	shift 2
	env --default-signal=INT "$@" > "$log" 2>&1 &
	pid=$!
	wait_for 20 shown "$log" "$count"
	kill -INT "$pid"
	wait "$pid"
}

watched() {
	interrupted "$TMP/watch" 3 "$ST" status a --watch=1
	not grep -q "$ESC" "$TMP/watch" || { echo "escapes in a file" && return 1; }
	has "$(head -n 1 "$TMP/watch")" '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}$'
	same 0 "$(status_of interrupted "$TMP/all" 2 "$ST" status --watch=1)"
	env --default-signal=INT timeout --preserve-status -s INT 3 "$ST" status --watch=1 --json > "$TMP/lines"
	same true "$(jq -s 'length >= 2 and all(.[]; .[0].name == "a")' "$TMP/lines")" "one JSON value a line"
	same "$(wc -l < "$TMP/lines")" "$(jq -s length "$TMP/lines")" "lines"
	one_line 2 "status: --watch '0': not a number of seconds from 1 to 86400" "$ST" status --watch=0
	one_line 3 "status: pod 'nobody': not attached" "$ST" status nobody --watch
}

redrawn() {
	export TERM=xterm
	on_terminal env --default-signal=INT timeout --foreground --preserve-status -s INT 3 \
		"$ST" status a --watch=1 > "$TMP/screen"
	grep -q "^$ESC\[2J$ESC\[H" "$TMP/screen"
	(($(grep -c "$ESC\[H" "$TMP/screen") >= 2)) || { cat -v "$TMP/screen" && return 1; }
	has "$(cat "$TMP/screen")" "$ESC\[K"
}

watched_until_detached() {
	local pid status=0
	"$ST" status a --watch=1 > "$TMP/watch" 2> "$TMP/stderr" &
	pid=$!
	wait_for 10 grep -q attached "$TMP/watch"
	"$ST" detach a
	wait "$pid" || status=$?
	same 3 "$status"
	same "socktables: status: pod 'a': not attached" "$(cat "$TMP/stderr")"
}

broken "colours on a terminal alone, and not with NO_COLOR or TERM=dumb" colours
broken "long lines are broken on a terminal alone" width
broken "--watch appends, and ends at Ctrl-C with 0" watched
broken "--watch draws over the last picture on a terminal" redrawn
broken "--watch of a pod ends when it is detached" watched_until_detached

finish
