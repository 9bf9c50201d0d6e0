#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# attach --pid: the pod is found from a process in any of its containers, and so are its resolv.conf and
# its group file, which the pod may have made as it likes.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

ROOT=$TMP/root
AT=kubepods/burstable/pod0123-4567

# container NAME: a process in that container of the pod, with a root of its own; its pid is in $SERVED
container() {
	mkdir -p "$CG/$AT/$1"
	# shellcheck disable=SC2016 # for the inner shell
	serve "$TMP/$1" "$BASH" -c 'echo 0 > "$0/cgroup.procs" && exec nsenter --net=/run/netns/web \
		chroot "$1" /busybox sh -c "echo ready \$\$ && exec /busybox sleep 1000"' "$CG/$AT/$1" "$ROOT"
}

# by_pid ARG...: attaches the pod, by the process in its container app; hangs no longer than 5 s
by_pid() {
	timeout 5 "$ST" attach --pid "$APP" --name web "$@"
}

# refuses TEXT ARG...: inside check: by_pid fails so, and nothing is attached
refuses() {
	local text=$1
	shift
	one_line 1 "attach: $text" by_pid "$@"
	nothing_left web
}

of_the_pod() {
	"$ST" attach --pid "$APP"
	same "pod0123-4567 $CG/$AT" "$("$ST" status --json | jq -r '.[] | "\(.name) \(.cgroup)"')"
	"$ST" detach pod0123-4567
}

links_stay_inside() {
	echo 'nameserver 10.1.1.1' > "$ROOT$TMP/servers"
	echo 'nameserver 10.99.99.99' > "$TMP/servers"
	ln -sf "$TMP/servers" "$ROOT/etc/resolv.conf"
	by_pid --capture-all-dns=false
	has "$("$ST" explain web out udp 10.1.1.1:53)" '^redirect: '
	has "$("$ST" explain web out udp 10.99.99.99:53)" '^pass: '
	"$ST" detach web
	ln -sf "../../../../../../../..$TMP/servers" "$ROOT/etc/resolv.conf"
	by_pid --capture-all-dns=false
	has "$("$ST" explain web out udp 10.1.1.1:53)" '^redirect: '
	"$ST" detach web
	ln -sf "/proc/self/root$TMP/servers" "$ROOT/etc/resolv.conf"
	refuses "resolv.conf '/proc/$APP/root/etc/resolv.conf': Too many levels of symbolic links" \
		--capture-all-dns=false
}

no_regular_file() {
	rm -f "$ROOT/etc/resolv.conf" && mkfifo "$ROOT/etc/resolv.conf"
	refuses "resolv.conf '/proc/$APP/root/etc/resolv.conf': not a regular file" --capture-all-dns=false
	rm "$ROOT/etc/resolv.conf" && mknod "$ROOT/etc/resolv.conf" c 1 5
	refuses "resolv.conf '/proc/$APP/root/etc/resolv.conf': not a regular file" --capture-all-dns=false
	rm "$ROOT/etc/resolv.conf" && mkdir "$ROOT/etc/resolv.conf"
	refuses "resolv.conf '/proc/$APP/root/etc/resolv.conf': not a regular file" --capture-all-dns=false
	rmdir "$ROOT/etc/resolv.conf" && truncate -s 17M "$ROOT/etc/resolv.conf"
	refuses "resolv.conf '/proc/$APP/root/etc/resolv.conf': File too large" --capture-all-dns=false
	rm "$ROOT/etc/group" && mkfifo "$ROOT/etc/group"
	refuses "groups '/proc/$APP/root/etc/group': not a regular file" --outbound-owner-groups java
}

# Only what a policy needs is read.
not_needed() {
	by_pid --outbound-owner-groups 4711
	"$ST" detach web
}

by_name() {
	rm "$ROOT/etc/group"
	{ seq -f 'group%.0f:x:1:' 100000 && echo java:x:4711:; } > "$ROOT/etc/group"
	by_pid --outbound-owner-groups java
	has "$("$ST" explain web out tcp "$SVC4:80" --gid 4711)" '^redirect: '
	has "$("$ST" explain web out tcp "$SVC4:80" --gid 4712)" '^pass: '
	"$ST" detach web
	refuses "--outbound-owner-groups 'nobody': the pod has no such group" --outbound-owner-groups nobody
}

# Whatever is slow to read keeps nobody else waiting.
unlocked() {
	local attaching slow
	mkfifo "$TMP/slow"
	attach idle
	"$ST" attach --pid "$APP" --name web --capture-all-dns=false --resolv-conf "$TMP/slow" &
	attaching=$!
	exec {slow}> "$TMP/slow" # it reads now
	timeout 5 "$ST" status idle
	timeout 5 "$ST" update idle --ipv6=off
	kill -0 "$attaching"
	echo "nameserver $SVC4" >&"$slow"
	exec {slow}>&-
	wait "$attaching"
	has "$("$ST" explain web out udp "$SVC4:53")" '^redirect: '
	"$ST" detach web
	"$ST" detach idle
}

mkdir -p "$ROOT"/{etc,proc,"$TMP"}
mount -t proc proc "$ROOT/proc"
cp "$(command -v busybox)" "$ROOT/busybox"
: > "$ROOT/etc/group"
pod_make web
pod_make idle
container proxy
container app
APP=$SERVED
check "a process in a container stands for the pod" of_the_pod
check "symbolic links lead nowhere out of the pod" links_stay_inside
check "what is no regular file, or too large, is refused" no_regular_file
check "what the policy does not need is not read" not_needed
check "owner groups by the names that the pod has for them" by_name
check "nobody waits for a file that is slow to read" unlocked
finish
