#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# trace: every verdict is told once, to everybody who asked for it, as it was; nobody who does not read, or
# was killed, costs traffic anything but events, which are counted.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NEXT=$TEST_BIN/next/socktables
LOAD=$TEST_BIN/e2e_load

# --- tracers --------------------------------------------------------------------------------------

# places: for each place a number, 0 if it is nobody's; listening: the bits that programs look at
places() {
	bpftool -j map dump pinned "$PINS/st_tracing" | jq -r '.[0].formatted.value.v | map(.until) | join(" ")'
}
listening() {
	bpftool -j map dump pinned "$PINS/st_tracing" | jq '.[0].formatted.value.listening'
}
# buffers: how many places have a ring buffer
buffers() {
	bpftool map dump pinned "$PINS/st_tracers" | sed -n 's/^Found \([0-9]*\) elements*$/\1/p'
}

is() {
	[[ $("$2") == "$1" ]]
}

# trace N ARG...: starts a tracer, its output in $TMP/trace.N and .said; returns when it listens
trace() {
	local n=$1 before
	shift
	before=$(buffers)
	start_trace "$n" "$@"
	wait_for 10 listens "$((before + 1))"
}

listens() {
	local bits n=0
	[[ $(buffers) == "$1" ]] || return
	for ((bits = $(listening); bits; bits >>= 1)); do
		n=$((n + (bits & 1)))
	done
	((n == $1))
}

# Its exit takes with it what a failed test leaves.
start_trace() {
	local n=$1
	shift
	trap end_tracers EXIT
	env --default-signal=INT "$ST" trace "$@" > "$TMP/trace.$n" 2> "$TMP/trace.$n.said" &
	TRACER[n]=$!
}
declare -a TRACER=()

end_tracers() {
	local pid
	for pid in "${TRACER[@]}"; do
		kill -TERM "$pid" && kill -CONT "$pid"
		wait_for 2 not test -d "/proc/$pid" || kill -KILL "$pid" || true
	done
} 2> /dev/null

# over N: ends it, as a terminal's ^C does; what it said last is how much it has shown
over() {
	kill -INT "${TRACER[$1]}"
	ended "$1" 0
	has "$(tail -n 1 "$TMP/trace.$1.said")" "^socktables: trace: $(wc -l < "$TMP/trace.$1") events shown, [0-9]+ dropped$"
}

# ended N STATUS: it ends with that status
ended() {
	local status=0
	wait_for 20 not test -d "/proc/${TRACER[$1]}"
	wait "${TRACER[$1]}" || status=$?
	unset "TRACER[$1]"
	same "$2" "$status" "exit status: $(cat "$TMP/trace.$1.said")"
}

# shown N: what tests compare: direction, protocol, process, owner, from, to, what happened
shown() {
	jq -r '[.pod, .direction, .protocol, .process, "\(.uid // "-")/\(.gid // "-")", .source, .destination, .destination_port,
		.verdict, .port, .reason] | map(. // "-") | join(" ")' "$TMP/trace.$1"
}

# tells N LINES...: ends it, and compares what it has shown
tells() {
	local n=$1
	shift
	over "$n"
	diff <(printf '%s\n' "$@") <(shown "$n")
}

# --- what is told ---------------------------------------------------------------------------------

outbound() {
	trace 1 a --json
	dial a "$SVC4:80" "[$SVC6]:80" "[::ffff:$SVC4]:80" "$POD4:15020" "[$POD6]:15020" "$SVC4:15020" > /dev/null
	pod_run_as a 1337 "$DIAL" "$SVC4:80" "[::ffff:$SVC4_2ND]:80" "$POD4:8080" > /dev/null
	over 1
	diff - <(shown 1 | grep ' out ') <<-EOF2
		a out tcp e2e_dial 1000/1000 $POD4 $SVC4 80 redirected 15001 out-captured
		a out tcp e2e_dial 1000/1000 $POD6 $SVC6 80 redirected 15001 out-captured
		a out tcp e2e_dial 1000/1000 $POD4 $SVC4 80 redirected 15001 out-captured
		a out tcp e2e_dial 1000/1000 $POD4 $POD4 15020 passed - out-port-excluded
		a out tcp e2e_dial 1000/1000 $POD6 $POD6 15020 passed - out-port-excluded
		a out tcp e2e_dial 1000/1000 $POD4 $SVC4 15020 passed - out-port-excluded
		a out tcp e2e_dial 1337/1337 $POD4 $SVC4 80 passed - out-proxy
		a out tcp e2e_dial 1337/1337 $POD4 $SVC4_2ND 80 passed - out-proxy
		a out tcp e2e_dial 1337/1337 $POD4 $POD4 8080 redirected 15006 out-proxy-to-self
	EOF2
}

