#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# pod.sh under lockdown=confidentiality, which lets no program of a cgroup read the kernel's memory. Nothing
# undoes it: for guests only, and their last suite.
set -eu
LOCKDOWN=/sys/kernel/security/lockdown
grep -qw socktables.guest /proc/cmdline || { echo "$0: would lock this machine down" >&2 && exit 2; }
[[ -e $LOCKDOWN ]] || mount -t securityfs none "${LOCKDOWN%/*}"
grep -qF '[confidentiality]' "$LOCKDOWN" || echo confidentiality > "$LOCKDOWN"
# shellcheck source=tests/vm/pod.sh
. "$(dirname "$0")/pod.sh"
