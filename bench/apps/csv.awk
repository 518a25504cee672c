# SPDX-License-Identifier: MIT
#
# The lines of the applications ("repeat=1 app=heat ...") as CSV. Compares their checksums with one
# thread's: a row that differs is not ok, a sentence on stderr says so, and the exit status is 1.

{
	delete word
	for (i = 1; i <= NF; i++) {
		at = index($i, "=")
		word[substr($i, 1, at - 1)] = substr($i, at + 1)
	}
	n++
	what[n] = word["app"] "," word["class"]
	form[n] = word["form"]
	head[n] = what[n] "," form[n] "," word["ranks"] "," word["repeat"] "," word["seconds"] + 0
	tail[n] = word["rate"] + 0 "," word["unit"]
	ok[n] = word["ok"] + 0
	sum[n] = word["checksum"]
	if (form[n] == "seq" && ok[n])
		expected[what[n]] = sum[n]
}

function differs(a, b, delta)
{
	delta = a - b
	return (delta < 0 ? -delta : delta) > 1e-9 * (b < 0 ? -b : b)
}

END {
	print "app,class,form,ranks,repeat,seconds,ok,rate,unit"
	for (i = 1; i <= n; i++) {
		if (ok[i] && !(what[i] in expected)) {
			ok[i] = 0
			why = "there is no result of one thread to compare with"
		} else if (ok[i] && differs(sum[i], expected[what[i]])) {
			ok[i] = 0
			why = "checksum " sum[i] " where one thread has " expected[what[i]]
		} else if (sum[i] == "") {
			why = "it ended without a result"
		} else {
			why = "not what was expected"
		}
		if (!ok[i]) {
			printf "FAILED: %s: %s\n", head[i], why > "/dev/stderr"
			failed = 1
		}
		print head[i] "," ok[i] "," tail[i]
	}
	exit failed
}
