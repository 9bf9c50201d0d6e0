#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A kernel that is too old (5.10): probe, attach and istio-iptables name what is missing, and make nothing.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/../e2e/e2e.sh"
env_private "$@"

MISSING="kernel 'SO_NETNS_COOKIE': Protocol not available; needs Linux 5.14"

probe_names() {
	same 1 "$(status_of "$ST" probe)" "exit status"
	has "$(cat "$TMP/output")" "^  MISSING  SO_NETNS_COOKIE +since 5.14 "
	has "$(cat "$TMP/output")" "^  MISSING  netns cookie in sockops +since 5.15 "
	has "$(cat "$TMP/output")" "^socktables: probe: kernel '$(uname -r)': lacks what is marked MISSING$"
	same 1 "$(status_of "$ST" probe --json)" "exit status with --json"
}

attach_refuses() {
	one_line 1 "attach: $MISSING" attach a
	nothing_left a
	same "$DIRECT" "$(reach a)"
}

# inside the pod, as the init container
istio_refuses() {
	same 1 "$(status_of pod_run a "$ST" istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT)" "exit status"
	has "$(cat "$TMP/output")" "$MISSING"
	nothing_left a
	same "$DIRECT" "$(reach a)"
}

others_say() {
	same 3 "$(status_of "$ST" detach a)" "exit status of detach"
	same 3 "$(status_of "$ST" update a)" "exit status of update"
	"$ST" status
	"$ST" detach --all
	nothing_left a
}

pod_make a
outside_start a
app_start a
check "probe names what is missing" probe_names
check "attach refuses by name and leaves nothing" attach_refuses
check "istio-iptables refuses by name and leaves nothing" istio_refuses
check "there is nothing to update, detach or show" others_say
finish
