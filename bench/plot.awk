# SPDX-License-Identifier: MIT
#
# Draws columns of a CSV file, whose first line names them, as curves in an SVG file:
#
#	awk -v x=ranks -v y=time_us -v series=kernel -f bench/plot.awk results.csv >plot.svg
#
# x, y     columns; rows in which one is empty are left out, and zeros where the axis is logarithmic
# series   column whose values name the curves; several with commas: "test,ranks"
# where    "column=value": these rows alone; several with commas
# title, x_label, y_label
# slots    "name=number|name=number": these curves have that of the colours, in every plot the same
# x_unit   bytes: 4 KiB rather than 4096
# x_log    base of the horizontal axis' logarithm, 0 for a linear axis (default: 2)
# y_log    the same, vertical (default: 10)
#
# Fields may stand in double quotes. Curves and their points are in the file's order.
function log_of(v, base) { return base ? log(v) / log(base) : v }
function px(v) { return left + (x_max > x_min ? (log_of(v, x_log) - x_min) / (x_max - x_min) : 0.5) * width }
function py(v) { return top + height - (log_of(v, y_log) - y_min) / (y_max - y_min) * height }
function escape(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); return s }
function text(px_, py_, anchor, s) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", px_, py_, anchor, escape(s)
}
# A colour, or "grid".
function line(x1, y1, x2, y2, colour, wide) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s stroke-width=\"%s\"/>\n",
		x1, y1, x2, y2, colour == "grid" ? "class=\"grid\" stroke=\"#ddd\"" : "stroke=\"" colour "\"",
		wide ? wide : 1
}
function x_short(v) {
	if (x_unit != "bytes" || v < 1024)
		return short(v)
	return v >= 1048576 ? v / 1048576 " MiB" : v / 1024 " KiB"
}
# A number as short as it can be.
function short(v) {
	if (v >= 1e9)
		return v / 1e9 "G"
	if (v >= 1e6)
		return v / 1e6 "M"
	return sprintf("%.6g", v)
}
# Into field[1 ...]; returns their number.
function csv_split(s, field,    n, c, quoted, i, len) {
	n = 1; field[1] = ""; len = length(s)
	for (i = 1; i <= len; i++) {
		c = substr(s, i, 1)
		if (c == "\"") {
			if (quoted && substr(s, i + 1, 1) == "\"") { field[n] = field[n] c; i++ }
			else quoted = !quoted
		} else if (c == "," && !quoted) field[++n] = ""
		else if (c != "\r") field[n] = field[n] c
	}
	return n
}
function fail(s) { print "plot.awk: " s >"/dev/stderr"; failed = 1; exit 1 }
function column(name) {
	if (!(name in index_of))
		fail("there is no column \"" name "\"; the first line of the file names " names)
	return index_of[name]
}
function wanted(    i, part) {
	for (i = 1; i <= nwhere; i++) {
		split(condition[i], part, "=")
		if (field[column(part[1])] != part[2])
			return 0
	}
	return 1
}
function name_of_row(    i, s) {
	for (i = 1; i <= nseries; i++)
		s = s (i > 1 ? ", " : "") field[column(series_part[i])]
	return s
}
function nice_step(range,    step) {
	step = 10 ^ int(log(range / 5) / log(10) - (range < 5))
	while (range / step > 8)
		step *= range / step > 20 ? 5 : 2
	return step
}
function grid_y(    v, step) {
	step = y_log ? (y_max - y_min > 8 ? 2 : 1) : nice_step(y_max - y_min)
	for (v = y_min; v <= y_max + step / 1000; v += step) {
		line(left, top + height - (v - y_min) / (y_max - y_min) * height, left + width,
			top + height - (v - y_min) / (y_max - y_min) * height, "grid")
		text(left - 6, top + height - (v - y_min) / (y_max - y_min) * height + 4, "end",
			short(y_log ? y_log ^ v : v))
	}
}
function grid_x(    v, step) {
	step = x_log ? (x_max - x_min > 12 ? 2 : 1) : nice_step(x_max - x_min)
	for (v = x_min; v <= x_max + step / 1000; v += step) {
		line(left + (x_max > x_min ? (v - x_min) / (x_max - x_min) : 0.5) * width, top,
			left + (x_max > x_min ? (v - x_min) / (x_max - x_min) : 0.5) * width, top + height, "grid")
		text(left + (x_max > x_min ? (v - x_min) / (x_max - x_min) : 0.5) * width, top + height + 16,
			"middle", x_short(x_log ? x_log ^ v : v))
	}
}
function floor_of(v,    i) { i = int(v); return i > v + 1e-9 ? i - 1 : i }
function ceiling_of(v,    i) { i = int(v); return i < v - 1e-9 ? i + 1 : i }
function set_range(    step) {
	x_min = log_of(x_least, x_log); x_max = log_of(x_most, x_log)
	if (x_log) { x_min = floor_of(x_min); x_max = ceiling_of(x_max) }
	if (y_log) {
		y_min = floor_of(log_of(y_least, y_log)); y_max = ceiling_of(log_of(y_most, y_log))
	} else {
		y_min = y_least < 0 ? y_least : 0
		step = nice_step(y_most > y_min ? y_most - y_min : 1)
		y_max = y_min + step * ceiling_of((y_most - y_min) / step)
	}
	if (y_max <= y_min)
		y_max = y_min + 1
}
function curve(c,    name, colour, i, y_) {
	name = names_of[c]
	colour = colours[((name in slot_of ? slot_of[name] : c) - 1) % ncolours + 1]
	printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"%s points=\"", colour,
		(c > ncolours ? " stroke-dasharray=\"5 3\"" : "")
	for (i = 1; i <= points[name]; i++)
		printf "%.1f,%.1f ", px(xs[name, i]), py(ys[name, i])
	print "\"/>"
	for (i = 1; i <= points[name]; i++)
		printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"%s\"><title>%s: %s, %s</title></circle>\n",
			px(xs[name, i]), py(ys[name, i]), colour, escape(name), x_short(xs[name, i]), short(ys[name, i])
	y_ = top + 8 + 17 * c
	line(left + width + 14, y_ - 4, left + width + 36, y_ - 4, colour, 2)
	text(left + width + 42, y_, "start", name)
}

