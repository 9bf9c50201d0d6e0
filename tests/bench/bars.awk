# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Ratios to direct for bars.gp: -v figures='A|B'. A line for each parameter, three columns for each engine.
BEGIN {
	FS = "\t"
	n_figures = split(figures, f, "|")
	for (i = 1; i <= n_figures; i++)
		wanted[f[i]]
	n_known = split("socktables nftables iptables-nft iptables-legacy", known, " ")
}

$1 in wanted && $10 != "" {
	row = $1 SUBSEP $3
	if (!(row in label)) {
		rows[++n] = row
		label[row] = (n_figures > 1 ? $1 "\\n" : "") gensub(/, /, "\\\\n", "g", $3)
	}
	seen[$2]
	value[row, $2] = $10 "\t" $11 "\t" $12
}

END {
	if (!n)
		exit 1
	for (e = 1; e <= n_known; e++)
		if (known[e] in seen)
			engine[++n_engines] = known[e]
	printf "what"
	for (e = 1; e <= n_engines; e++)
		printf "\t%s\tlow\thigh", engine[e]
	print ""
	for (i = 1; i <= n; i++) {
		printf "\"%s\"", label[rows[i]]
		for (e = 1; e <= n_engines; e++)
			printf "\t%s", (rows[i], engine[e]) in value ? value[rows[i], engine[e]] : "?\t?\t?"
		print ""
	}
}
