#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Other kernels than this machine's, in QEMU: on the oldest that Debian supports the datapath passes a
# part of every kind of test, on one that is too old everything is refused by name. `make vm` runs more.
# shellcheck disable=SC2317 # traps run functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
VM=$TESTS/vm
TMP=$(mktemp -d)
GUESTS=()

# shellcheck disable=SC2329 # the trap runs it
leave() {
	((${#GUESTS[@]} == 0)) || kill "${GUESTS[@]}" 2> /dev/null
	wait
	rm -rf "$TMP"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Every program of ours takes part: owners and families to places outside and inside the pod, DNS over
# both protocols, callers from outside (but not two of them from one port, of which the iptables of 6.1
# loses one); and the rows by which diff.sh tests itself.
DIFF_ROWS='^(app|proxy) (tcp|udp)[46m] (connect|send)=(outside|pod|lo):(80|53|15020)$'
DIFF_ROWS+='|^app (tcp|udp)[46] (twice|send2)=|^peer (tcp|udp)[46] connect=pod:|^peer udp[46] twice=pod:'
DIFF_ROWS+='|^(app|proxy) tcp4 (bind=lo6:0 )?connect=pod:80$'

# guest SERIES SUITE...: boots, runs the suites; what they print to $TMP/SERIES
guest() {
	local series=$1
	shift
	VM_MEM=2G VM_TIMEOUT=850 setpriv --pdeathsig TERM "$VM/vm.sh" "$series" env CI="${CI:-}" \
		DIFF_ENGINES='iptables-nft socktables' DIFF_ONLY="$DIFF_ROWS" "$VM/suites.sh" "$@" > "$TMP/$series" 2>&1 &
	GUESTS+=($!)
}

# results SERIES STATUS [SKIPPABLE]: the guest's results as ours; status 77 is a failure unless skippable
results() {
	local series=$1 status=$2 name="Linux $1"
	if ((status == 77)); then
		if [[ -n ${3:-} ]]; then
			skip "$name" "kernel: $(tail -n 1 "$TMP/$series")"
		else
			fail "$name" "$TMP/$series"
		fi
		return
	fi
	check "$name is what boots" has "$(grep -m 1 '^Linux ' "$TMP/$series")" "^Linux ${series//./\\.}\\."
	awk -v prefix="$name" -f "$VM/results.awk" "$TMP/$series"
	check "$name ran to its end" grep -qE '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$' "$TMP/$series"
	((status < 2)) || fail "$name: exit status $status" "$TMP/$series"
}

# What cannot be had any more is no fault of ours; the one that must run is.
guest 6.1 unit_kernel_test "$VM/pod.sh" diff
guest 5.10 "$VM/refused.sh"
wait "${GUESTS[1]}"
OLD=$?
wait "${GUESTS[0]}"
NEW=$?
results 6.1 $NEW
results 5.10 $OLD skippable
finish