BEGIN {
	ncolours = split("#2f81d6 #d9643f #4aa564 #a371d6 #d9a441 #7b8794 #2aa6a1 #d0508f #8fa336 #9a6b4f", colours, " ")
	x_log = x_log == "" ? 2 : x_log + 0
	y_log = y_log == "" ? 10 : y_log + 0
	nwhere = split(where, condition, ",")
	nseries = split(series, series_part, ",")
	for (i = split(slots, slot, "|"); i; i--) {
		split(slot[i], part, "=")
		slot_of[part[1]] = part[2]
	}
}
NR == 1 {
	names = $0
	n = csv_split($0, field)
	for (i = 1; i <= n; i++)
		index_of[field[i]] = i
	x_at = column(x)
	y_at = column(y)
	next
}
{
	csv_split($0, field)
	if (!wanted() || field[x_at] == "" || field[y_at] == "")
		next
	x_value = field[x_at] + 0
	y_value = field[y_at] + 0
	if ((x_log && x_value <= 0) || (y_log && y_value <= 0))
		next
	name = name_of_row()
	if (!(name in points))
		names_of[++curves] = name
	i = ++points[name]
	xs[name, i] = x_value
	ys[name, i] = y_value
	if (x_least == "" || x_value < x_least) x_least = x_value
	if (x_most == "" || x_value > x_most) x_most = x_value
	if (y_least == "" || y_value < y_least) y_least = y_value
	if (y_most == "" || y_value > y_most) y_most = y_value
}
END {
	if (failed)
		exit 1
	if (!curves)
		fail("no row of the file has both " x " and " y)
	left = 76; top = 44; width = 560; height = 330
	if (17 * curves + 16 > height)
		height = 17 * curves + 16
	set_range()
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 830 %d\" font-family=\"sans-serif\" font-size=\"12\">\n",
		top + height + 56
	# Where the reader's screen is dark, so is the plot; its curves are readable on either.
	print "<style>@media (prefers-color-scheme: dark) { .paper { fill: #0d1117 } text { fill: #c9d1d9 }" \
		" .grid { stroke: #30363d } }</style>"
	printf "<rect class=\"paper\" width=\"830\" height=\"%d\" fill=\"white\"/>\n", top + height + 56
	text(left + width / 2, 24, "middle", title == "" ? y " by " x : title)
	grid_y()
	grid_x()
	text(left + width / 2, top + height + 38, "middle", x_label == "" ? x : x_label)
	printf "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", top + height / 2,
		escape(y_label == "" ? y : y_label)
	for (c = 1; c <= curves; c++)
		curve(c)
	print "</svg>"
}