udp() {
	trace 1 a --json
	dial a "dns:$SVC4:53" "sendto:$SVC4:53" "dns:[$SVC6]:53" "sendto:[$SVC6]:53" "dns:[::ffff:$SVC4]:53" > /dev/null
	pod_run_as a 1000 "$BASH" -c "exec 3<> /dev/udp/$SVC4/4500"
	tells 1 "a out udp e2e_dial 1000/1000 $POD4 $SVC4 53 redirected 15053 out-dns" \
		"a out udp e2e_dial 1000/1000 $POD4 $SVC4 53 redirected 15053 out-dns" \
		"a out udp e2e_dial 1000/1000 $POD6 $SVC6 53 redirected 15053 out-dns" \
		"a out udp e2e_dial 1000/1000 $POD6 $SVC6 53 redirected 15053 out-dns" \
		"a out udp e2e_dial 1000/1000 $POD4 $SVC4 53 redirected 15053 out-dns" \
		"a out udp bash 1000/1000 $POD4 $SVC4 4500 passed - out-not-tcp"
}

inbound() {
	trace 1 a --json
	out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" "$POD4:15020" > /dev/null
	dial a "$POD4:8080" > /dev/null
	over 1
	diff - <(shown 1 | grep ' in ') <<-EOF2
		a in tcp - -/- $OUT4 $POD4 8080 redirected 15006 in-captured
		a in tcp - -/- $OUT6 $POD6 8080 redirected 15006 in-captured
		a in tcp - -/- $OUT4 $POD4 15020 passed - in-port-excluded
		a in tcp - -/- $POD4 $POD4 8080 passed - in-local
	EOF2
}

# Of packets the port that they came from is known, of a socket that was bound, too.
source_ports() {
	local from
	trace 1 a --json
	from=$(out_run a "$DIAL" "$POD4:8080" | sed -E 's/.* name=[^ ]*:([0-9]+) .*/\1/')
	dial a -b "$POD4:4711" "$SVC4:80" > /dev/null
	over 1
	same "$from null 4711" "$(jq -r '.source_port' "$TMP/trace.1" | paste -sd ' ' |
		sed "s/^$from 4711$/$from null 4711/")"
}

no_listener() {
	stop "$PROXY"
	trace 1 a --json
	out_run a "$DIAL" "$POD4:8080" "[$POD6]:8080" > "$TMP/said"
	same "ECONNREFUSED ECONNREFUSED" "$(who < "$TMP/said")"
	tells 1 "a in tcp - -/- $OUT4 $POD4 8080 refused - in-no-listener" \
		"a in tcp - -/- $OUT6 $POD6 8080 refused - in-no-listener"
	proxy_start a
}

# Since 6.8 each namespace has a limit of its own of what sockets may remember.
no_memory() {
	nsenter --net=/run/netns/a sh -c 'echo 0 > /proc/sys/net/core/optmem_max' 2> /dev/null ||
		skip_now "kernel: a namespace has no net.core.optmem_max of its own"
	trace 1 a --json
	same EPERM "$(dial a "[$SVC6]:80" | who)"
	nsenter --net=/run/netns/a sh -c 'echo 131072 > /proc/sys/net/core/optmem_max'
	tells 1 "a out tcp e2e_dial 1000/1000 $POD6 $SVC6 80 refused - refused-no-memory"
}

