# SPDX-License-Identifier: MIT
#
# One experiment of what measure.c printed, as SVG: nanoseconds a call, both axes logarithmic.
# experiment is given: 1: over pages, a curve for each order; 2: over the order, which is a power of
# two of pages already.
function log2(v) { return log(v) / log(2) }
function px(v) { return left + (v - x_min) / (x_max - x_min) * width }
function py(v) { return top + height - (log(v) / log(10) - y_min) / (y_max - y_min) * height }
function text(x, y, anchor, s) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, s
}
function line(x1, y1, x2, y2, colour) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour
}

$1 == "experiment" { now = $2; next }
now == experiment && NF == 8 {
	name = experiment == 1 ? $1 ", order " $3 : $1
	if (!(name in points))
		names[++curves] = name
	xs[name, ++points[name]] = experiment == 1 ? log2($2) : $3
	ys[name, points[name]] = $6
	if (least == "" || $6 < least)
		least = $6
	if ($6 > most)
		most = $6
	if (xs[name, points[name]] > x_max)
		x_max = xs[name, points[name]]
}
END {
	split("#1b6ca8 #c8553d #4f9d69 #8d5fa8", colours, " ")
	left = 70; top = 40; width = 560; height = 320
	x_min = 0
	y_min = int(log(least) / log(10))
	y_max = int(log(most) / log(10)) + 1
	print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 440\" font-family=\"sans-serif\" font-size=\"12\">"
	print "<rect width=\"660\" height=\"440\" fill=\"white\"/>"
	text(left + width / 2, 22, "middle", experiment == 1 ? "Controlled allocation size, variable page count" : \
		"Controlled page count (1,024), variable allocation size")
	for (v = y_min; v <= y_max; v++) {
		line(left, py(10 ^ v), left + width, py(10 ^ v), "#ddd")
		text(left - 6, py(10 ^ v) + 4, "end", 10 ^ v)
	}
	for (v = 0; v <= x_max; v++) {
		line(px(v), top, px(v), top + height, "#eee")
		text(px(v), top + height + 16, "middle", experiment == 1 ? 2 ^ v : v)
	}
	text(left + width / 2, top + height + 36, "middle", experiment == 1 ? "pages" : "order: blocks of 2^order pages")
	printf "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">ns a call, median</text>\n", top + height / 2
	for (c = 1; c <= curves; c++) {
		name = names[c]
		printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colours[c]
		for (i = 1; i <= points[name]; i++)
			printf "%.1f,%.1f ", px(xs[name, i]), py(ys[name, i])
		print "\"/>"
		for (i = 1; i <= points[name]; i++)
			printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", px(xs[name, i]), py(ys[name, i]), colours[c]
		y = top + height + 36 + 14 * int((c + 1) / 2)
		x = left + (c % 2 ? 60 : 340)
		line(x - 30, y - 4, x - 6, y - 4, colours[c])
		text(x, y, "start", name)
	}
	print "</svg>"
}
