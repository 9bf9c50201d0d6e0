#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The validation of istio-iptables, as Istio's validation container runs it: it passes where the pod is
# captured and exits with 126 where it is not. So does a stand-in of Istio's own validator.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

VALIDATOR=$TEST_BIN/e2e_validator

# istio ARG...: runs the command in pod web
istio() {
	pod_run web env -i "PATH=$PATH" "$ST" istio-iptables "$@"
}

# fresh NAME CMD...: a check with web not attached
fresh() {
	istio --cleanup-only > /dev/null
	check "$@"
}

pod_make web
pod_make idle
attach idle	# while it is, the programs stay loaded, which saves time

# valid ARG...: the validation, as in Istio's container: the proxy's uid, no capability
valid() {
	pod_run web setpriv --reuid 1337 --regid 1337 --clear-groups --bounding-set=-all --inh-caps=-all \
		--no-new-privs "$ST" istio-iptables --run-validation --skip-rule-apply "$@"
}

validates() {
	local families=$1 start=$SECONDS
	shift
	same 126 "$(status_of valid --probe-timeout 300ms "$@")"
	has "$(< "$TMP/output")" "^socktables: istio-iptables: validation '$families': .* within 300 ms\$"
	istio -i '*' -b '*' "$@"
	valid "$@"
	valid --iptables-probe-port 4711 "$@"
	istio --run-validation --skip-rule-apply "$@"
	istio --run-validation -i '*' -b '*' "$@"
	((SECONDS - start < 5)) || { echo "took $((SECONDS - start)) s" && return 1; }
	istio --cleanup-only
	same 126 "$(status_of istio --run-validation --cleanup-only --probe-timeout 300ms "$@")"
}

# A proxy that listens already is no hindrance, as long as it lets others listen beside it.
beside_proxy() {
	same 126 "$(status_of valid --probe-timeout 300ms)"
	istio -i '*' -b '*' --dual-stack
	valid --dual-stack
	pod_run_as web 1337 "$VALIDATOR"
	pod_run_as web 1337 "$VALIDATOR" -6
}

# The policy may capture nothing else: the proxy's calls to its own pod come back in any case.
nothing_captured() {
	istio
	valid
}

other_ports() {
	istio -p 25001 -z 25006
	same 126 "$(status_of valid --probe-timeout 300ms)"
	valid -p 25001 -z 25006
}

# Somebody who comes to a listener by himself is not the connection that was dialled.
strangers() {
	local status=0 pid
	istio -i '*' -b '*' > /dev/null
	pod_run_as web 1000 "$ST" istio-iptables --run-validation --skip-rule-apply --probe-timeout 1s &
	pid=$!
	wait_for 5 eval 'dial web 127.0.0.1:15001 | not grep -q ECONNREFUSED'
	dial web 127.0.0.1:15001 127.0.0.1:15006
	wait "$pid" || status=$?
	same 126 "$status" "exit status"
}

occupied() {
	same 126 "$(status_of valid)"
	has "$(< "$TMP/output")" "validation '127.0.0.1': cannot listen on ports 15001 and 15006: Address"
}

# istios FLAG...: inside check: Istio's own validator fails before and passes after
istios() {
	same 126 "$(status_of pod_run_as web 1337 "$VALIDATOR" -t 1 "$@")"
	istio -i '*' -b '*' --dual-stack
	[[ $(status_of pod_run_as web 1337 "$VALIDATOR" "$@") != 77 ]] || skip_now "kernel: no MPTCP"
	pod_run_as web 1337 "$VALIDATOR" "$@"
	same 126 "$(status_of pod_run_as web 1000 "$VALIDATOR" -t 1 "$@")"
}

fresh "validation: 126 before, passed after; IPv4" validates IPv4
fresh "validation: 126 before, passed after; IPv6 in a dual-stack pod" validates IPv4 --dual-stack
ip -n web address flush dev eth0 scope global
ip -n web address add "$POD6/64" dev eth0 nodad
fresh "validation: 126 before, passed after; IPv6 alone" validates IPv6
ip -n web address add "$POD4/24" dev eth0
serve "$TMP/envoy" pod_run_as web 1337 "$STUB" -n 2 proxy line:0.0.0.0:15001 'line:[::]:15001' \
	line:0.0.0.0:15006 'line:[::]:15006'
fresh "validation beside a proxy that listens already" beside_proxy
stop "$SERVED"
serve "$TMP/held" pod_run_as web 1000 "$STUB" app line:127.0.0.1:15001 line:127.0.0.1:15006
fresh "validation that cannot listen fails" occupied
stop "$SERVED"
fresh "validation is not passed by connections that were not redirected" strangers
fresh "validation where nothing else is captured" nothing_captured
fresh "validation with other ports" other_ports
fresh "Istio's validator, IPv4" istios
fresh "Istio's validator, IPv6" istios -6
fresh "Istio's validator with MPTCP listeners, IPv4" istios -m
fresh "Istio's validator with MPTCP listeners, IPv6" istios -m -6
finish
