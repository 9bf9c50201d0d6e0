#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Process 1 of the guest, on the host's root: mounts what a machine has, runs the command, tells its status.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
# shellcheck source=/dev/null
. /run/conf
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=666 d /dev/pts
mount -t tmpfs s /dev/shm
mount -t cgroup2 c /sys/fs/cgroup
echo +pids > /sys/fs/cgroup/cgroup.subtree_control # as systemd does
mount -t bpf b /sys/fs/bpf
mount -t tracefs t /sys/kernel/tracing
ip link set lo up
hostname vm
ln -s /proc/self/fd /dev/fd
number=0
for name in stdin stdout stderr; do
	ln -s /proc/self/fd/$((number++)) "/dev/$name"
done
for tty in 1 2; do
	stty -F /dev/ttyS$tty raw -echo
done
cd "$FOLDER" || exit
setsid -w bash /run/cmd < /dev/null > /dev/ttyS1 2>&1
echo $? > /dev/ttyS2
sync
busybox poweroff -f
