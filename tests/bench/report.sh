#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# report.sh DIR: of DIR/samples.tsv, and DIR/about.md if there is one, makes results.md, results.csv and plots there.
set -u -o pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=${1:?usage: report.sh DIR}

# plot SCRIPT NAME HEADING [VARIABLE=VALUE...]: DIR/NAME.dat as SVG and PNG
plot() {
	local script=$1 name=$2 heading=$3 form variables=''
	shift 3
	for form; do
		variables+="${form%%=*}='${form#*=}'; "
	done
	for form in svg png; do
		gnuplot -e "here='$HERE'; file='$DIR/$name'; form='$form'; heading='$heading'; $variables" \
			"$HERE/$script.gp" || return
	done
	echo "![$heading]($name.svg)" >> "$DIR/results.md"
}

# bars NAME HEADING FIGURES: nothing if none of them was measured
bars() {
	gawk -v figures="$3" -f "$HERE/bars.awk" "$DIR/summary.tsv" > "$DIR/$1.dat" || { rm -f "$DIR/$1.dat"; return 0; }
	plot bars "$1" "$2" "engines=$(head -n 1 "$DIR/$1.dat" | tr '\t' '\n' | grep -vxE 'what|low|high' | paste -sd ' ')"
}

plots() {
	local name figure along unit engines
	echo >> "$DIR/results.md"
	bars connections 'New connections' 'new connections' &&
		bars traffic 'Established connections' 'round trips|bulk' &&
		bars http 'HTTP through the proxy' 'HTTP' &&
		bars dns 'DNS queries' 'DNS' &&
		bars untouched 'Connections that are not redirected' 'not redirected' || return
	# A tab that stands for nothing would be lost between others: IFS takes no blanks.
	while IFS='|' read -r name figure along unit engines; do
		plot curves "$name" "$figure" "along=$along" "unit=$unit" "engines=$engines" || return
	done < <(gawk -v dir="$DIR" -f "$HERE/curves.awk" "$DIR/summary.tsv" | tr '\t' '|')
}

gawk -f "$HERE/summary.awk" "$DIR/samples.tsv" > "$DIR/summary.tsv" || exit
gawk -f "$HERE/csv.awk" "$DIR/summary.tsv" > "$DIR/results.csv" || exit
{
	echo '# What it costs'
	echo
	cat "$DIR/about.md" 2> /dev/null
	gawk -f "$HERE/markdown.awk" "$DIR/summary.tsv"
} > "$DIR/results.md" || exit
if command -v gnuplot > /dev/null; then
	plots || exit
else
	echo 'no plots: gnuplot is not installed (Debian: gnuplot-nox)' >&2
fi
echo "$DIR/results.md"
