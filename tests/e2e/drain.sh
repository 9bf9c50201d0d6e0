#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# detach --drain: from one moment on nothing new is redirected, what was redirected is answered for
# until it ends or time is up, and then the pod is detached.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# drain ARG...: detach --drain in the background; pid in $DRAINING, what it says in $TMP/drain
drain() {
	"$ST" detach "$@" > "$TMP/drain" 2>&1 &
	DRAINING=$!
}

is_draining() {
	"$ST" status "$1" | grep -q "^$1: draining\$"
}

# drained STATUS TEXT: inside check: it ended so, and said that
drained() {
	local status=0
	wait "$DRAINING" || status=$?
	same "$2" "$(cat "$TMP/drain")" "what it said"
	same "$1" "$status" "exit status"
}

until_they_end() {
	attach a
	keep out4 dial a -k "$SVC4:80"
	keep out6 dial a -k "[$SVC6]:80"
	keep in4 out_run a "$DIAL" -k "$POD4:8080"
	drain a --drain
	wait_for 10 is_draining a
	same "$DIRECT" "$(reach a)" "new ones"
	still proxy out4 out6 in4
	has "$(tail -n 1 "$TMP/out4.out")" " od=$SVC4:80\$"
	has "$(tail -n 1 "$TMP/out6.out")" " od=\[$SVC6\]:80\$"
	hang_up out4
	still proxy out6 in4
	is_draining a
	hang_up out6
	drained 0 ""
	nothing_left a
	still proxy in4
	hang_up in4
}

# established: a redirected connection of pod a is there, as far as its app knows
established() {
	nsenter --net=/run/netns/a ss -Htn state established '( dport = :15001 )' | grep -q .
}

# A connection that is in the backlog of a proxy that does nothing at all when it begins.
not_accepted_yet() {
	attach a
	kill -STOP "$PROXY"
	keep_start late dial a -k "$SVC4:80"
	wait_for 10 established
	drain a --drain
	wait_for 10 is_draining a
	kill -CONT "$PROXY"
	wait_for 10 grep -q "proxy copy=.* od=$SVC4:80\$" "$TMP/late.out"
	hang_up late
	drained 0 ""
	nothing_left a
}

time_is_up() {
	attach a
	keep out4 dial a -k "$SVC4:80"
	drain a --drain=1
	drained 0 "socktables: detach: after 1 s, 1 connection that had not ended lost its original destination"
	nothing_left a
	still proxy out4
	hang_up out4
}

# Whoever keeps a socket for DNS is not waited for longer than an answer takes.
dns_socket() {
	attach a
	keep dns pod_run_as a 1000 "$TEST_BIN/e2e_again" udp "$SVC4:53" "$SVC4:53"
	drain a --drain=600
	drained 0 ""
	nothing_left a
	hang_up dns
}

attached_again() {
	local before
	attach a
	before=$(links a)
	keep out4 dial a -k "$SVC4:80"
	drain a --drain
	wait_for 10 is_draining a
	keep asker pod_run_as a 1000 "$TEST_BIN/e2e_ugly" -u "sendto:$SVC4:53" wait "sendto:$SVC4:53"
	wait_for 10 grep -q '^waiting' "$TMP/asker.out"
	attach a
	echo > "$TMP/asker.in"
	wait_for 10 grep -q 'a=10.0.0.15$' "$TMP/asker.out"
	drained 1 "socktables: detach: pod 'a': was attached again meanwhile"
	same "$before" "$(links a)" "links"
	same "$CAPTURED" "$(reach a)"
	still proxy out4
	hang_up out4
	"$ST" detach a
}

drain_killed() {
	attach a
	keep out4 dial a -k "$SVC4:80"
	drain a --drain
	wait_for 10 is_draining a
	kill -KILL "$DRAINING"
	wait "$DRAINING" || true
	is_draining a
	still proxy out4
	one_line 1 "update: pod 'a': is being detached" "$ST" update a
	drain a --drain
	hang_up out4
	drained 0 ""
	nothing_left a
}