plain() {
	local time='[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}'
	trace 1 a
	dial a "$SVC4:80" "dns:[$SVC6]:53" > /dev/null
	out_run a "$DIAL" "[$POD6]:8080" > /dev/null
	over 1
	has "$(sed -n 1p "$TMP/trace.1")" "^$time a +e2e_dial +[0-9]+ +1000/1000 +out tcp +$POD4 -> $SVC4:80 +redirected:15001 +out-captured$"
	has "$(sed -n 2p "$TMP/trace.1")" "^$time a +e2e_dial +[0-9]+ +1000/1000 +out udp +$POD6 -> \[$SVC6\]:53 +redirected:15053 +out-dns$"
	has "$(sed -n 3p "$TMP/trace.1")" "^$time a +- +- +-/- +in +tcp \[$OUT6\]:[0-9]+ -> \[$POD6\]:8080 +redirected:15006 +in-captured$"
	same 3 "$(wc -l < "$TMP/trace.1")" "lines"
}

# The time is the wall clock's, the pid that of the process: one for all that it does, another's for another.
who_and_when() {
	local before after
	before=$(date -u +%FT%T.%6NZ)
	trace 1 a --json
	dial a "$SVC4:80" "$SVC4:80" > /dev/null
	dial a "$SVC4:80" > /dev/null
	after=$(date -u +%FT%T.%6NZ)
	over 1
	jq -se 'map(.pid) | (.[0] > 0 and .[0] == .[1] and .[1] != .[2])' "$TMP/trace.1"
	jq -se --arg before "$before" --arg after "$after" \
		'map(.time) | . == sort and .[0] > $before and .[2] < $after' "$TMP/trace.1"
}

# A process may call itself anything.
odd_process() {
	trace 1 a
	trace 2 a --json
	# shellcheck disable=SC2016 # for the inner shell
	pod_run_as a 1000 "$BASH" -c 'printf "a b\e[31m\xff" > /proc/$$/comm; exec 3<> /dev/tcp/'"$SVC4/80"
	over 1
	over 2
	has "$(cat "$TMP/trace.1")" ' a_b\\x1b\[31m\\xff +[0-9]+ +1000/1000 '
	same 'a b\x1b[31m\xff' "$(jq -r .process "$TMP/trace.2")"
}

# --- which ----------------------------------------------------------------------------------------

# filtered LINES FLAGS...: of all the same flows it shows so many
filtered() {
	local want=$1
	shift
	trace 1 a --json "$@"
	dial a "$SVC4:80" "[$SVC6]:80" "$SVC4_2ND:80" "$SVC4:8080" "dns:$SVC4:53" > /dev/null
	pod_run_as a 1337 "$DIAL" "$SVC4:80" > /dev/null
	out_run a "$DIAL" "$POD4:8080" > /dev/null
	over 1
	same "$want" "$(wc -l < "$TMP/trace.1")" "events with $*"
	[[ $want == 0 ]] || jq -e "$FITS" "$TMP/trace.1" > /dev/null || { cat "$TMP/trace.1" && return 1; }
}

filters() {
	FITS=true filtered 7
	FITS='.destination == "10.96.0.10"' filtered 4 --dst "$SVC4"
	FITS='.destination | startswith("10.96.0.")' filtered 5 --dst 10.96.0.0/24
	FITS='.destination | contains(":") | not' filtered 6 --dst 0.0.0.0/0
	FITS='.destination == "fd96::a"' filtered 1 --dst fd96::/16
	FITS=true filtered 0 --dst 10.97.0.0/16
	FITS='.destination_port == 80' filtered 4 --port 80
	FITS='.uid == 1337' filtered 1 --uid 1337
	FITS=true filtered 0 --uid 0
	FITS='.reason == "in-captured"' filtered 1 --reason in-captured
	FITS='.reason == "out-captured" and .destination_port == 80 and .uid == 1000' filtered 2 \
		--dst 10.96.0.0/16 --port 80 --uid 1000 --reason out-captured
}

count_ends() {
	trace 1 a --count 3
	dial a -n 5 "$SVC4:80" > /dev/null
	ended 1 0
	same 3 "$(wc -l < "$TMP/trace.1")"
	has "$(cat "$TMP/trace.1.said")" '^socktables: trace: 3 events shown, 0 dropped$'
	same "0 0" "$(listening) $(buffers)" "what is left of it"
}

