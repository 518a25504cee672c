# SPDX-License-Identifier: MIT
#
# The medians of cost_tables.awk's table as bars, in SVG: instructions an operation; above each bar how
# many times those without maintenance.
function text(x, y, anchor, s) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, s
}
function py(v) { return top + height - v / y_max * height }

/QEMU -icount/ {
	arch = $1
	sub(/,/, "", arch)
}
NF == 10 && $3 + 0 == $3 {
	group = arch " " $1
	if (group != groups[n]) {
		groups[++n] = group
		operations[n] = $1
		sub(/_/, " ", operations[n])
		arches[n] = arch
	}
	bar[n, $2] = $6 / 1000
	if ($6 / 1000 > most)
		most = $6 / 1000
}
END {
	backs = split("none user kernel", back, " ")
	split("#1b6ca8 #4f9d69 #c8553d", colours, " ")
	left = 70; top = 40; width = 560; height = 320
	step = 10 ^ int(log(most) / log(10))
	step = most / step < 2 ? step / 4 : most / step < 5 ? step / 2 : step
	y_max = (int(most / step) + 1) * step
	print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 440\" font-family=\"sans-serif\" font-size=\"12\">"
	print "<rect width=\"660\" height=\"440\" fill=\"white\"/>"
	text(left + width / 2, 22, "middle", "Cache maintenance in libdsm's operations by RDMA")
	for (v = 0; v <= y_max; v += step) {
		printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, py(v), left + width, py(v)
		text(left - 6, py(v) + 4, "end", v)
	}
	each = width / n
	bar_width = each / (backs + 1)
	for (g = 1; g <= n; g++) {
		for (b = 1; b <= backs; b++) {
			x = left + (g - 1) * each + (b - 0.5) * bar_width
			v = bar[g, back[b]]
			printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", \
				x, py(v), bar_width * 0.9, top + height - py(v), colours[b]
			if (b > 1)
				printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" font-size=\"9\">%.2f</text>\n", \
					x + bar_width * 0.45, py(v) - 4, v / bar[g, back[1]]
		}
		text(left + (g - 0.5) * each, top + height + 16, "middle", operations[g])
		text(left + (g - 0.5) * each, top + height + 31, "middle", arches[g])
	}
	printf "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">thousand instructions an operation, median</text>\n", top + height / 2
	for (b = 1; b <= backs; b++) {
		x = left + 120 * b
		printf "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"10\" fill=\"%s\"/>\n", x, top + height + 46, colours[b]
		text(x + 20, top + height + 55, "start", back[b])
	}
	print "</svg>"
}
