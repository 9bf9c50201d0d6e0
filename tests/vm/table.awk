# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# awk -f table.awk FILE...: of what suites.sh printed under each kernel, README's table: a column for each
# kernel, a row for each suite, in it how many tests passed and, if any, how many failed or were skipped.
/^Linux / && !(FILENAME in column) {
	column[FILENAME] = ++nr_kernels
	kernel[nr_kernels] = $2
	sub(/-.*|\+.*/, "", kernel[nr_kernels])
	if (match($0, /Debian [0-9.]+/)) # the release is but the ABI up to 6.1
		kernel[nr_kernels] = substr($0, RSTART + 7, RLENGTH - 7)
}

/^(PASS|FAIL|SKIP) / && FILENAME in column {
	suite = $2
	sub(/:$/, "", suite)
	if (!(suite in row)) {
		row[suite] = ++nr_suites
		name[nr_suites] = suite
	}
	n[row[suite], column[FILENAME], $1]++
}

function cell(s, k,   passed, failed, skipped) {
	passed = n[s, k, "PASS"] + 0
	failed = n[s, k, "FAIL"] + 0
	skipped = n[s, k, "SKIP"] + 0
	if (!(passed + failed + skipped))
		return "-"
	return passed (failed ? ", " failed " failed" : "") (skipped ? ", " skipped " skipped" : "")
}

END {
	printf "| suite |"
	for (k = 1; k <= nr_kernels; k++)
		printf " %s |", kernel[k]
	printf "\n|---|"
	for (k = 1; k <= nr_kernels; k++)
		printf "---|"
	print ""
	for (s = 1; s <= nr_suites; s++) {
		printf "| `%s` |", name[s]
		for (k = 1; k <= nr_kernels; k++)
			printf " %s |", cell(s, k)
		print ""
	}
}
