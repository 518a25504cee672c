# SPDX-License-Identifier: MIT
#
# The CSV of run.sh as a Markdown table of median rates.

BEGIN {
	FS = ","
	# A page goes from rank to rank for a word: what pages with one writer are not made for.
	split("gups hash hash_local", names, " ")
	for (i in names)
		fine[names[i]] = 1
}

NR > 1 {
	what = $1 "," $2
	if (!(what in unit)) {
		order[++n] = what
		unit[what] = $9
	}
	if ($7)
		rate[what, $3, ++count[what, $3]] = $8
	else
		failed[what] = failed[what] " " $3
}

function median(what, form, m, i, j, x)
{
	m = count[what, form]
	if (!m)
		return 0
	for (i = 1; i <= m; i++) {
		x = rate[what, form, i]
		for (j = i - 1; j > 0 && sorted[j] > x; j--)
			sorted[j + 1] = sorted[j]
		sorted[j + 1] = x
	}
	return m % 2 ? sorted[(m + 1) / 2] : (sorted[m / 2] + sorted[m / 2 + 1]) / 2
}

function show(x)
{
	return !x ? "–" : x < 10 ? sprintf("%.2f", x) : x < 100 ? sprintf("%.1f", x) : sprintf("%.0f", x)
}

function ratio(a, b)
{
	return a && b ? sprintf(a < 0.1 * b ? "%.2g" : "%.2f", a / b) : "–"
}

END {
	print "| application | class | sharing | unit | one thread | libdsm, loads and stores alone | libdsm | MPI |" \
		" libdsm / one thread | MPI / one thread | libdsm / MPI |"
	print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	for (i = 1; i <= n; i++) {
		what = order[i]
		split(what, part, ",")
		seq = median(what, "seq")
		dsm = median(what, "dsm")
		mpi = median(what, "mpi")
		printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |%s\n", part[1], part[2],
			part[1] in fine ? "fine" : "coarse", unit[what], show(seq), show(median(what, "plain")),
			show(dsm), show(mpi),
			ratio(dsm, seq), ratio(mpi, seq), ratio(dsm, mpi),
			what in failed ? " not ok:" failed[what] : ""
	}
}
