#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A service of a real systemd and its proxy, in one slice, are captured as README says. That systemd runs below a cgroup of
# ours, and is the first process of a namespace that ends with it.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

UNITS=$TMP/units
SLICE=$CG/web/system/captured.slice

# unit NAME LINE...
unit() {
	local name=$1
	shift
	printf '%s\n' '[Unit]' DefaultDependencies=no "$@" > "$UNITS/$name"
}

units() {
	mkdir "$UNITS"
	unit test.target
	unit captured.slice
	unit proxy.service '[Service]' Slice=captured.slice User=proxy "ExecStart=$STUB proxy line:0.0.0.0:15001"
	unit app.service '[Service]' Slice=captured.slice User=nobody Type=oneshot "ExecStart=$DIAL $SVC4:80" \
		"StandardOutput=truncate:$TMP/dialled"
}

# systemd_start: with a /run and a cgroup tree of its own, in the network namespace of pod web
systemd_start() {
	local init
	needs /lib/systemd/systemd systemd
	units
	mkdir "$CG/web/system"
	# What is the machine's it must not change: sysctls, names in /dev.
	# shellcheck disable=SC2016 # expanded there
	init='for dir in /proc/sys /dev /etc; do mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir" || exit; done
		mount -t tmpfs run /run && mkdir -p /run/systemd/system && cp "$1"/* /run/systemd/system/ &&
		umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup &&
		exec env -i container=test /lib/systemd/systemd --system --unit=test.target --log-target=console'
	(
		echo 0 > "$CG/web/system/cgroup.procs" &&
			exec nsenter --net=/run/netns/web unshare --cgroup --pid --fork --kill-child --mount --uts --ipc \
				--mount-proc "$BASH" -c "$init" - "$UNITS"
	) > "$TMP/systemd" 2>&1 &
	wait_for 20 is_up || { cat "$TMP/systemd" && return 1; }
}

systemctl() {
	nsenter --target "$(pgrep -xf '/lib/systemd/systemd --system --unit=test.target .*')" --mount --pid --uts --ipc \
		systemctl "$@"
}

is_up() {
	[[ $(systemctl is-active test.target 2> /dev/null) == active ]]
}

# dialled: what the app's service tells of its connection
dialled() {
	systemctl start app.service
	cat "$TMP/dialled"
}

listens() {
	pod_run web ss -Hltn 'sport = 15001' | grep -q .
}

captured() {
	systemctl start proxy.service
	wait_for 10 listens
	same outside "$(dialled | who)"
	"$ST" attach --cgroup "$SLICE" --netns /run/netns/web --force -b '' --redirect-dns=false \
		-u "$(id -u proxy)" -g "$(id -g proxy)"
	has "$(dialled)" "^peer=$SVC4:80 .* proxy .* od=$SVC4:80\$"
	same outside "$(dial web "$SVC4:80" | who)" # of the same namespace, but not of the slice
	same ok "$("$ST" status captured.slice --json | jq -r '.[0].health')"
}

proxy_stops() {
	systemctl stop proxy.service
	has "$("$ST" status captured.slice)" 'nothing listens on TCP port 15001: outbound connections are refused$'
	has "$(dialled)" ECONNREFUSED
	systemctl start proxy.service
	wait_for 10 listens
	has "$(dialled)" " proxy .* od=$SVC4:80\$"
}

goes_direct() {
	"$ST" detach captured.slice
	same outside "$(dialled | who)"
	systemctl stop proxy.service
	same "$LIMITS" "$(limits)" "of the machine, which systemd raises where it may"
}

limits() {
	cat /proc/sys/fs/file-max /proc/sys/fs/nr_open
}

LIMITS=$(limits)
pod_make web
outside_start web
chmod 711 "$TMP" # services are not root's
check "systemd starts" systemd_start
check "a service is captured, with its slice" captured
check "its proxy stops and comes back" proxy_stops
check "detached, it goes direct" goes_direct
finish
