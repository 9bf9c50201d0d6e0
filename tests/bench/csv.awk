# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A summary (see summary.awk) as CSV.
function quoted(s)
{
	gsub(/"/, "\"\"", s)
	return s ~ /[",]/ ? "\"" s "\"" : s
}

BEGIN {
	FS = "\t"
	print "figure,engine,param,unit,better,n,median,p25,p75,ratio_to_direct,ratio_p25,ratio_p75"
}

{
	line = quoted($1)
	for (i = 2; i <= 12; i++)
		line = line "," quoted($i)
	print line
}
