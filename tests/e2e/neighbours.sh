#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Others on the node: a load balancer on an ancestor's hooks, a pod in the host's own namespace, and
# people in the pod who would like another policy.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
[[ -n ${ST_TEST_CG:-} ]] || {
	exec 9< /proc/self/ns/net
	IN_NODE_NETNS=$([[ $(< /proc/2/comm) == kthreadd && /proc/2/ns/net -ef /proc/self/ns/net ]] && echo yes)
	export IN_NODE_NETNS
}
env_private "$@"

# --- a load balancer ------------------------------------------------------------------------------

# A service has no address of its own anywhere: whoever reaches its backend was translated.
LB4=10.96.0.99 LB6=fd96::99

# balance ORDER: the balancer comes to all pods' parent
balance() {
	"$TEST_BIN/e2e_lb" "$CG/$1" "$2" "$LB4" "$OUT4" "$LB6" "$OUT6"
}

# pod_below POD: pod_make, with the pod's cgroup below $CG/POD-parent
pod_below() {
	pod_make "$1"
	outside_start "$1"
	rmdir "$CG/$1"
	mkdir -p "$CG/$1-parent/pod"
	ln -sfn "$CG/$1-parent/pod" "$TMP/$1"
}

# in_pod UID CMD...: as pod_run_as, in pod $POD's cgroup below its parent
in_pod() {
	local uid=$1
	shift
	(
		echo 0 > "$CG/$POD-parent/pod/cgroup.procs" &&
			exec nsenter --net="/run/netns/$POD" -- setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
	)
}

# dialled: what the app of $POD sees, TCP and DNS, both families: who answers, as whom, told what
dialled() {
	in_pod 1000 "$DIAL" "$LB4:80" "[$LB6]:80" "dns:$LB4:53" "sendto:$LB4:53" "sendto:[$LB6]:53" |
		sed -E 's/ name=[^ ]+//; s/copy=.* od=/od=/'
}

# earlier: what status notes of programs that run before ours in $POD where something is dialled
earlier() {
	"$ST" status "$POD" --json | jq -r '.. | objects | select(.code == "other-program").text' |
		sed -n 's/^program [0-9]* \(.*\) runs there, too: \(cgroup.[cs][^,]*\), before ours$/\1 \2/p' | sort | paste -sd ,
}

attach_below() {
	"$ST" attach --cgroup "$CG/$POD-parent/pod" --netns "/run/netns/$POD" --name "$POD" --ipv6=on
}

# The app dialled the service: so it sees, and so is the proxy told. What the proxy dials is the
# balancer's to translate.
CAPTURED_SERVICE="peer=$LB4:80 proxy od=$LB4:80
peer=[$LB6]:80 proxy od=[$LB6]:80
peer=$LB4:53 a=10.0.0.15
peer=$LB4:53 a=10.0.0.15
peer=[$LB6]:53 a=10.0.0.15"

service_is_kept() {
	same "$CAPTURED_SERVICE" "$(dialled)" "the app's"
	same "peer=$LB4:80 outside od=ENOENT
peer=[$LB6]:80 outside od=ENOENT" "$(in_pod 1337 "$DIAL" "$LB4:80" "[$LB6]:80" | sed -E 's/ name=[^ ]+//; s/copy=.* od=/od=/')" "the proxy's"
}

start_below() {
	POD=$1
	pod_below "$1"
	serve "$TMP/$1.proxy" in_pod 1337 "$STUB" proxy line:0.0.0.0:15001 'line:[::]:15001' line:0.0.0.0:15006
	serve "$TMP/$1.agent" in_pod 1337 "$STUB" -4 10.0.0.15 agent dns:127.0.0.1:15053 'dns:[::1]:15053'
}

balancer_first() {
	start_below a
	balance a-parent after
	has "$(in_pod 1000 "$DIAL" "$LB4:80")" "^peer=$LB4:80 .* outside" # it works
	attach_below
	service_is_kept
	same "" "$(earlier)" "programs before ours"
	"$ST" detach a
	has "$(in_pod 1000 "$DIAL" "$LB4:80")" "^peer=$LB4:80 .* outside" # and still does
}

