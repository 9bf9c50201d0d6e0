# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# awk -v ref=NAME -v other=NAME -v limit=ROWS -f compare.awk MATRIX ALLOWED REF-RESULTS OTHER-RESULTS
#
# Prints one result (tests/lib.sh) per group of the matrix: ok if every field of every row of the
# group agrees or differs in an allowed way; else the fields that differ, side by side, of at most
# ROWS rows. ALLOWED may be /dev/null. With -v classes=1 it prints instead how often each difference
# occurs, with an example.
BEGIN { FS = "\t" }

FILENAME == ARGV[1] {
	if (!($1 in rows_of))
		groups[++nr_groups] = $1
	rows_of[$1] = rows_of[$1] $2 FS
	next
}

FILENAME == ARGV[2] {
	if (!/^#/ && NF == 5) {
		name[++nr_allowed] = $1
		row_like[nr_allowed] = $2
		field_like[nr_allowed] = $3
		change_like[nr_allowed] = $4
	}
	next
}

FILENAME == ARGV[3] { reference[$1] = $0; next }
{ result[$1] = $0 }

# A result line into value[which, KEY]; new keys are appended to keys[]
function read_fields(line, which,   n, i, part, key) {
	n = split(line, part, FS)
	for (i = 2; i <= n; i++) {
		key = substr(part[i], 1, index(part[i], "=") - 1)
		value[which, key] = substr(part[i], length(key) + 2)
		if (!(key in seen)) {
			seen[key] = 1
			keys[++nr_keys] = key
		}
	}
}

# An IPv4 address without the clothes it wears on an IPv6 socket
function plain(address) {
	if (sub(/^\[::ffff:/, "", address))
		sub(/\]/, "", address)
	return address
}

# What the other engine's value is to the client of the same step: the address it dialled, or its own
function relation(key, b,   step) {
	step = match(key, /^([0-9]\.)?([ab]\.)?/) ? substr(key, 1, RLENGTH) : ""
	if (plain(value["b", step "peername"]) == b)
		return " (dialled)"
	if (plain(value["b", step "sockname"]) == b)
		return " (own)"
	return ""
}

function is_allowed(row, key, change,   i) {
	for (i = 1; i <= nr_allowed; i++)
		if (row ~ row_like[i] && key ~ field_like[i] && change ~ change_like[i]) {
			used[i]++
			return 1
		}
	return 0
}

# Counts a difference; a port or an address of the spread does not make a class of its own
function note_class(key, a, b, row,   change) {
	sub(/:[0-9]+$/, ":N", a)
	sub(/:[0-9]+$/, ":N", b)
	if (key ~ /local$/)
		sub(/^127\.[0-9.]+:N/, "127.*:N", b)
	change = key ": " a " -> " b
	class[change]++
	example[change] = row
}

# The fields of a row that differ, one line each
function differences(row,   i, key, a, b, text) {
	split("", value)
	split("", seen)
	nr_keys = 0
	read_fields(reference[row], "a")
	read_fields(result[row], "b")
	if (!(row in reference) || !(row in result))
		return sprintf("#     no result from %s\n", row in reference ? other : ref)
	text = ""
	for (i = 1; i <= nr_keys; i++) {
		key = keys[i]
		a = ("a", key) in value ? value["a", key] : "none"
		b = ("b", key) in value ? value["b", key] : "none"
		if (a == b || is_allowed(row, key, a " -> " b relation(key, b)))
			continue
		text = text sprintf("#     %-12s %-28s %s\n", key, a, b)
		note_class(key, a, b, row)
	}
	return text
}

function compare_group(group,   n, i, row, differ, text, all) {
	n = split(rows_of[group], row, FS) - 1
	differ = 0
	all = ""
	for (i = 1; i <= n; i++) {
		text = differences(row[i])
		if (text == "")
			continue
		differ++
		if (differ <= limit)
			all = all "# " row[i] "\n" text
	}
	if (classes)
		return
	if (!differ) {
		print "ok " other " = " ref ": " group
		return
	}
	failed = 1
	print "not ok " other " = " ref ": " group
	printf "#     %-12s %-28s %s\n%s", "", ref, other, all
	printf "# %d of %d rows differ", differ, n
	print (differ > limit ? ", the first " limit " are shown" : "")
}

END {
	for (g = 1; g <= nr_groups; g++)
		compare_group(groups[g])
	for (c in class)
		if (classes)
			printf "%6d  %-70s e.g. %s\n", class[c], c, example[c]
	for (i = 1; i <= nr_allowed; i++)
		if (!used[i] && !partial && name[i] !~ /^Linux /)
			print "# warning: allowed difference '" name[i] "' did not occur"
	exit failed
}
