#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# TPROXY mode needs rules, routes and settings in the pod's namespace: attach and update make them,
# detach takes them away, and what was there before stays.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/tproxy_parts.sh
. "$(dirname "$0")/tproxy_parts.sh"
env_private "$@"

# --- what attach makes in the namespace -----------------------------------------------------------

# environment: rules, routes, settings and addresses of pod a that TPROXY could have to do with
environment() {
	local family
	for family in -4 -6; do
		ip -n a "$family" rule
		ip -n a "$family" route show table all | sed -nE '/table (99|133)/p'
	done
	# shellcheck disable=SC2016 # for the inner shell
	nsenter --net=/run/netns/a "$BASH" -c 'cd /proc/sys/net && grep -H . "$@"' - \
		ipv4/tcp_fwmark_accept ipv4/fwmark_reflect ipv6/fwmark_reflect
	ip -n a -6 -o address show dev lo
}

# setting FILE VALUE: sets what is in /proc/sys/net of the pod
setting() {
	# shellcheck disable=SC2016 # for the inner shell
	nsenter --net=/run/netns/a "$BASH" -c 'echo "$1" > "/proc/sys/net/$0"' "$@"
}

made_and_removed() {
	local before
	before=$(environment)
	attach a -m TPROXY "$@"
	environment > "$TMP/now"
	"$ST" detach a
	diff <(echo "$before") <(environment)
}

tproxy_made() {
	made_and_removed
	same 2 "$(grep -c 'from all fwmark 0x539 lookup 133' "$TMP/now")" "rules"
	same 2 "$(grep -c '^local default dev lo table 133' "$TMP/now")" "routes"
	same 3 "$(grep -cE '^ipv.*:1$' "$TMP/now")" "settings"
	same 1 "$(grep -c 'inet6 ::6/128' "$TMP/now")" "::6"
}

own_mark() {
	made_and_removed -t 42 -r 99
	same 2 "$(grep -c 'from all fwmark 0x2a lookup 99' "$TMP/now")" "rules"
	same 2 "$(grep -c '^local default dev lo table 99' "$TMP/now")" "routes"
	same 0 "$(grep -c 133 "$TMP/now")" "of the default"
}

without_ipv6() {
	local before
	before=$(ip -n a -6 rule)
	made_and_removed --ipv6=off
	same 1 "$(grep -c 'from all fwmark 0x539 lookup 133' "$TMP/now")" "rules"
	same 1 "$(grep -c '^local default dev lo table 133' "$TMP/now")" "routes"
	same "$before" "$(attach a -m TPROXY --ipv6=off && ip -n a -6 rule)"
	same "$(via "$OUT4" "$POD4:8080")" "$(seen a out_run a "$DIAL" "$POD4:8080")"
	has "$(seen a out_run a "$DIAL" "[$POD6]:8080" | tail -n 1)" ' app copy=1'
	"$ST" detach a
}

# there_before UNDO CMD...: CMD makes something in the pod that attach and detach then leave alone; UNDO
# is the command, as one word, that removes it
there_before() {
	local undo=$1 status=0
	shift
	"$@"
	(set -e && made_and_removed) || status=1
	$undo || :
	return "$status"
}

other_mark() {
	tproxy_stop a
	tproxy_start a -m 42
	attach a -m TPROXY -t 42 -r 99
	inbound
	closed_port
	"$ST" detach a
	tproxy_stop a
	tproxy_start a
}

# Without Istio's own route the marked packets would go by whatever other default route the table has.
other_route() {
	local before
	ip -n a route add default dev eth0 table 133
	before=$(environment)
	one_line 1 "attach: table '133': has another default route" attach a -m TPROXY
	same "$before" "$(environment)"
	nothing_left a
	ip -n a route del default dev eth0 table 133
}

pod_make a
parts_start a
check "another default route in the table is refused" other_route

