#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run: a command's connections reach a local proxy and nobody else's do; its signals and its exit status pass
# through; and however it ends, nothing stays.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

PROXY="$STUB proxy line:0.0.0.0:15001 line:[::]:15001"

# run ARG...: socktables run in the namespace of pod web, whose cgroup is its parent
run() {
	pod_run web "$ST" run "$@"
}

# answers CMD...: its lines about connections, without what the proxy prints
answers() {
	"$@" 2> "$TMP/stderr" | sed '/^ready /d'
}

# nothing: neither pin nor cgroup nor process is left
nothing() {
	[[ -z $(pins) && -z $(find "$CG/web" -mindepth 1 -type d) ]] &&
		! pgrep -f "$PROXY" > /dev/null
}

nothing_stays() {
	wait_for 10 nothing || { pins; find "$CG/web" -mindepth 1 -type d; pgrep -af "$PROXY"; return 1; }
}

captured() {
	local out
	out=$(answers run --proxy "$PROXY" --user 1000 --ipv6=on -- "$DIAL" "$SVC4:80" "[$SVC6]:80" "dns:$SVC4:53")
	same "proxy proxy outside" "$(who <<< "$out")"
	has "$out" "^peer=$SVC4:80 name=$POD4:[0-9]+ proxy .* peer=$POD4:[0-9]+ .* od=$SVC4:80\$"
	has "$out" "^peer=\\[$SVC6\\]:80 .* od=\\[$SVC6\\]:80\$"
	nothing_stays
}

# The proxy is a user of its own, whose connections go where they are sent.
owners() {
	same "1000 1000" "$(answers run --proxy "$PROXY" --user 1000 -- sh -c 'id -u; id -g' | paste -sd ' ')"
	answers run --proxy "id -u >&2; id -g >&2; exec $PROXY" --proxy-user 4711 -- true
	same "4711 4711" "$(paste -sd ' ' "$TMP/stderr")"
	same "outside" "$(answers run --proxy "$DIAL $SVC4:80; exec $PROXY" -- true | who)"
	has "$(answers run --proxy "$PROXY" -- cat /proc/self/cgroup)" '/socktables-run-[0-9]+/command$'
	nothing_stays
}