# Of a pod, or of all: two pods that differ in nothing but their name
of_pods() {
	trace 1 a --json
	trace 2 b --json
	trace 3 --json
	dial a "$SVC4:80" > /dev/null
	dial b "$SVC4:80" > /dev/null || true
	over 1
	over 2
	over 3
	same "a b a b" "$(jq -r .pod "$TMP"/trace.[123] | paste -sd ' ')"
}

# --- tracers come, go and do not read -------------------------------------------------------------

all_places() {
	local i
	for i in 1 2 3 4; do
		trace "$i" a --json
	done
	one_line 1 "trace: tracers: all 4 places are taken" "$ST" trace a
	dial a -n 50 "$SVC4:80" > /dev/null
	for i in 1 2 3 4; do
		over "$i"
		same 50 "$(jq -r .reason "$TMP/trace.$i" | grep -cx out-captured)" "seen by $i"
	done
	same "0 0 0 0 0 0" "$(places) $(listening) $(buffers)" "what is left of them"
}

# total N: shown and dropped, by its last word
total() {
	sed -n 's/.* \([0-9]*\) events shown, \([0-9]*\) dropped$/\1 \2/p' "$TMP/trace.$1.said"
}

# start_trace_to PIPE: tracer 1, without a file of its own
start_trace_to() {
	trap end_tracers EXIT
	env --default-signal=INT "$ST" trace a --reason out-captured > "$1" 2> "$TMP/trace.1.said" 8>&- &
	TRACER[1]=$!
}

# Its output is a pipe that nobody reads: not a connection waits for that. Then somebody does.
unread() {
	local load want=20000 shown lost
	mkfifo "$TMP/pipe"
	exec 8<> "$TMP/pipe"
	start_trace_to "$TMP/pipe"
	wait_for 10 listens 1
	load=$(pod_run_as a 1000 "$LOAD" "$want" ask "$SVC4:80" 8>&-)
	same "$want ok " "$load"
	wait_for 10 grep -q '^socktables: trace: [0-9]* events dropped: ' "$TMP/trace.1.said"
	cat <&8 > "$TMP/trace.1" &
	wait_for 10 settled "$TMP/trace.1"
	over 1
	stop $!
	exec 8>&-
	read -r shown lost < <(total 1)
	echo "shown $shown, dropped $lost"
	((shown > 1000 && lost > 1000))
	same "$want" "$((shown + lost))" "shown and dropped"
}

# settled FILE: it has not grown since the last look
SIZE=0
settled() {
	local size=$SIZE
	SIZE=$(stat -c %s "$1")
	((SIZE > 0 && SIZE == size))
}

# At the end nobody is waited for: what is not read is dropped, and said to be.
unread_at_end() {
	mkfifo "$TMP/pipe2"
	exec 8<> "$TMP/pipe2"
	start_trace_to "$TMP/pipe2"
	wait_for 10 listens 1
	pod_run_as a 1000 "$LOAD" 2000 ask "$SVC4:80" 8>&-
	kill -TERM "${TRACER[1]}"
	ended 1 0
	exec 8>&-
	same 2000 "$(($(total 1 | tr ' ' +)))" "shown and dropped"
}

reader_ends() {
	"$ST" trace a 2> "$TMP/trace.1.said" > >(sleep 0.2) &
	TRACER[1]=$!
	ended 1 0
	same "socktables: trace: 0 events shown, 0 dropped" "$(cat "$TMP/trace.1.said")"
	same "0 0" "$(listening) $(buffers)" "what is left of it"
}

# other_traffic BITS: the next verdict finds that it need not look there any more
other_traffic() {
	dial a "$SVC4:80" && is "$1" listening
}

