# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Samples (see bench.sh) to one line for each figure, parameter and engine, in the order in which they were first
# seen; with tabs between:
#
#	FIGURE ENGINE PARAM UNIT BETTER N MEDIAN P25 P75 RATIO RATIO25 RATIO75
#
# RATIO is the median over the rounds of (this engine's value / direct's value of that round), RATIO25 and RATIO75
# are its quartiles; they are empty without any round that has both. Several values of one round are averaged.

# The quantile Q of V[1..N], sorted; between two values in proportion, as R and NumPy do it.
function quantile(v, n, q,	at, low)
{
	at = 1 + (n - 1) * q
	low = int(at)
	return low < n ? v[low] + (v[low + 1] - v[low]) * (at - low) : v[n]
}

function quartiles(v, n)
{
	return quantile(v, n, 0.5) "\t" quantile(v, n, 0.25) "\t" quantile(v, n, 0.75)
}

function summary(row, what,	round, n, r, v, ratio)
{
	for (round in rounds) {
		if (!((row, round) in sum))
			continue
		v[++n] = sum[row, round] / count[row, round]
		if (sum[what, "direct", round])
			ratio[++r] = v[n] / (sum[what, "direct", round] / count[what, "direct", round])
	}
	asort(v)
	if (r)
		asort(ratio)
	return n "\t" quartiles(v, n) "\t" (r ? quartiles(ratio, r) : "\t\t")
}

BEGIN { FS = "\t"; SUBSEP = "\t"; CONVFMT = "%.10g" }

NF != 7 || $7 !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ {
	print FILENAME ":" FNR ": not a sample: " $0 > "/dev/stderr"
	bad = 1
	exit 1
}

{
	what = $1 "\t" $3
	row = what SUBSEP $2
	if (!(row in head)) {
		rows[++n_rows] = row
		head[row] = $1 "\t" $2 "\t" $3 "\t" $4 "\t" $5
		whats[row] = what
	}
	rounds[$6]
	sum[row, $6] += $7
	count[row, $6]++
}

END {
	if (bad)
		exit 1
	for (i = 1; i <= n_rows; i++)
		print head[rows[i]] "\t" summary(rows[i], whats[rows[i]])
}
