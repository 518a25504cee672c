# SPDX-License-Identifier: MIT
#
# What measure.c printed as tables, and from experiment 2 the straight line through nanoseconds a
# call over cache lines a call: lines_per_page is given.
function heading(text) {
	printf "\n%s\n%-11s %7s %6s %7s %10s %10s %10s %10s %13s\n", text, "method", "#pages", "#order",
		"#calls", "t_min", "t_typical", "t_avg", "t_max", "t_all"
}

# Weighted by 1/y^2, so that every order counts alike: what is least is the error in per cent.
function fit(m,    d, w, i) {
	d = sw[m] * sxx[m] - sx[m] * sx[m]
	slope = (sw[m] * sxy[m] - sx[m] * sy[m]) / d
	offset = (sy[m] - slope * sx[m]) / sw[m]
	worst = 0
	for (i = 1; i <= n[m]; i++) {
		w = (offset + slope * x[m, i]) / y[m, i] - 1
		w = w < 0 ? -w : w
		worst = w > worst ? w : worst
	}
	printf "%-11s %.3f ns a line + %.0f ns a call (off by at most %.1f %%)\n", m, slope, offset, 100 * worst
}

$1 == "experiment" {
	experiment = $2
	heading(experiment == 1 ? "1. Controlled allocation size, variable page count (ns a call of the clean function)" : \
		"2. Controlled page count, variable allocation size (ns a call of the clean function)")
	next
}
NF == 8 {
	printf "%-11s %7d %6d %7d %10d %10d %10d %10d %13d\n", $1, $2, $3, $4, $5, $6, $7, $8, $7 * $4
	if (experiment == 2) {
		lines = lines_per_page * 2 ^ $3
		i = ++n[$1]
		x[$1, i] = lines
		y[$1, i] = $6
		w = 1 / ($6 * $6)
		sw[$1] += w
		sx[$1] += w * lines
		sy[$1] += w * $6
		sxx[$1] += w * lines * lines
		sxy[$1] += w * lines * $6
	}
}
END {
	print "\nFit of experiment 2"
	fit("ftrace")
	fit("tracepoint")
}
