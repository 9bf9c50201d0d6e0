#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# /init of the guest's initrd: mounts the host's root, what is written stays in memory, and goes on there.
# shellcheck shell=sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs d /dev
mount -t proc p /proc
for module in /m/*.ko; do
	[ ! -e "$module" ] || insmod "$module"
done
if ! { mount -t virtiofs -o ro host /l && mount -t tmpfs u /u && mkdir /u/u /u/w &&
	mount -t overlay -o lowerdir=/l,upperdir=/u/u,workdir=/u/w o /n; }; then
	echo 'vm: no root'
	poweroff -f
fi
# shellcheck source=/dev/null
. /conf
mkdir -p /n/lib/modules
mount --bind "/l$MODULES" /n/lib/modules
mount -t tmpfs r /n/run
mkdir /n/run/lock
cp /conf /cmd /start /n/run/
umount /dev
umount /proc
exec switch_root /n /bin/bash /run/start
