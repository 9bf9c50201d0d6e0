# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A summary (see summary.awk) as Markdown: what all engines were measured at, then what our programs did.

# Three significant digits, or all of those before the point, with commas
function number(x,	s, sign)
{
	sign = x < 0 ? "-" : ""
	x = x < 0 ? -x : x
	s = x >= 100 || x == int(x) ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x)
	while (s ~ /^[0-9]{4}/)
		s = gensub(/^([0-9]+)([0-9]{3})/, "\\1,\\2", 1, s)
	return sign s
}

function cell(row, engine,	s)
{
	if (!((row, engine) in median))
		return "–"
	s = number(median[row, engine])
	if (engine == "direct")
		return rounds[row, engine] > 1 ? s " ±" sprintf("%.0f", 100 * spread[row, engine]) " %" : s
	if (ratio[row, engine] == "")
		return s
	s = s " (**" sprintf("%.2f", ratio[row, engine]) "**"
	if (rounds[row, engine] > 1)
		s = s ", " sprintf("%.2f", low[row, engine]) "–" sprintf("%.2f", high[row, engine])
	return s ")"
}

function line(cells, n,	i, s)
{
	for (i = 1; i <= n; i++)
		s = s "| " cells[i] " "
	print s "|"
}

function rule(n,	i, s)
{
	for (i = 1; i <= n; i++)
		s = s "|---"
	print s "|"
}

function main_table(	i, e, row, c)
{
	c[1] = "figure"; c[2] = "unit"
	for (e = 1; e <= n_engines; e++)
		c[e + 2] = engines[e]
	line(c, n_engines + 2)
	rule(n_engines + 2)
	for (i = 1; i <= n_rows; i++) {
		row = rows[i]
		if (figure[row] ~ /^BPF/ || params[figure[row]] > MANY)
			continue
		c[1] = figure[row] (param[row] == "" ? "" : ", " param[row])
		c[2] = unit[row] (better[row] == "low" ? " ↓" : "")
		for (e = 1; e <= n_engines; e++)
			c[e + 2] = cell(row, engines[e])
		line(c, n_engines + 2)
	}
}

# A row for each parameter that one of these figures has, a column for each figure
function pivot(title, names, n,	i, j, row, c, seen, key)
{
	c[1] = title
	for (j = 1; j <= n; j++) {
		c[j + 1] = substr(names[j], 5)
		for (i = 1; i <= n_rows; i++)
			if (figure[rows[i]] == names[j] && !(param[rows[i]] in seen))
				key[++seen[0]] = param[rows[i]] (seen[param[rows[i]]] = "")
	}
	if (!seen[0])
		return
	print ""
	line(c, n + 1)
	rule(n + 1)
	for (i = 1; i <= seen[0]; i++) {
		c[1] = key[i]
		for (j = 1; j <= n; j++) {
			row = names[j] SUBSEP key[i]
			c[j + 1] = (row, "socktables") in median ? number(median[row, "socktables"]) : ""
		}
		line(c, n + 1)
	}
}

function programs(	names)
{
	split("BPF runs\tBPF ns a run\tBPF ns in all", names, "\t")
	pivot("for one", names, 3)
	split("BPF verified instructions\tBPF size", names, "\t")
	pivot("program", names, 2)
	split("BPF st_connect4", names, "\t")
	pivot("ns a run, with", names, 1)
	split("BPF runs in all", names, "\t")
	pivot("established traffic", names, 1)
}

# How far direct is from itself: half of what lies between its quartiles, in the middle of all figures but
# the rare cases
function noise(	i, n, all)
{
	for (i = 1; i <= n_rows; i++)
		if (rounds[rows[i], "direct"] > 1 && figure[rows[i]] !~ / p99$/)
			all[++n] = spread[rows[i], "direct"]
	if (!n)
		return
	asort(all)
	printf "* noise: between the rounds, direct differs from its own median by ±%.1f %% (half the distance of the " \
		"quartiles, median over all figures; worst %.0f %%)\n", 100 * all[int((n + 1) / 2)], 100 * all[n]
}

BEGIN {
	FS = "\t"
	MANY = 8 # what was measured at more points than these is for a plot
	n_known = split("direct socktables nftables iptables-nft iptables-legacy", known, " ")
}

{
	row = $1 SUBSEP $3
	if (!(row in figure)) {
		rows[++n_rows] = row
		figure[row] = $1; param[row] = $3; unit[row] = $4; better[row] = $5
		params[$1]++
	}
	seen[$2]
	rounds[row, $2] = $6
	median[row, $2] = $7
	spread[row, $2] = $7 ? ($9 - $8) / 2 / $7 : 0
	ratio[row, $2] = $10; low[row, $2] = $11; high[row, $2] = $12
}

END {
	for (i = 1; i <= n_known; i++)
		if (known[i] in seen)
			engines[++n_engines] = known[i]
	noise()
	print "\nMedian over the rounds (**ratio to direct**, its quartiles): a ratio is taken within a round, then the " \
		"median over the rounds. ↓: less is better.\n"
	main_table()
	programs()
}
