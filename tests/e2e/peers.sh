#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# UDP sockets and port 53: whom they have asked is a resolver, whatever comes from there. Asked in an
# attached pod, and where it can be in one with iptables' rules.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
env_private "$@"

UGLY=$TEST_BIN/e2e_ugly
POD=''	# whom the questions go to: st (attached), ipt (with iptables' rules)

# forge FROM TO: a datagram from elsewhere
forge() {
	out_run "$POD" "$UGLY" -t 1 -u -b "$1" "sendto:$2" > "$TMP/forged"
}

# Who is asked by a socket is not taken for its client by what comes from there unasked.
forged() {
	waiter v4 pod_run_as "$POD" 1000 "$UGLY" -u -b 0.0.0.0:5556 "sendto:$OUT4:53" "sendto:$OUT4_2ND:53" wait \
		recv recv "sendto:$OUT4:53" "sendto:$OUT4_2ND:53"
	waiter v6 pod_run_as "$POD" 1000 "$UGLY" -u -b '[::]:5557' "sendto:[$OUT6]:53" "sendto:[$OUT6_2ND]:53" wait \
		recv recv "sendto:[$OUT6]:53" "sendto:[$OUT6_2ND]:53"
	forge "$OUT4:53" "$POD4:5556"
	forge "$OUT4_2ND:53" "$POD4:5556"
	forge "[$OUT6]:53" "[$POD6]:5557"
	forge "[$OUT6_2ND]:53" "[$POD6]:5557"
	go_on v4 v6
	same "from=$OUT4:53 a=0.1.0.1
from=$OUT4_2ND:53 a=0.1.0.1
from=$OUT4:53 a=10.0.0.15
from=$OUT4_2ND:53 a=10.0.0.15" "$(said v4)"
	same "from=[$OUT6]:53 a=0.1.0.1
from=[$OUT6_2ND]:53 a=0.1.0.1
from=[$OUT6]:53 a=10.0.0.15
from=[$OUT6_2ND]:53 a=10.0.0.15" "$(said v6)"
}

# Who answered a socket while DNS was not captured is a resolver, no client.
policy_changes() {
	local dest=("$SVC4:53" "$SVC4_2ND:53")
	"$ST" update st --ipv6=on --redirect-dns=false
	waiter v4 pod_run_as st 1000 "$UGLY" -u "${dest[@]/#/sendto:}" wait "${dest[@]/#/sendto:}"
	waiter v6 pod_run_as st 1000 "$UGLY" -u "sendto:[$SVC6]:53" wait "sendto:[$SVC6]:53"
	"$ST" update st --ipv6=on
	go_on v4 v6
	same "from=$SVC4:53 a=10.0.0.53
from=$SVC4_2ND:53 a=10.0.0.53" "$(said_before v4)" "v4, before"
	same "from=$SVC4:53 a=10.0.0.15
from=$SVC4_2ND:53 a=10.0.0.15" "$(said v4)" "v4, after"
	same "from=[$SVC6]:53 a=10.0.0.53" "$(said_before v6)" "v6, before"
	same "from=[$SVC6]:53 a=10.0.0.15" "$(said v6)" "v6, after"
}

# pod_start NAME: with whom it needs
pod_start() {
	POD=$1
	pod_make "$POD"
	outside_start "$POD"
	agent_start "$POD"
}

pod_start st
attach st
check "socktables: datagrams that nobody asked for" forged
check "sockets that asked a resolver before DNS was captured" policy_changes
if why=$(engine_missing iptables-legacy); then
	skip "iptables says the same" "$why"
else
	pod_start ipt
	iptables_start ipt legacy
	check "iptables says the same: datagrams that nobody asked for" forged
fi
finish
