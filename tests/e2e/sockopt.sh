#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# getsockopt: SO_ORIGINAL_DST answers every kind of socket, level and length as nf_conntrack does,
# which is asked the same questions in a pod with iptables' rules; every other option, and iptables
# itself, get what they would get without us.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
env_private "$@"

SOCKOPT=$TEST_BIN/e2e_sockopt
POD=''	# whom the questions go to: st (attached), ipt (with iptables' rules)

# --- what is expected -----------------------------------------------------------------------------

# want WHO LEVEL SIZE ANSWER: for every length: EINVAL below SIZE bytes, else an address or an errno.
# Ours says how long the address is, nf_conntrack leaves the length as it was asked.
want() {
	local len told
	for len in 15 16 20 28 112 128 4096 8192 65536; do
		told=$3
		[[ $POD == st ]] || told=$len
		if ((len < $3)); then
			echo "$1 $2 $len EINVAL"
		elif [[ $4 == E* ]]; then
			echo "$1 $2 $len $4"
		else
			echo "$1 $2 $len $4 length=$told"
		fi
	done
}

# want4, want_mapped, want6 WHO ADDRESS|ERRNO: an AF_INET socket, an AF_INET6 one with IPv4, with IPv6
want4() {
	want "$1" ip 16 "$2"
	want "$1" ipv6 0 EOPNOTSUPP
}

want_mapped() {
	want "$1" ip 16 "$2"
	want "$1" ipv6 28 ENOENT
}

want6() {
	want "$1" ip 16 ENOENT
	want "$1" ipv6 28 "$2"
}

# answers WANT GOT: inside check: the two texts are equal, or the lines that differ are shown
answers() {
	diff <(echo "$1") <(echo "$2") > "$TMP/differ" && return
	echo "(< wanted, > got) $(grep -m 1 length= <<< "$1")"
	head -n 20 "$TMP/differ"
	return 1
}

# --- the original destination ---------------------------------------------------------------------

# app, proxy, outsider WHO...: dials as such; prints the lines of these sides of the connection
app() {
	pod_run_as "$POD" 1000 "$SOCKOPT" dial "$2" | grep -E "^($1) "
}

proxy() {
	pod_run_as "$POD" 1337 "$SOCKOPT" dial "$2" | grep -E "^($1) "
}

outsider() {
	out_run "$POD" "$SOCKOPT" dial "$2" | grep -E "^($1) "
}

BOTH='client|accepted'

# servers PROXY-LISTENER...: everything that accepts in the pod
servers() {
	serve "$TMP/$POD.app" pod_run_as "$POD" 1000 "$SOCKOPT" serve 0.0.0.0:8080 '[::]:8080' \
		0.0.0.0:15020 '[::]:15020'
	serve "$TMP/$POD.outside" out_run "$POD" "$SOCKOPT" serve 0.0.0.0:15020 '[::]:15020'
	serve "$TMP/$POD.proxy" pod_run_as "$POD" 1337 "$SOCKOPT" serve "$@"
}

outbound() {
	answers "$(want4 client "$SVC4:80"; want4 accepted "$SVC4:80")" "$(app "$BOTH" "$SVC4:80")"
	answers "$(want6 client "[$SVC6]:80"; want6 accepted "[$SVC6]:80")" "$(app "$BOTH" "[$SVC6]:80")"
	answers "$(want_mapped client "$SVC4:80"; want4 accepted "$SVC4:80")" \
		"$(app "$BOTH" "[::ffff:$SVC4]:80")"
	answers "$(want4 client "$SVC4:53"; want4 accepted "$SVC4:53")" "$(app "$BOTH" "$SVC4:53")"
	answers "$(want6 client "[$SVC6]:53"; want6 accepted "[$SVC6]:53")" "$(app "$BOTH" "[$SVC6]:53")"
}

inbound() {
	answers "$(want4 accepted "$POD4:8080")" "$(outsider accepted "$POD4:8080")"
	answers "$(want6 accepted "[$POD6]:8080")" "$(outsider accepted "[$POD6]:8080")"
}

self_call() {
	answers "$(want4 client "$POD4:8080"; want4 accepted "$POD4:8080")" "$(proxy "$BOTH" "$POD4:8080")"
	answers "$(want6 client "[$POD6]:8080"; want6 accepted "[$POD6]:8080")" \
		"$(proxy "$BOTH" "[$POD6]:8080")"
	answers "$(want_mapped client "$POD4:8080"; want4 accepted "$POD4:8080")" \
		"$(proxy "$BOTH" "[::ffff:$POD4]:8080")"
}

direct() {
	answers "$(want4 client "$SVC4:15020")" "$(app client "$SVC4:15020")"
	answers "$(want6 client "[$SVC6]:15020")" "$(app client "[$SVC6]:15020")"
	answers "$(want_mapped client "$SVC4:15020")" "$(app client "[::ffff:$SVC4]:15020")"
	answers "$(want4 accepted "$POD4:15020")" "$(outsider accepted "$POD4:15020")"
	answers "$(want6 accepted "[$POD6]:15020")" "$(outsider accepted "[$POD6]:15020")"
	answers "$(want4 client "$POD4:8080"; want4 accepted "$POD4:8080")" "$(app "$BOTH" "$POD4:8080")"
	answers "$(want4 client 127.0.0.1:8080; want4 accepted 127.0.0.1:8080)" \
		"$(app "$BOTH" 127.0.0.1:8080)"
	answers "$(want6 client '[::1]:8080'; want6 accepted '[::1]:8080')" "$(app "$BOTH" '[::1]:8080')"
}

