# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# awk -v name=TEST -v limit=ROWS -f predicted.awk MATRIX RESULTS
#
# Whether every flow was received as the rules say that are walked in C: prints one result
# (tests/lib.sh). The matrix' third column is the port that a row is redirected to, or 0; then it is
# received under the port that it dialled, or fails. Rows with "-" are not predicted.
BEGIN { FS = "\t" }

NR == FNR {
	if ($3 != "-")
		port[$2] = $3
	next
}

$1 in port {
	to = "nobody"
	for (i = 2; i <= NF; i++)
		if ($i ~ /^to=/)
			to = substr($i, 4)
	dialled = $1
	sub(/.*:/, "", dialled)
	want = port[$1]
	if (want ? to ~ ("^(proxy|agent):" want "$") : to !~ /:/ || to ~ (":" dialled "$"))
		right++
	else if (++wrong <= limit)
		text = text "# " $1 ": the rules say " (want ? want : "direct") ", got " to "\n"
	delete port[$1]
}

END {
	for (row in port)
		if (++wrong <= limit)
			text = text "# " row ": no result\n"
	print (wrong ? "not ok " : "ok ") name
	if (wrong)
		printf "%s# %d of %d rows are not as predicted\n", text, wrong, wrong + right
	exit (wrong > 0)
}