# A socket that is connected anew while the pod drains has nothing left of what it was.
socket_again() {
	attach a
	keep first dial a -k "$SVC4:80" # lest it ends too soon
	keep again pod_run_as a 1000 "$TEST_BIN/e2e_again" tcp "$SVC4:80" "$OUT4:8080"
	drain a --drain
	wait_for 10 is_draining a
	echo > "$TMP/again.in"
	wait_for 10 grep -q "^peer=$OUT4:8080 outside" "$TMP/again.out"
	hang_up first
	drained 0 ""
}

all_pods() {
	attach a
	attach b
	keep out4 dial a -k "$SVC4:80"
	drain --all --drain
	wait_for 10 is_draining a
	wait_for 10 is_draining b
	same "$DIRECT" "$(reach a)"
	hang_up out4
	drained 0 ""
	nothing_left a
	nothing_left b
}

# One is taken back, one comes meanwhile, one is neither; and links without a policy lie about.
all_but_two() {
	local before
	attach a
	attach b
	before=$(links a)
	keep out4 dial a -k "$SVC4:80"
	keep b4 dial b -k "$SVC4:80"
	drain --all --drain
	wait_for 10 is_draining a
	wait_for 10 is_draining b
	attach a
	attach c
	mkdir "$PINS/pods/wreck"
	before+=$'\n'$(links c)
	hang_up b4
	drained 1 "socktables: detach: pod 'a': was attached again meanwhile
socktables: detach: pods: 1 not detached"
	same "a: attached c: attached" "$("$ST" status | grep -E '^[^ ]' | sort | paste -sd ' ')" "pods"
	same "a c" "$(cd "$PINS/pods" && echo *)" "pins"
	same "$before" "$(links a; links c)" "links"
	same "" "$(links b)" "links of the one that was detached"
	same "$CAPTURED" "$(reach a)"
	still proxy out4
	hang_up out4
	"$ST" detach a
	"$ST" detach c
	nothing_left b
}

# meanwhile CMD...: inside check: CMD, while all pods drain, changes nothing about it
meanwhile() {
	attach a
	attach b
	keep out4 dial a -k "$SVC4:80"
	drain --all --drain
	wait_for 10 is_draining a
	"$@"
	hang_up out4
	drained 0 ""
}

none_is_left() {
	meanwhile "$ST" detach b
	nothing_left a
	meanwhile "$ST" detach --all
	nothing_left a
}

one_came() {
	meanwhile attach c
	has "$("$ST" status c)" '^c: attached$'
	"$ST" detach c
	nothing_left a
}

refusals() {
	one_line 2 "detach: --drain '0': not a number of seconds from 1 to 86400" "$ST" detach a --drain=0
	one_line 2 "detach: --drain 'soon': not a number of seconds from 1 to 86400" "$ST" detach a --drain=soon
	one_line 2 "detach: arguments: --stale goes with --all, and not with --drain" "$ST" detach a --stale
	one_line 2 "detach: arguments: --stale goes with --all, and not with --drain" \
		"$ST" detach --all --stale --drain
	one_line 3 "detach: pod 'a': not attached" "$ST" detach a --drain
}

pod_make a
pod_make b
pod_make c
outside_start b
proxy_start b
outside_start a
app_start a
proxy_start a
PROXY=$SERVED
agent_start a
check "live connections are answered for until they end" until_they_end
check "so are those that the proxy has not accepted yet" not_accepted_yet
check "a time limit ends it" time_is_up
check "DNS over UDP is waited for as long as an answer takes" dns_socket
check "a pod that is attached again stays attached" attached_again
check "killed meanwhile: it goes on where it was" drain_killed
check "a socket that is connected again meanwhile" socket_again
check "all pods at once" all_pods
check "all pods: those that are attached again or meanwhile stay attached" all_but_two
check "all pods: one is attached meanwhile" one_came
check "all pods: somebody else detaches them meanwhile" none_is_left
check "what is refused" refusals
finish
