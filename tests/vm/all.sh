#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# all.sh DIR SERIES...: runs the suites of VM_TESTS under each kernel, one after the other, what they print
# into DIR/SERIES, and at the end the table of README.md.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$1
shift
FAILED=()
mkdir -p "$DIR" || exit

# suites SERIES: which; those with figures of their own about time, and with other kernels, are not
suites() {
	local file
	if [[ $1 == 5.* ]]; then
		echo "$HERE/refused.sh"
		return
	fi
	[[ -z ${VM_TESTS:-} ]] || { echo "$VM_TESTS" && return; }
	echo unit_kernel_test "$HERE/pod.sh"
	for file in "$HERE"/../e2e/*.sh; do
		[[ ! -x $file ]] || basename "$file" .sh
	done
	echo diff "$HERE/lockdown.sh"
}

for series; do
	echo "Linux $series"
	mapfile -t names < <(suites "$series" | tr ' ' '\n')
	VM_MEM=4G VM_TIMEOUT=86400 "$HERE/vm.sh" "$series" env SUITE_SECONDS=14400 "$HERE/suites.sh" "${names[@]}" |&
		tee "$DIR/$series"
	((PIPESTATUS[0] == 0)) || FAILED+=("$series")
done
awk -f "$HERE/table.awk" "${@/#/$DIR/}"
((${#FAILED[@]} == 0)) || { echo "failed: ${FAILED[*]}" >&2 && exit 1; }
