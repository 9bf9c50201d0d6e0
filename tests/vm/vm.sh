#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# vm.sh SERIES CMD...: runs CMD under Debian's newest kernel of SERIES (6.1, 6.12, newest ...) in QEMU, without KVM.
# CMD sees this machine's / as it is, and what it writes there is gone afterwards; it starts in this directory
# as root, with a fresh proc, sys, cgroup v2 and bpffs and no network but lo. Its output comes here, its status
# is ours, but 77: cannot be had here, 124: VM_TIMEOUT (300 s) has passed, 125: the kernel did not finish.
# Kernels stay in VM_CACHE. VM_MEM: memory (1G); VM_LOG: a file for the kernel's console.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
SERIES=$1
shift
CACHE=${VM_CACHE:-/var/tmp/vm-kernels}
KERNEL=$CACHE/$SERIES
MEMORY=${VM_MEM:-1G}
WORK=$(mktemp -d)
PIDS=()

# shellcheck disable=SC2317 # the trap runs it
stop() {
	local pid
	for pid in "${PIDS[@]}"; do
		kill "$pid" 2> /dev/null || :
	done
	rm -rf "$WORK"
}
trap stop EXIT

# share_root: virtiofsd serves / at $WORK/root; it is in qemu-system-common, later in a package of its own
share_root() {
	local program tries
	program=$(find /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd -maxdepth 0 2> /dev/null | head -n 1)
	[[ -n $program ]] || { echo 'vm: skipped: no virtiofsd' >&2 && exit 77; }
	"$program" --socket-path="$WORK/root" -o source=/ -o cache=always -o sandbox=chroot \
		--thread-pool-size=1 > "$WORK/virtiofsd" 2>&1 &
	PIDS+=($!)
	for ((tries = 0; tries < 100; tries++)); do
		[[ -S $WORK/root ]] && return
		sleep 0.05
	done
	cat "$WORK/virtiofsd" >&2
	exit 125
}

# boot: the console goes to a file, the command's output here, its status to $WORK/status.
# norandmaps: code is translated anew at each address that it is seen at; a command costs half then.
boot() {
	local options=(
		-accel tcg -cpu max -smp 1 -m "$MEMORY" -nodefaults -no-reboot -display none
		-object "memory-backend-memfd,id=m,size=$MEMORY,share=on" -numa "node,memdev=m"
		-chardev "socket,id=c,path=$WORK/root" -device "vhost-user-fs-pci,chardev=c,tag=host"
		-serial "file:$WORK/console" -serial stdio -serial "file:$WORK/status"
		-kernel "$KERNEL/kernel" -initrd "$WORK/initrd"
		-append "console=ttyS0 quiet panic=-1 nokaslr norandmaps mitigations=off cryptomgr.notests apparmor=0 audit=0 socktables.guest"
	)
	timeout -k 5 "${VM_TIMEOUT:-300}" qemu-system-x86_64 "${options[@]}" < /dev/null &
	PIDS+=($!)
	wait $!
}

for tool in qemu-system-x86_64 busybox cpio modprobe depmod; do
	command -v $tool > /dev/null || { echo "vm: skipped: no $tool" >&2 && exit 77; }
done
mkdir -p "$CACHE" "$WORK/more"
exec 9> "$CACHE/lock"
flock 9
[[ -e $KERNEL/ok ]] || "$HERE/kernel.sh" "$SERIES" "$KERNEL"
exec 9>&-
printf '%q ' "$@" > "$WORK/more/cmd"
printf 'MODULES=%q\nFOLDER=%q\n' "$(< "$KERNEL/ok")" "$PWD" > "$WORK/more/conf"
install -m 755 "$HERE/init.sh" "$WORK/more/init" # not kept with the kernel, as they may change
cp "$HERE/start.sh" "$WORK/more/start"
# compressed, as a plain archive would have to be aligned to be found
(cd "$WORK/more" && printf '%s\n' cmd conf init start | cpio -o -H newc -R 0:0 --quiet | gzip -1) > "$WORK/end"
cat "$KERNEL/initrd" "$WORK/end" > "$WORK/initrd"
share_root
ended=0
boot || ended=$?
[[ -z ${VM_LOG:-} ]] || cp "$WORK/console" "$VM_LOG"
status=$(tr -dc 0-9 < "$WORK/status")
[[ -z $status ]] || exit "$status"
((ended != 124)) || exit 124
echo 'vm: the kernel did not finish; its console:' >&2
tail -n 25 "$WORK/console" "$WORK/virtiofsd" >&2
exit 125