balancer_later() {
	start_below b
	attach_below
	balance b-parent after
	service_is_kept
	same "" "$(earlier)" "programs before ours"
	"$ST" detach b
}

# Who attaches with BPF_F_PREORDER wants to be first: then the backend is what our programs see, and
# what the proxy is told. The connection is captured all the same.
balancer_before_us() {
	start_below c
	balance c-parent before 2> "$TMP/output" || skip_now "kernel: no BPF_F_PREORDER: $(tail -n 1 "$TMP/output")"
	attach_below
	has "$(in_pod 1000 "$DIAL" "$LB4:80")" "proxy .* od=$OUT4:80\$"
	has "$(in_pod 1000 "$DIAL" "[$LB6]:80")" "proxy .* od=\[$OUT6\]:80\$"
	same "(lb_connect4) cgroup/connect4,(lb_connect6) cgroup/connect6,(lb_sendmsg4) cgroup/sendmsg4,$(
		)(lb_sendmsg6) cgroup/sendmsg6" "$(earlier)" "programs before ours"
	"$ST" detach c
}

check "a balancer that was there first: the proxy is told the service" balancer_first
check "a balancer that came later: the proxy is told the service" balancer_later
check "a balancer that insists on being first: the proxy is told the backend" balancer_before_us

# --- the host's own namespace -----------------------------------------------------------------------

IN_HOST=(attach --cgroup "$CG/host" --netns /proc/self/fd/9 --name host --ipv6=off --redirect-dns=false -b '')

# as_host CMD...: every namespace has what only the host's own has. Flags that would capture all that comes
# to the machine are tried so, in a pod's namespace: else they would, should they not be refused.
as_host() {
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount -- "$BASH" -ec 'mount -t tmpfs none /proc/sys/net
		mkdir /proc/sys/net/core
		: > /proc/sys/net/core/netdev_max_backlog
		exec "$@"' sh "$@"
}

pretended() {
	local all="flag '-b *': in the host's own network namespace it would capture all that comes to the host"
	local attach_e=(attach --cgroup "$CG/e" --netns /run/netns/e --name e --ipv6=off)
	pod_make e
	one_line 1 "attach: netns '/run/netns/e': is the host's own network namespace" as_host "$ST" "${attach_e[@]}"
	one_line 1 "attach: $all" as_host "$ST" "${attach_e[@]}" --force
	same "" "$(pins)" "pins of what was refused"
	as_host "$ST" "${attach_e[@]}" --force -b 8080
	one_line 1 "update: $all" as_host "$ST" update e --ipv6=off
	as_host "$ST" update e --ipv6=off -b 8081
	same true "$("$ST" status e --json | jq '.[0].policy.host_network')"
	"$ST" detach e
}

# host CMD...: where the node's own commands run
host() {
	nsenter --net=/proc/self/fd/9 -- "$@"
}

# In the cgroup of the pod alone, at addresses of its own on loopback.
in_host() {
	local uid=$1
	shift
	(
		echo 0 > "$CG/host/cgroup.procs" && exec nsenter --net=/proc/self/fd/9 -- setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
	)
}

