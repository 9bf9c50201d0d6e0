#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The benchmark: socktables beside no interception at all, both iptables and native nftables, in one run.
#
#	data.sh		what connections, traffic and DNS cost: all engines in turn, round after round
#	control.sh	what attaching costs, and how costs grow
#	report.sh	tables and plots of what they measured
#
# Both print one line for each value: FIGURE, ENGINE, PARAM, UNIT, better (high, low or none), ROUND, VALUE, with tabs
# between. They are kept in build/bench/samples.tsv.
set -u -o pipefail

usage() {
	cat <<-'END'
		usage: tests/bench/bench.sh [OPTION]...

		Measures and writes build/bench/results.md, results.csv and plots.

		  --quick        within two minutes
		  --full         more rounds and longer samples (default)
		  --only REGEX   only what matches; --list shows what there is. "control" is control.sh
		  --list         list the figures and do nothing
		  --report       only make the report anew, of the samples that are there

		  tests/bench/bench.sh --quick --only 'connections|round trips'
	END
}

HERE=$(cd "$(dirname "$0")" && pwd)
OUT=$(dirname "$(dirname "$HERE")")/build/bench
MODE=full ONLY='' DO=measure CHILD=''

while (($#)); do
	case $1 in
	--quick | --full) MODE=${1#--} ;;
	--only) ONLY=${2:?--only needs a pattern} && shift ;;
	--list | --report) DO=${1#--} ;;
	--help | -h) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

stop() {
	trap - INT TERM HUP
	[[ -z $CHILD ]] || { kill -TERM "$CHILD" && wait "$CHILD"; } 2> /dev/null
	exit "$1"
}

# measure SCRIPT ARG...: its samples are added to the others
measure() {
	local status=0
	# In the background, so that a signal ends the wait at once.
	"$@" >> "$OUT/samples.tsv" < /dev/null &
	CHILD=$!
	wait "$CHILD" || status=$?
	CHILD=''
	((status == 0)) || { echo "$0: ${1##*/} failed: no report" >&2 && exit 1; }
}

if [[ $DO == list ]]; then
	exec "$HERE/data.sh" list
fi
if [[ $DO == measure ]]; then
	[[ $(id -u) == 0 ]] || { echo "$0: needs root" >&2 && exit 1; }
	trap 'stop 129' HUP
	trap 'stop 130' INT
	trap 'stop 143' TERM
	mkdir -p "$OUT"
	rm -f "$OUT"/*
	"$HERE/about.sh" "$MODE" > "$OUT/about.md" || exit 1
	measure "$HERE/data.sh" "$MODE" "$ONLY"
	[[ ! -x $HERE/control.sh || ! control =~ $ONLY ]] || measure "$HERE/control.sh" "$MODE"
fi
"$HERE/report.sh" "$OUT"
