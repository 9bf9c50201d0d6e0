# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# awk -v prefix=KERNEL -f results.awk: what run.sh printed in a guest, as results in lib.sh's form; behind
# them, as comments, what each suite took there.
match($0, / \([0-9.]+ s\)$/) {
	seconds = substr($0, RSTART + 2)
	name = substr($0, 6, RSTART - 6)
	suite = name
	sub(/:.*/, "", suite)
	if (!(suite in took))
		suites[++nr] = suite
	took[suite] += seconds
}

/^PASS / { print "ok " prefix ": " name; next }
/^FAIL / { print "not ok " prefix ": " name; next }
/^SKIP / { print "skip " prefix ": " name; next }
/^    #/ { print substr($0, 5) }

END {
	for (i = 1; i <= nr; i++)
		printf "# %s: %s took %d s\n", prefix, suites[i], took[suites[i]]
}
