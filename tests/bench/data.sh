#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# data.sh quick|full [REGEX]: measures the data plane. Prints samples, as bench.sh says; progress goes to stderr.
# All engines' pods are there all the time; each figure is measured for one engine after the other, so that what
# is compared is seconds apart, and who is first changes from round to round.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/diff/engine.sh
. "$TESTS/diff/engine.sh"
# shellcheck source=tests/bench/engines.sh
. "$TESTS/bench/engines.sh"
# shellcheck source=tests/bench/figures.sh
. "$TESTS/bench/figures.sh"
if [[ ${1:-} == list ]]; then
	printf '%s\n' "${FIGURES[@]}" | cut -d '|' -f 2
	echo control
	exit
fi
env_private "$@"

# shellcheck disable=SC2034 # for figures.sh
case ${1:-} in
quick) ROUNDS=3 SELDOM=1 SECONDS_EACH=0.15 HTTP_SECONDS=1 QUERIES=2000 BPF_COUNT=2000 IPERF_BYTES=500M ;;
full) ROUNDS=9 SELDOM=7 SECONDS_EACH=0.3 HTTP_SECONDS=1 QUERIES=5000 BPF_COUNT=5000 IPERF_BYTES=1G ;;
*) echo "usage: $0 quick|full [REGEX], or list" >&2 && exit 2 ;;
esac
ONLY=${2:-}

# progress TEXT...: on a terminal the last one alone is seen
progress() {
	if [[ -t 2 ]]; then printf '\r\e[K%s' "$*" >&2; else echo "$*" >&2; fi
}

# engines_up: starts all that this machine has, into $ENGINES
engines_up() {
	local engine why
	ENGINES=()
	for engine in direct socktables iptables-legacy iptables-nft nftables; do
		if why=$(engine_missing "$engine"); then
			echo "$engine is left out: $why" >&2
			continue
		fi
		progress "setting up: $engine"
		engine_up "$engine" >&2 || { echo "$0: $engine does not work: nothing is measured" >&2 && exit 1; }
		ENGINES+=("$engine")
	done
}

# due: whether a figure of this kind is measured in this round
due() {
	case $KIND in
	seldom) ((ROUND <= SELDOM)) ;;
	once) ((ROUND == 1)) ;;
	esac
}

# figure FUNCTION ARG...: of every engine, in this round's order
figure() {
	local i n=${#ENGINES[@]}
	for ((i = 0; i < n; i++)); do
		ENGINE=${ENGINES[(i + ROUND) % n]}
		[[ $KIND != @(ours|once) || $ENGINE == socktables ]] || continue
		progress "round $ROUND/$ROUNDS: $ENGINE: $NAME"
		"$@" && continue
		echo "$0: $ENGINE: $NAME failed" >&2
		exit 1
	done
}

(($(nproc) > 1)) || { echo "$0: needs two cores" >&2 && exit 1; }
chmod 711 "$TMP" # the app's web server is somebody else
programs_built bench_connect bench_stream bench_datagram bench_sockopt
ulimit -n "$(ulimit -Hn)"
engines_up
for ((ROUND = 1; ROUND <= ROUNDS; ROUND++)); do
	for row in "${FIGURES[@]}"; do
		IFS='|' read -r KIND NAME command <<< "$row"
		[[ $NAME =~ $ONLY ]] || continue
		due || continue
		read -ra command <<< "$command"
		figure "${command[@]}"
	done
done
progress ''
socktables_stop socktables >&2 && socktables_stop socktables-web >&2
finish