policy() {
	same "outside proxy" "$(answers run --proxy "$PROXY" -x "$SVC4" -- "$DIAL" "$SVC4:80" "$SVC4_2ND:80" | who)"
	same "outside proxy" "$(answers run --proxy "$PROXY" -o 8080 -- "$DIAL" "$OUT4:8080" "$OUT4:80" | who)"
	same "proxy" "$(answers run --proxy "$PROXY" -- "$DIAL" "$OUT4:15020" | who)"
	same "proxy" "$(answers run --proxy "${PROXY//15001/4001}" -p 4001 -- "$DIAL" "$SVC4:80" | who)"
	serve "$TMP/agent" pod_run_as web 1337 "$STUB" -4 10.0.0.15 agent dns:127.0.0.1:15053
	same "agent" "$(answers run --proxy "$PROXY" --redirect-dns -- "$DIAL" "dns:$SVC4:53" | who)"
	stop "$SERVED"
	nothing_stays
}

# While it runs: who is in the same namespace, and below the same cgroup, but not in its; and who calls.
others() {
	local pid
	serve "$TMP/app" pod_run_as web 1000 "$STUB" app line:0.0.0.0:8080
	run --proxy "$PROXY" -- sleep 60 > "$TMP/run" 2>&1 &
	pid=$!
	wait_for 10 pgrep -x sleep
	same "outside outside" "$(dial web "$SVC4:80" "dns:$SVC4:53" | who)"
	same app "$(out_run web "$DIAL" "$POD4:8080" | who)"
	one_line 1 "run: netns: already attached as pod 'run-$(pgrep -f '^[^ ]*socktables run')'" \
		run --proxy "${PROXY//15001/4001}" -p 4001 -- true
	same "outside" "$(dial web "$SVC4:80" | who)"
	pkill -x sleep
	wait "$pid" || true
	stop "$SERVED"
	nothing_stays
}

exit_status() {
	local status
	for status in 0 1 2 3 77 255; do
		same "$status" "$(status_of run --proxy "$PROXY" -- sh -c "exit $status")"
	done
	same 137 "$(status_of run --proxy "$PROXY" -- sh -c 'kill -KILL $$')"
	same 143 "$(status_of run --proxy "$PROXY" -- sh -c 'kill -TERM $$')"
	same 127 "$(status_of run --proxy "$PROXY" -- /nonexistent)"
	has "$(< "$TMP/output")" "^socktables: run: command '/nonexistent': No such file or directory\$"
	same 126 "$(status_of run --proxy "$PROXY" -- /etc/passwd)"
	nothing_stays
}

# signals: what is sent to run, the command gets
signals() {
	local pid signal status
	for signal in TERM INT HUP QUIT USR1 USR2; do
		: > "$TMP/run" # an earlier one's "waits" is not ours
		env --default-signal=INT,QUIT "$BASH" -c "echo 0 > $CG/web/cgroup.procs
			exec nsenter --net=/run/netns/web -- $ST run --proxy '$PROXY' -- \\
				sh -c 'trap \"echo got $signal; exit 42\" $signal; echo waits; while :; do sleep 0.05; done'" \
			> "$TMP/run" 2>&1 &
		pid=$!
		wait_for 10 grep -q waits "$TMP/run"
		kill "-$signal" "$pid"
		status=0
		wait "$pid" || status=$?
		same 42 "$status" "exit status after $signal"
		grep -qx "got $signal" "$TMP/run"
	done
	nothing_stays
}

# Killed, it takes its command along; the next one clears away the rest.
killed() {
	local pid
	run --proxy "$PROXY" -- sh -c 'sleep 61 & exec sleep 60' > "$TMP/run" 2>&1 &
	wait_for 10 pgrep -f '^sleep 60'
	pid=$(pgrep -f '^[^ ]*socktables run')
	kill -KILL "$pid"
	wait_for 10 not pgrep -f '^sleep 60'
	has "$("$ST" status)" "^run-$pid: "
	same "proxy" "$(answers run --proxy "$PROXY" -- "$DIAL" "$SVC4:80" | who)"
	not pgrep -f '^sleep 61'
	nothing_stays
	mkdir -p "$CG/web/socktables-run-1/command" # killed before it was a pod
	same 0 "$(status_of run --proxy "$PROXY" -- true)"
	nothing_stays
}

# What the command leaves running does not go on without the proxy.
left_running() {
	same 0 "$(status_of run --proxy "$PROXY" -- sh -c 'setsid sleep 62 > /dev/null 2>&1 &')"
	not pgrep -f '^sleep 62'
	# nor direct, in its last moments: all that it reached was the proxy
	cat > "$TMP/dialler" <<-EOF2
		while :; do $DIAL -n 20 $SVC4:80; done >> $TMP/dialled
	EOF2
	same 0 "$(status_of run --proxy "$PROXY" -- sh -c "setsid sh $TMP/dialler & while ! grep -q proxy $TMP/dialled; do sleep 0.05; done")"
	has "$(< "$TMP/dialled")" ' proxy copy'
	not grep -m 3 " outside copy" "$TMP/dialled"
	nothing_stays
	# in cgroups that the command made
	# shellcheck disable=SC2016 # for the inner shell
	same 0 "$(status_of run --proxy "$PROXY" -- sh -c 'at=$(echo '"$CG"'/web/socktables-run-*/command) &&
		mkdir -p "$at/deep/deeper" && { setsid sleep 63 > /dev/null 2>&1 & } && echo $! > "$at/deep/deeper/cgroup.procs"')"
	not pgrep -f '^sleep 63'
	nothing_stays
}

# Anybody can open cgroups' directories, and so have a lock on them: these are none of ours.
locked_by_others() {
	local pid holder
	mkdir -p "$CG/web/socktables-run-1/command" # of one that was killed
	setpriv --reuid 1000 --regid 1000 --clear-groups flock --no-fork "$CG/web" sleep 64 &
	holder=$!
	setpriv --reuid 1000 --regid 1000 --clear-groups flock --no-fork "$CG/web/socktables-run-1" sleep 64 &
	pid=$!
	wait_for 10 grep -q "FLOCK .* $holder " /proc/locks
	wait_for 10 grep -q "FLOCK .* $pid " /proc/locks
	same 0 "$(status_of timeout -s KILL 20 nsenter --net=/run/netns/web "$ST" run --cgroup-parent "$CG/web" --proxy "$PROXY" -- true)"
	not test -d "$CG/web/socktables-run-1"
	stop "$pid" "$holder"
	nothing_stays
}

# Many at once, each of which looks for what is left by others: none is taken for that.
at_once() {
	local i pids=() pid
	for ((i = 0; i < 8; i++)); do
		ip netns add "once$i"
		mkdir -p "$CG/web/socktables-run-$((i + 1))/command"
	done
	for ((i = 0; i < 16; i++)); do
		[[ $i -lt 8 ]] || wait "${pids[i - 8]}"
		timeout -s KILL 60 nsenter --net="/run/netns/once$((i % 8))" \
			"$ST" run --cgroup-parent "$CG/web" --proxy "$PROXY" -- true > "$TMP/once.$i" 2>&1 &
		pids[i]=$!
	done
	for pid in "${pids[@]:8}"; do
		wait "$pid"
	done
	for ((i = 0; i < 8; i++)); do
		ip netns del "once$i"
	done
	nothing_stays
}

# term_is_blocked PID: by socktables run, which has begun: from then on SIGTERM is for it to deal with
term_is_blocked() {
	grep -q socktables "/proc/$1/comm" && grep -qE '^SigBlk:.*[4-7c-f]...$' "/proc/$1/status"
}

# What waits for another run, which clears away a cgroup of its name, can be interrupted.
interrupted() {
	local dir=$CG/web/socktables-run- pid status=0
	# shellcheck disable=SC2016 # for the inner shell
	env --default-signal=INT,QUIT "$BASH" -c 'mkdir "$0$$" && { flock --no-fork "$0$$/cgroup.kill" sleep 65 & } &&
		until grep -q "FLOCK .* $! " /proc/locks; do sleep 0.05; done &&
		exec nsenter --net=/run/netns/web -- "$@"' "$dir" \
		"$ST" run --cgroup-parent "$CG/web" --proxy "$PROXY" -- true > "$TMP/run" 2>&1 &
	pid=$!
	wait_for 10 term_is_blocked "$pid"
	kill -TERM "$pid"
	wait "$pid" || status=$?
	same "1 socktables: run: run: interrupted" "$status $(< "$TMP/run")"
	stop "$(pgrep -f '^sleep 65')"
	rmdir "$dir$pid"
	nothing_stays
}

# As some daemons start their children
child_signal_ignored() {
	trap '' CHLD
	same 7 "$(status_of timeout 20 nsenter --net=/run/netns/web "$ST" run --cgroup-parent "$CG/web" --proxy "$PROXY" -- sh -c 'exit 7')"
	trap - CHLD
	nothing_stays
}

refused() {
	one_line 2 "run: arguments: a COMMAND is needed" run --proxy "$PROXY"
	one_line 2 "run: flag '--proxy': is needed" run -- true
	one_line 2 "run: user 'nobody-at-all': no such user" run --proxy "$PROXY" --user nobody-at-all -- true
	one_line 2 "run: flag '-u, -g': --proxy-user tells who the proxy is" run --proxy "$PROXY" -u 5 -- true
	one_line 2 "run: --proxy-user '1000': must be another user, of another group, than who runs COMMAND" \
		run --proxy "$PROXY" --proxy-user 1000 --user 1000 -- true
	one_line 1 "run: proxy: ended before it listened on port 15001" run --proxy false -- touch "$TMP/ran"
	one_line 1 "run: cgroup '$TMP': not a cgroup" \
		run --cgroup-parent "$TMP" --proxy "$PROXY" -- touch "$TMP/ran"
	one_line 1 "run: cgroup '/nonexistent': No such file or directory" \
		run --cgroup-parent /nonexistent --proxy "$PROXY" -- touch "$TMP/ran"
	serve "$TMP/held" pod_run_as web 1000 "$STUB" app line:127.0.0.1:15001
	one_line 1 "run: port '15001': something listens there before the proxy is started" \
		run --proxy "$PROXY" -- touch "$TMP/ran"
	stop "$SERVED"
	[[ ! -e $TMP/ran ]] || { echo "the command was run" && return 1; }
	nothing_stays
}

haproxy_cfg() {
	cat <<-'EOF2'
		defaults
		    mode tcp
		    timeout connect 5s
		    timeout client 10s
		    timeout server 10s
		frontend local
		    bind 127.0.0.1:15001
		    default_backend wanted
		backend wanted
		    server wanted 0.0.0.0:0
	EOF2
}

# Real proxies, which go where the connection was going
haproxy() {
	needs haproxy haproxy
	chmod 755 "$TMP"
	haproxy_cfg > "$TMP/haproxy.cfg"
	same "outside" "$(answers run --proxy "haproxy -db -f $TMP/haproxy.cfg" --user 1000 -- "$DIAL" "$SVC4:80" | who)"
	has "$(run --proxy "haproxy -db -f $TMP/haproxy.cfg" -- "$DIAL" "$SVC4:80" 2>&1)" "peer=$SVC4:80 name=$POD4:[0-9]+ outside"
	nothing_stays
}

shadowsocks() {
	local key='-k run -m chacha20-ietf-poly1305'
	needs ss-redir shadowsocks-libev
	same "outside" "$(answers run --proxy-user 1337 --user 1000 \
		--proxy "sh -c 'ss-server -s 127.0.0.1 -p 15080 $key & exec ss-redir -s 127.0.0.1 -p 15080 -b 127.0.0.1 -l 15001 $key'" \
		-- "$DIAL" "$SVC4:80" | grep -v INFO | who)"
	nothing_stays
}

# A slice with a service and its proxy, as systemd makes it: both in it, each in a cgroup of its own
in_slice() {
	local part=$1 id=$2
	shift 2
	(
		echo 0 > "$CG/web/slice/$part/cgroup.procs" &&
			exec nsenter --net=/run/netns/web -- setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
	)
}

slice() {
	mkdir -p "$CG/web/slice/app" "$CG/web/slice/proxy"
	"$ST" attach --cgroup "$CG/web/slice" --netns /run/netns/web --force -b '' --redirect-dns=false -u 1337 -g 1337
	serve "$TMP/slice.proxy" in_slice proxy 1337 "$STUB" proxy line:0.0.0.0:15001
	has "$(in_slice app 1000 "$DIAL" "$SVC4:80")" " proxy .* od=$SVC4:80\$"
	same outside "$(in_slice proxy 1337 "$DIAL" "$SVC4:80" | who)"
	same outside "$(dial web "$SVC4:80" | who)"
	"$ST" detach slice
	"$ST" attach --cgroup "$CG/web/slice/app" --netns /run/netns/web --force -b '' --redirect-dns=false
	has "$(in_slice app 1000 "$DIAL" "$SVC4:80")" ' proxy .* od=ENOENT$'
	"$ST" detach app
	stop "$SERVED"
	cgroup_remove "$CG/web/slice"
	nothing_stays
}

pod_make web
outside_start web
check "a command's connections reach the proxy" captured
check "who they are" owners
check "policy flags" policy
check "everybody else is left alone" others
check "exit status" exit_status
check "signals" signals
check "killed with SIGKILL" killed
check "what the command leaves running" left_running
check "locks of others" locked_by_others
check "interrupted while it waits" interrupted
check "many at once" at_once
check "SIGCHLD is ignored by who starts it" child_signal_ignored
check "what is refused" refused
check "a service and its proxy in one slice" slice
check "HAProxy" haproxy
check "ss-redir" shadowsocks
finish