# gone N WANT RUN...: what the proxy is told of the Nth connection that is reset before it asks
gone() {
	local nth=$1 want=$2
	shift 2
	"$@"
	wait_for 10 grep -qx "done $nth" "$TMP/$POD.proxy"
	answers "$want" "$(grep ^reset "$TMP/$POD.proxy" | tail -n 18)"
}

no_connection() {
	answers "$(want4 listener4 ENOENT; want6 listener6 ENOENT; want6 dual ENOENT
		want4 new4 ENOENT; want6 new6 ENOENT
		for who in udp4 udp6 udp4connected udp6connected; do
			want "$who" ip 0 ENOPROTOOPT
			if [[ $who == *4* ]]; then want "$who" ipv6 0 EOPNOTSUPP; else want "$who" ipv6 0 ENOPROTOOPT; fi
		done)" "$(pod_run_as "$POD" 1000 "$SOCKOPT" states)"
}

dual_stack() {
	stop "$SERVED"
	serve "$TMP/$POD.proxy" pod_run_as "$POD" 1337 "$SOCKOPT" serve '*:15001' '*:15006'
	answers "$(want_mapped accepted "$SVC4:80")" "$(app accepted "$SVC4:80")"
	answers "$(want_mapped accepted "$SVC4:80")" "$(app accepted "[::ffff:$SVC4]:80")"
	answers "$(want6 accepted "[$SVC6]:80")" "$(app accepted "[$SVC6]:80")"
	answers "$(want_mapped accepted "$POD4:8080")" "$(outsider accepted "$POD4:8080")"
	answers "$(want6 accepted "[$POD6]:8080")" "$(outsider accepted "[$POD6]:8080")"
	answers "$(want_mapped accepted "$POD4:8080")" "$(proxy accepted "$POD4:8080")"
}

# ask_pod POD WHOSE: all questions to one pod
ask_pod() {
	POD=$1
	servers 0.0.0.0:15001 '[::]:15001' 0.0.0.0:15006 '[::]:15006' 127.0.0.1:15053 '[::1]:15053'
	check "$2: outbound, both ends" outbound
	check "$2: inbound" inbound
	check "$2: a self-call, both ends" self_call
	check "$2: direct connections, both ends" direct
	check "$2: outbound, reset before it is asked, v4" gone 1 "$(want4 reset "$SVC4:80")" \
		pod_run_as "$POD" 1000 "$SOCKOPT" reset "$SVC4:80"
	check "$2: outbound, reset before it is asked, v6" gone 2 "$(want6 reset "[$SVC6]:80")" \
		pod_run_as "$POD" 1000 "$SOCKOPT" reset "[$SVC6]:80"
	check "$2: inbound, reset before it is asked, v4" gone 3 "$(want4 reset "$POD4:8080")" \
		out_run "$POD" "$SOCKOPT" reset "$POD4:8080"
	check "$2: inbound, reset before it is asked, v6" gone 4 "$(want6 reset "[$POD6]:8080")" \
		out_run "$POD" "$SOCKOPT" reset "[$POD6]:8080"
	check "$2: listeners, unconnected sockets, UDP" no_connection
	check "$2: a dual-stack proxy" dual_stack
}

pod_make st
attach st
ask_pod st "original destination"
if why=$(engine_missing iptables-legacy); then
	skip "nf_conntrack's answers" "$why"
else
	pod_make ipt
	iptables_start ipt legacy
	ask_pod ipt "nf_conntrack says the same"
	pod_drop ipt
fi

# --- everything else ------------------------------------------------------------------------------

# options UID: the same questions in a pod that is attached and in one that is not
options() {
	pod_run_as plain "$1" "$SOCKOPT" options > "$TMP/plain"
	pod_run_as st "$1" "$SOCKOPT" options > "$TMP/attached"
	diff "$TMP/plain" "$TMP/attached" > "$TMP/differ" || {
		echo "(< not attached, > attached)"
		head -n 20 "$TMP/differ"
		return 1
	}
	has "$(wc -l < "$TMP/plain")" '^[0-9]{4}$'
	has "$(cat "$TMP/plain")" '^failed4 1:SO_ERROR 4/4 ok 4 [0-9a-f]+ 6f000000$'
}

# A table of some pages is read by one getsockopt() with a buffer of that size.
big_buffers() {
	local family rules
	rules=$(printf -- '-A OUTPUT -p tcp -m tcp --dport %d -j ACCEPT\n' {1..400})
	for family in iptables ip6tables; do
		printf '*filter\n%s\nCOMMIT\n' "$rules" |
			nsenter --net=/run/netns/st "$family-legacy-restore"
		nsenter --net=/run/netns/st "$family-legacy-save" -t filter | grep -v '^#' > "$TMP/without"
		pod_run st "$family-legacy-save" -t filter | grep -v '^#' > "$TMP/with"
		same 400 "$(grep -c 'j ACCEPT' "$TMP/with")" "$family: rules"
		diff "$TMP/without" "$TMP/with"
	done
	pod_run st iptables-legacy -w -I OUTPUT -p tcp --dport 999 -j ACCEPT
	same 401 "$(pod_run st iptables-legacy -S OUTPUT | grep -c 'j ACCEPT')" "rules after one more"
}

pod_make plain
check "other options are the same with us and without, as the app" options 1000
check "other options are the same with us and without, as root" options 0
if why=$(engine_missing iptables-legacy); then
	skip "iptables-legacy works in an attached pod" "$why"
else
	check "iptables-legacy works in an attached pod" big_buffers
fi
finish