killed() {
	local ring
	trace 1 a
	ring=$(($(bpftool -j map dump pinned "$PINS/st_tracers" | jq -r '.[0].value | reverse | join("") | gsub("0x"; "") | "0x" + .')))
	has "$(bpftool map show id "$ring")" 'ringbuf .*name st_trace_ring'
	kill -KILL "${TRACER[1]}"
	ended 1 137
	same "1 1" "$(listening) $(buffers)" "right after it"
	wait_for 20 other_traffic 0
	"$ST" status a > /dev/null
	same "0 0 0 0 0 0" "$(places) $(listening) $(buffers)" "after the next command"
	wait_for 10 not bpftool map show id "$ring"
}

# One that was only stopped goes on, and says that it has missed something.
stopped() {
	trace 1 a --json
	kill -STOP "${TRACER[1]}"
	wait_for 20 other_traffic 0
	"$ST" status > /dev/null
	same "0 0 0 0 0" "$(places) $(buffers)" "places"
	: > "$TMP/trace.1"
	kill -CONT "${TRACER[1]}"
	wait_for 10 listens 1
	has "$(cat "$TMP/trace.1.said")" '^socktables: trace: was stopped: events of [0-9]+ seconds are missing$'
	dial a "$SVC4_2ND:80" > /dev/null
	wait_for 10 grep -q "$SVC4_2ND" "$TMP/trace.1"
	kill -INT "${TRACER[1]}"
	ended 1 0
}

upgraded() {
	trace 1 a --json
	"$NEXT" upgrade
	dial a "$SVC4:80" > /dev/null
	out_run a "$DIAL" "$POD4:8080" > /dev/null
	"$ST" upgrade
	dial a "$SVC4:80" > /dev/null
	over 1
	same "out-captured in-captured out-captured" "$(jq -r .reason "$TMP/trace.1" | paste -sd ' ')"
}

detached() {
	trace 1 b
	trace 2
	"$ST" detach b
	ended 1 3
	same "socktables: trace: pod 'b': was detached" "$(tail -n 1 "$TMP/trace.1.said")"
	"$ST" detach a
	ended 2 3
	same "socktables: trace: pods: the last one was detached" "$(tail -n 1 "$TMP/trace.2.said")"
	nothing_left a
	one_line 3 "trace: pod 'a': not attached" "$ST" trace a
	one_line 3 "trace: pods: none is attached" "$ST" trace
	attach a
}

wrong_usage() {
	one_line 3 "trace: pod 'nobody': not attached" "$ST" trace nobody
	one_line 2 "trace: name 'a/b': only letters, digits, '.', '_' and '-' may be used" "$ST" trace a/b
	one_line 2 "trace: argument 'b': not expected" "$ST" trace a b
	one_line 2 "trace: --dst '10.0.0.0/33': the prefix length is not a number from 0 to 32" "$ST" trace --dst 10.0.0.0/33
	one_line 2 "trace: --port '0': not a port: a number from 1 to 65535" "$ST" trace --port 0
	one_line 2 "trace: --uid 'root': not an id: a number from 0 to 4294967294" "$ST" trace --uid root
	one_line 2 "trace: --count '0': not a number from 1 on" "$ST" trace --count 0
	one_line 2 "trace: reason 'bogus': unknown" "$ST" trace --reason bogus
	one_line 2 "trace: reason 'dns-reply': is counted, but is no verdict's" "$ST" trace --reason dns-reply
	same "0 0" "$(listening) $(buffers)" "what is left"
}

pod_make a
pod_make b
outside_start a
outside_start b
proxy_start a
PROXY=$SERVED
agent_start a
app_start a
attach a
attach b
check "outbound connections" outbound
check "UDP" udp
check "inbound connections" inbound
check "source ports" source_ports
check "refused: no listener" no_listener
check "refused: no memory" no_memory
check "plain lines" plain
check "processes and times" who_and_when
check "odd names of processes" odd_process
check "filters" filters
check "--count" count_ends
check "of one pod, or of all" of_pods
check "as many tracers as there are places" all_places
check "20,000 connections and nobody reads" unread
check "nobody reads at the end" unread_at_end
check "its reader ends" reader_ends
check "killed" killed
check "stopped for long" stopped
check "upgrade meanwhile" upgraded
check "detach meanwhile" detached
check "wrong usage" wrong_usage
finish
