# SPDX-License-Identifier: MIT
#
# What operations.c and lines.c printed as tables. A line
#	arch ARCHITECTURE KERNEL...
# is before what both printed in that guest; a line
#	processor NAME...
# before what lines.c printed here.
function sort_values(key, n,    gap, i, j, v) {
	for (gap = int(n / 2); gap > 0; gap = int(gap / 2)) {
		for (i = gap + 1; i <= n; i++) {
			v = ns[key, i]
			for (j = i; j > gap && ns[key, j - gap] > v; j -= gap)
				ns[key, j] = ns[key, j - gap]
			ns[key, j] = v
		}
	}
}

# Of what the module counted, which is the same for each back end.
function calls_of(op) { return calls[op] / counts[op] }
function lines_of(op) { return lines[op] / counts[op] }

# What lines.c measured for a back end, by the dearest of its calls.
function by_parts(op, back,    i, ns, most) {
	for (i = 1; i <= nparts; i++) {
		ns = calls_of(op) * a_call[i] + lines_of(op) * a_line[i]
		if (part_back[i] == back && ns > most)
			most = ns
	}
	return most
}

function operations_table(    o, b, key, op, n, typical, none) {
	printf "\n%-11s %-7s %6s %7s %9s %9s %9s %7s %10s %9s\n", "operation", "back_end", "#calls", "#lines", \
		"t_min", "t_typical", "t_99%", "ratio", "over_none", "by_parts"
	for (o = 1; o <= nops; o++) {
		op = ops[o]
		for (b = 1; b <= nbacks; b++) {
			key = backs[b] SUBSEP op
			n = samples[key]
			sort_values(key, n)
			typical = ns[key, int((n + 1) / 2)]
			if (backs[b] == "none")
				none = typical
			printf "%-11s %-7s %6.1f %7.1f %9d %9d %9d %7.3f %10d %9.0f\n", op, backs[b], \
				backs[b] == "none" ? 0 : calls_of(op), backs[b] == "none" ? 0 : lines_of(op), \
				ns[key, 1], typical, ns[key, int(n * 0.99)], typical / none, typical - none, \
				by_parts(op, backs[b])
		}
	}
}

function parts_table(    i) {
	printf "\n%-11s %-11s %-6s %10s %10s\n", "back_end", "call", "lines", "ns_a_call", "ns_a_line"
	for (i = 1; i <= nparts; i++)
		printf "%-11s %-11s %-6s %10.0f %10.2f\n", part_back[i], part_call[i], part_lines[i], a_call[i], a_line[i]
}

function section_ends(    o) {
	if (!heading)
		return
	print heading
	if (is_guest) {
		operations_table()
	} else {
		printf "\nEach operation's maintenance here, if every line were of the dearest kind: ns\n"
		for (o = 1; o <= nops; o++)
			printf "%-11s %6.0f\n", ops[o], by_parts(ops[o], "user")
	}
	parts_table()
	print ""
	delete ns
	delete samples
	nparts = 0
}

$1 == "arch" || $1 == "processor" {
	section_ends()
	is_guest = $1 == "arch"
	heading = substr($0, length($1) + 2)
	heading = is_guest ? heading ", QEMU -icount shift=0: an instruction is 1 ns" : \
		"This machine's processor, with its caches: " heading
}
$1 == "sample" {
	if (!($2 in is_back)) {
		is_back[$2] = 1
		backs[++nbacks] = $2
	}
	if (!($3 in is_op)) {
		is_op[$3] = 1
		ops[++nops] = $3
	}
	ns[$2, $3, ++samples[$2, $3]] = $4
}
$1 == "count" && $2 == "kernel" {
	counts[$3]++
	calls[$3] += $4
	lines[$3] += $5
}
$1 == "part" {
	part_back[++nparts] = $2
	part_call[nparts] = $3
	part_lines[nparts] = $4
	a_call[nparts] = $5
	a_line[nparts] = $6
}
END { section_ends() }
