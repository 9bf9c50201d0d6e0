# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Figures that were measured along a number ("1000 CIDRs", "17"), for curves.gp: one file a curve in DIR, with a block
# for each engine: X MEDIAN P25 P75. Prints "FILE <tab> FIGURE <tab> WHAT X IS <tab> UNIT <tab> ENGINES"
# for each that has enough points.
BEGIN {
	FS = "\t"
	PROCINFO["sorted_in"] = "@ind_num_asc"
}

$1 !~ /^BPF/ && $3 ~ /^[0-9]+( [A-Za-z]+)?$/ {
	x = $3 + 0
	noun = $3
	sub(/^[0-9]+ ?/, "", noun)
	sub(/s$/, "", noun)
	curve = $1 SUBSEP noun
	if (!(curve in unit)) {
		curves[++n] = curve
		name[curve] = $1; along[curve] = noun; unit[curve] = $4
	}
	xs[curve][x]
	points[curve][$2][x] = x "\t" $7 "\t" $8 "\t" $9
}

function write(curve, file,	i, n_known, known, e, x, engines)
{
	n_known = split("socktables nftables iptables-nft iptables-legacy direct", known, " ")
	for (i = 1; i <= n_known; i++) {
		e = known[i]
		if (!(e in points[curve]))
			continue
		for (x in points[curve][e])
			print points[curve][e][x] > file
		print "\n" > file
		engines = engines " " e
	}
	close(file)
	return substr(engines, 2)
}

END {
	for (i = 1; i <= n; i++) {
		if (length(xs[curves[i]]) < 3)
			continue
		file = "curve-" tolower(name[curves[i]] "-" along[curves[i]])
		gsub(/[^a-z0-9]+/, "-", file)
		sub(/-$/, "", file)
		engines = write(curves[i], dir "/" file ".dat")
		print file "\t" name[curves[i]] "\t" along[curves[i]] "\t" unit[curves[i]] "\t" engines
	}
}
