#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# istio-iptables: which cgroup is the pod's, and what it makes of a pod that is broken.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/istio_parts.sh
. "$(dirname "$0")/istio_parts.sh"
env_private "$@"

pod_make web
pod_make idle
attach idle

# --- which cgroup is the pod's --------------------------------------------------------------------

# where: name and cgroup of the pod that is attached
where() {
	"$ST" status --json | jq -r '.[] | select(.name != "idle") | "\(.name) \(.cgroup)"'
}

# captured_at DIR NAME FROM: inside check: run in cgroup FROM, pod NAME is attached at DIR
captured_at() {
	in_cgroup "$3" "$ST" istio-iptables -i '*'
	same "$2 $CG/$1" "$(where)"
	in_cgroup "$1/other-container" setpriv --reuid 1000 --clear-groups "$DIAL" "$SVC4:80" > "$TMP/out"
	same ECONNREFUSED "$(who < "$TMP/out")" "what another container of the pod reaches"
	in_cgroup "$3" "$ST" istio-iptables --cleanup-only
	not_captured
}

pod_levels() {
	local uid=6f1d2c3b-0a9e-4f5d-8c7b-112233445566 uid_
	uid_=${uid//-/_}
	captured_at "kubepods/pod$uid" "pod$uid" "kubepods/pod$uid/init"
	captured_at "kubepods/burstable/pod$uid" "pod$uid" "kubepods/burstable/pod$uid/init"
	captured_at "kubelet/kubepods/besteffort/pod$uid" "pod$uid" \
		"kubelet/kubepods/besteffort/pod$uid/init"
	captured_at "kubepods.slice/kubepods-pod$uid_.slice" "kubepods-pod$uid_.slice" \
		"kubepods.slice/kubepods-pod$uid_.slice/cri-containerd-init.scope"
	captured_at \
		"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod$uid_.slice" \
		"kubepods-besteffort-pod$uid_.slice" \
		"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod$uid_.slice/crio-x.scope"
	captured_at kubepods/podouter/node/kubelet/kubepods/podinner podinner \
		kubepods/podouter/node/kubelet/kubepods/podinner/init
}

given_cgroup() {
	mkdir -p "$CG/elsewhere"
	istio -i '*' --cgroup "$CG/elsewhere" --name given
	same "given $CG/elsewhere" "$(where)"
	says 1 "pod 'given': already attached at another cgroup" -i '*'
	istio --cleanup-only
	nsenter --net=/run/netns/web -- "$ST" istio-iptables -i '*' --cgroup "$CG/web" \
		--network-namespace /proc/self/ns/net
	same "web $CG/web" "$(where)"
}

# hidden COMMAND: runs COMMAND in a container's cgroup, in a cgroup namespace of its own and with
# cgroup2 mounted as a runtime does
hidden() {
	mkdir -p "$TMP/cgroup"
	in_cgroup kubepods/podhidden/init unshare --cgroup --mount "$BASH" -c "
		mount -t cgroup2 cgroup2 '$TMP/cgroup' && grep -qx 0::/ /proc/self/cgroup || exit 99
		$1"
}

hidden_cgroup() {
	local at
	at=$(cgroup2_root)
	hidden "'$ST' istio-iptables -i '*'"
	same "podhidden $CG/kubepods/podhidden" "$(where)"
	hidden "'$ST' istio-iptables --cleanup-only"
	not_captured
	same 1 "$(status_of hidden "umount -l '$at'; '$ST' istio-iptables -i '*'")"
	same "socktables: istio-iptables: cgroup '/': a cgroup namespace hides which pod this is" \
		"$(grep -v '^hint' "$TMP/output")"
	has "$(< "$TMP/output")" "^hint: mount the node's cgroup2 tree .* or give --cgroup DIR\$"
	# what a dry run needs not to know, it does not ask for
	hidden "umount -l '$at'; '$ST' istio-iptables --dry-run" > "$TMP/output"
	has "$(< "$TMP/output")" "cgroup +cgroup '/': a cgroup namespace hides"
}

fresh "the pod's cgroup is the one that kubelet made for it" pod_levels
fresh "another cgroup, or another namespace, can be named" given_cgroup
fresh "in a cgroup namespace the pod is found from above, or what to do is said" hidden_cgroup

# --- what is broken -------------------------------------------------------------------------------

# Links that lost their policy, or a policy that lost a link, are no captured pod.
wrecks() {
	istio -i '*'
	rm "$PINS/pods/web/st_connect4"
	has "$(istio -i '*')" "^pod 'web': captured\$"
	has "$("$ST" status web)" '^web: attached$'
	rm "$PINS/st_policy"
	istio --cleanup-only
	same "" "$(links web)" "links"
}

fresh "what is broken is made whole, or cleaned up" wrecks
finish