check "-t and -r: a proxy with another mark" other_mark
check "rules, routes, settings and ::6 are made, and removed by detach" tproxy_made
check "-t and -r: another mark and table" own_mark
check "without IPv6 nothing of it, and it is not captured" without_ipv6
for family in -4 -6; do
	check "there before: the rule of IPv${family#-}" there_before \
		"ip -n a $family rule del fwmark 1337 lookup 133" \
		ip -n a $family rule add fwmark 1337 lookup 133
	check "there before: the route of IPv${family#-}" there_before \
		"ip -n a $family route del local default dev lo table 133" \
		ip -n a $family route add local default dev lo table 133
done
check "there before: the rule, in front" there_before \
	"ip -n a rule del pref 100" ip -n a rule add pref 100 fwmark 1337 lookup 133
check "there before: the rule as Istio makes it" there_before \
	"ip -n a rule del fwmark 1337 lookup 133" \
	ip -n a rule add fwmark 1337 lookup 133 protocol 0
check "there before: another rule for the table" there_before \
	"ip -n a rule del fwmark 0x539/0xfff lookup 133" ip -n a rule add fwmark 0x539/0xfff lookup 133
for file in ipv4/tcp_fwmark_accept ipv4/fwmark_reflect ipv6/fwmark_reflect; do
	check "there before: $file" there_before "setting $file 0" setting "$file" 1
done
check "there before: ::6" there_before "ip -n a address del ::6/128 dev lo" \
	ip -n a address add ::6/128 dev lo nodad

# --- update ---------------------------------------------------------------------------------------

# closing PID LOG: closes the listeners of a proxy, whose connections go on
closing() {
	kill -USR1 "$1"
	wait_for 10 grep -q '^closed' "$2"
}

redirect_start() {
	serve "$TMP/a.redirect" pod_run_as a 1337 "$STUB" redirect line:0.0.0.0:15006 'line:[::]:15006'
}

# callers: who answers callers from outside
callers() {
	out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" | who
}

# What TPROXY captures of lo: calls of a proxy that is root to its own pod
to_self() {
	same "tproxy: peer=127.0.0.1:* local=127.0.0.2:8080 od=127.0.0.2:8080" \
		"$(seen a pod_run_as a 0:1337 "$DIAL" 127.0.0.2:8080 | tail -n 1)"
}

to_tproxy() {
	same "redirect redirect" "$(callers)" "before"
	keep redirect4 out_run a "$DIAL" -k "$POD4:8080"
	keep redirect6 out_run a "$DIAL" -k "[$POD6]:8080"
	keep app dial a -k "$SVC4:80"
	"$ST" update a --ipv6=on -m TPROXY
	closing "$SERVED" "$TMP/a.redirect"
	tproxy_start a
	to_self
	inbound
	closed_port
	still redirect4 redirect6 app
	keep tproxy4 out_run a "$DIAL" -k "$POD4:8080"
	keep tproxy6 out_run a "$DIAL" -k "[$POD6]:8080"
}

# refused FLAG...: update does not take it, and changes nothing
refused() {
	local before
	before=$(environment)
	same 1 "$(status_of "$ST" update a --ipv6=on "$@")" "exit status"
	has "$(cat "$TMP/output")" "^socktables: update: flag '${*: -2:1}': cannot change while the pod is attached\$"
	diff <(echo "$before") <(environment)
}

other_mark_refused() {
	refused -m TPROXY -t 42
	refused -m TPROXY -r 99
	refused -m TPROXY -z 15016
	inbound
	still redirect4 redirect6 tproxy4 tproxy6 app
}

to_redirect() {
	"$ST" update a --ipv6=on
	closing "$(sed -n 's/^ready //p' "$TMP/a.tproxy")" "$TMP/a.tproxy"
	redirect_start
	same "redirect redirect" "$(callers)"
	still redirect4 redirect6 app
}

update_undone() {
	"$ST" detach a
	diff <(echo "$BEFORE") <(environment)
	nothing_left a
}

tproxy_stop a
redirect_start
BEFORE=$(environment)
attach a
check "update to TPROXY: new connections follow it, live ones go on" to_tproxy
check "update to another mark, table or port is refused" other_mark_refused
check "update to REDIRECT: new connections follow it" to_redirect
check "update to REDIRECT: connections of the transparent proxy go on" still tproxy4 tproxy6
check "detach takes away what updates made" update_undone
finish
