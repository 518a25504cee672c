# SPDX-License-Identifier: MIT
#
# The figures of all runs (report.csv) as medians over the runs, in the order in which they came:
#	test,size,ranks,system,unit,median,least,most,runs
BEGIN { FS = "," }
FNR == 1 {
	if ($0 != "test,size,ranks,system,repeat,value,unit") {
		print "medians.awk: " FILENAME " is no report: it begins with " $0 >"/dev/stderr"
		failed = 1
		exit 1
	}
	next
}
NF != 7 || $6 !~ /^-?[0-9.]+$/ {
	print "medians.awk: " FILENAME ":" FNR ": not a figure: " $0 >"/dev/stderr"
	failed = 1
	exit 1
}
{
	key = $1 "," $2 "," $3 "," $4 "," $7
	if (!(key in n))
		keys[++nkeys] = key
	# Insertion, so that a key's values are in order.
	for (i = ++n[key]; i > 1 && value[key, i - 1] > $6 + 0; i--)
		value[key, i] = value[key, i - 1]
	value[key, i] = $6 + 0
}
END {
	if (failed)
		exit 1
	print "test,size,ranks,system,unit,median,least,most,runs"
	for (k = 1; k <= nkeys; k++) {
		key = keys[k]
		m = n[key]
		median = m % 2 ? value[key, (m + 1) / 2] : (value[key, m / 2] + value[key, m / 2 + 1]) / 2
		printf "%s,%.6g,%.6g,%.6g,%d\n", key, median, value[key, 1], value[key, m], m
	}
}