host_pod() {
	[[ -n $IN_NODE_NETNS ]] || skip_now "kernel: not the first network namespace of it"
	mkdir "$CG/host" "$CG/host2"
	trap 'host "$ST" detach --all' EXIT
	one_line 1 "attach: netns '/proc/self/fd/9': is the host's own network namespace" host "$ST" "${IN_HOST[@]}"
	grep -q -- --force "$TMP/stderr"
	same "" "$(pins)" "pins of what was refused"
	host "$ST" "${IN_HOST[@]}" --force -i 127.99.0.0/16 -p 15901
	has "$("$ST" status host)" "netns .*, the host's own\$"
	same true "$("$ST" status host --json | jq '.[0].policy.host_network')"
	serve "$TMP/host.proxy" in_host 1337 "$STUB" proxy line:127.0.0.1:15901
	one_line 1 "attach: netns: already attached as pod 'host'" \
		host "$ST" attach --cgroup "$CG/host2" --netns /proc/self/fd/9 --name host2 --force -b ''
	has "$(in_host 1000 "$DIAL" 127.99.0.1:80)" 'proxy .* od=127.99.0.1:80$'
	same ECONNREFUSED "$(host "$DIAL" 127.99.0.1:80 | who)" "a process outside of the pod's cgroup"
	stop "$SERVED"
	host "$ST" detach host
	trap - EXIT
	same "" "$(pins)"
}

check "the host's own namespace is refused, and so is to capture all that comes to it" pretended
check "a pod in the host's own namespace: refused unless forced, and then only its own" host_pod

# --- people in the pod ------------------------------------------------------------------------------

# attempts: all that are refused said alike; who has no program to take off a hook may name none (EINVAL)
attempts() {
	sed -E 's/ (EPERM|EACCES)$/ refused/; s/(off its hook) EINVAL$/\1 refused/' | sort
}

# Root of a container: it has no bpffs of the node's in sight, lest it be root there, too. As one with a
# user namespace it has every capability, in that; as the node's root it has none.
container() {
	pod_run d unshare --mount -- "$BASH" -c 'mount -t tmpfs none /sys/fs/bpf && exec "$@"' sh \
		"$@" "$TEST_BIN/e2e_intrude" "$CG/d" | grep -v ' ENOENT$' | attempts
}

# What hangs on pod d's cgroup and namespace, and works
whole() {
	links d
	"$ST" status d --json | jq -c '.[0] | .state, .links'
	reach d
}

intruders() {
	local all before
	pod_make d
	outside_start d
	app_start d
	attach d
	all=$("$TEST_BIN/e2e_intrude" "$CG/d" | sort)
	# What hangs there by a link is taken off by that alone, whoever tries
	same "take our program off its hook ENOENT" "$(grep -v ' ok$' <<< "$all")" "what the host's root may not do"
	rmdir "$PINS/intruder"
	same 11 "$(links d | wc -l)" "links of 13 that it has left"
	attach d
	same 13 "$(links d | wc -l)" "links"
	all=$(sed -E 's/ (ok|ENOENT)$/ refused/' <<< "$all")
	before=$(whole)
	has "$before" "^$REFUSED\$"
	same "$all" "$(pod_run_as d 1337 "$TEST_BIN/e2e_intrude" "$CG/d" | attempts)" "the proxy's user"
	same "$all" "$(pod_run_as d 1000 "$TEST_BIN/e2e_intrude" "$CG/d" | attempts)" "an app's user"
	all=$(grep -v -e ' pin' -e ' pods ' <<< "$all")
	same "$all" "$(container setpriv --bounding-set -all --inh-caps=-all --)" "root in a container"
	same "$all" "$(container unshare --user --map-root-user --)" "root of a user namespace"
	same "$before" "$(whole)" "what is attached, and whether it works"
	"$ST" detach d
}

# Whatever the umask is, and whoever mounted bpffs.
modes() {
	umask 0
	mount -o remount,mode=1777 /sys/fs/bpf
	attach d
	same "" "$(find "$PINS" -type d ! -perm 0700 -o -type f ! -perm 0600 -o ! -user root)" "modes of pins"
	has "$(find "$PINS" -type f)" st_connect4
	"$ST" detach d
	while mountpoint -q /sys/fs/bpf; do
		umount /sys/fs/bpf
	done
	attach d
	has "$(stat -c %a /sys/fs/bpf)" '^1?700$' # the bpffs that attach mounts
	"$ST" detach d
}

check "nobody in the pod reads or changes what is ours" intruders
check "pins are root's alone" modes
finish
