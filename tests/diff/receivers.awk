# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# awk -f receivers.awk receivers.tsv RESULTS: prints each row whose receiver is not the table's.
BEGIN {
	FS = "\t"
	split("app proxy app-gid1337", owners, " ")
}

# The table: one row of it is a flow of each owner and family; with one column it is the peer's.
FNR == NR && /^#/ { next }
FNR == NR {
	protocol = substr($1, 1, 3)
	steps = substr($1, 5)
	for (family = 4; family <= 6; family += 2) {
		if (NF == 2)
			want["peer " protocol family " " steps] = $2
		for (i = 2; NF > 2 && i <= NF; i++)
			if ($i != "-" && !(family == 6 && steps ~ /lo2/))
				want[owners[i - 1] " " protocol family " " steps] = $i
	}
	next
}

$1 in want {
	got = ""
	for (i = 2; i <= NF; i++)
		if ($i ~ /^to=/ || (got == "" && $i ~ /^connect=E/))
			got = substr($i, index($i, "=") + 1)
	if (got != want[$1])
		print $1 ": want " want[$1] ", got " got
	delete want[$1]
}

END {
	for (row in want)
		if (!partial)
			print row ": not in the matrix"
}
