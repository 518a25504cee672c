# SPDX-License-Identifier: MIT
#
# medians.csv as Markdown tables. dir is given: what else report.sh has left there (machine, systems,
# missing, notes), and the plots that are referred to.
#
# A ratio is how many times as fast libdsm is: above 1 it is the faster one.
BEGIN {
	FS = ","
	split("openmpi mpich openshmem", peers, " ")
	npeers = 3
	title["openmpi"] = "Open MPI"
	title["mpich"] = "MPICH"
	title["openshmem"] = "OpenSHMEM"
	meaning["get"] = "read N bytes that are not here, us"
	meaning["get_again"] = "the same N bytes again, nobody has written them, us"
	meaning["get_stream"] = "read N bytes after N bytes, MB/s of all ranks together"
	meaning["put"] = "write N bytes that are not here, us"
	meaning["put_again"] = "the same N bytes again, nobody has read them, us"
	meaning["put_stream"] = "write N bytes after N bytes, MB/s of all ranks together"
	meaning["barrier"] = "barrier"
	meaning["fetch_add"] = "fetch-and-add, alone"
	meaning["fetch_add_all"] = "fetch-and-add, all ranks at once"
	meaning["relock"] = "lock and unlock, nobody else wants it"
	meaning["lock_handover"] = "lock that the rank before had, in turns"
	meaning["lock_contended"] = "critical section, all ranks want it at once"
	meaning["read_miss_first"] = "load of a page that is not here, first time"
	meaning["read_miss"] = "load of a page that is not here, again after an invalidation"
	meaning["read_miss_busy_home"] = "the same while the home computes"
	meaning["write_upgrade"] = "store to a page that is Shared here"
	meaning["ping_pong"] = "store to a page that the other rank has Modified, in turns, it spins"
	meaning["ping_pong_asleep"] = "the same, it sleeps"
}
FNR == 1 { next }
{
	key = $1 SUBSEP $2 SUBSEP $3 SUBSEP $4 SUBSEP $5
	median[key] = $6
	if ($1 == "get" && $4 == "libdsm")
		runs = $9 > runs ? $9 : runs
	if (!(($1, $2, $3) in seen)) {
		seen[$1, $2, $3] = 1
		row[++nrows] = $1 SUBSEP $2 SUBSEP $3
	}
	if (!($3 in seen_ranks)) {
		seen_ranks[$3] = 1
		rank_count[++nranks] = $3
	}
	if ($1 == "read_miss" && $5 == "us" && $4 ~ /^libdsm/)
		mode[++nmodes] = $4
	if ($4 ~ /^floor: / && $1 ~ /^(read_miss_first|read_miss|write_upgrade)$/ && $5 == "us" && $2 == 4096)
		bare[++nbare] = $1 SUBSEP $4
}

# The figure, or "" if there is none.
function get(test, size, ranks, who, unit,    k) {
	k = test SUBSEP size SUBSEP ranks SUBSEP who SUBSEP unit
	return k in median ? median[k] : ""
}
function show(v) {
	if (v == "")
		return "–"
	if (v == 0)
		return "0"
	return v < 0.1 ? sprintf("%.3f", v) : v < 10 ? sprintf("%.2f", v) : v < 100 ? sprintf("%.1f", v) : sprintf("%.0f", v)
}
function show_ratio(r) { return r < 0.1 ? sprintf("%.2g", r) : r < 10 ? sprintf("%.2f", r) : sprintf("%.0f", r) }
function show_size(n) {
	return n >= 1048576 && n % 1048576 == 0 ? n / 1048576 " MiB" : n >= 1024 && n % 1024 == 0 ? n / 1024 " KiB" : n " B"
}
# How many times as fast as b a is; rates, or times.
function times(a, b, unit) {
	if (a == "" || b == "" || a <= 0 || b <= 0)
		return ""
	return unit == "MB/s" ? a / b : b / a
}
function better(a, b, unit) {
	if (a == "" || b == "")
		return a == "" ? b : a
	return (unit == "MB/s") == (a > b) ? a : b
}
function rule(n,    i, s) {
	for (i = 0; i < n; i++)
		s = s " --- |"
	return "|" s
}
function cell_peer(own, theirs, unit,    r) {
	r = times(own, theirs, unit)
	return show(theirs) (r == "" ? "" : " (" show_ratio(r) ")")
}
function peer_titles(    i, s) {
	for (i = 1; i <= npeers; i++)
		s = s " " title[peers[i]] (peers[i] in missing ? " (missing)" : "") " |"
	return s
}
function peer_cells(test, size, ranks, own, unit,    i, s) {
	for (i = 1; i <= npeers; i++)
		s = s " " cell_peer(own, get(test, size, ranks, peers[i], unit), unit) " |"
	return s
}
# A peer reads again as it has read before.
function source_of(test) { return test == "get_again" ? "get" : test == "put_again" ? "put" : test }

function transfers(test, ranks, unit,    i, p, calls, plain, look, own, word, looks, n, line) {
	word = test ~ /^get/ ? "loads" : "stores"
	looks = test ~ /^get/ && test !~ /_again$/
	for (i = 1; i <= nrows; i++) {
		split(row[i], p, SUBSEP)
		if (p[1] != test || p[3] != ranks)
			continue
		calls = get(test, p[2], ranks, "libdsm", unit)
		plain = get(test, p[2], ranks, "libdsm " word, unit)
		look = get(test, p[2], ranks, "libdsm read", unit)
		own = better(better(calls, plain, unit), looks ? look : "", unit)
		line = "| " show_size(p[2]) " | " (test ~ /_again$/ ? "" : show(calls) " | ") show(plain) " |" (looks ? " " show(look) " |" : "")
		line = line peer_cells(source_of(test), p[2], ranks, own, unit)
		line = line " " show(get(source_of(test), p[2], ranks, "floor: memcpy", unit)) " |"
		if (test == "get")
			line = line " " show(get(test, p[2], ranks, "floor: UFFDIO_COPY", unit)) " |"
		if (!n++) {
			printf "\n**%s** (%s, %d ranks)\n\n", test, meaning[test], ranks
			print "| N |" (test ~ /_again$/ ? "" : " libdsm, acquire |") " libdsm, " word " |" (looks ? " libdsm, dsm_read |" : "") peer_titles() " memcpy |" \
				(test == "get" ? " UFFDIO_COPY |" : "")
			print rule(3 + npeers + (test !~ /_again$/) + looks + (test == "get"))
		}
		print line
	}
}
function plots(ranks,    i, n, name) {
	n = split("get-latency put-latency get-rate put-rate", name, " ")
	print ""
	for (i = 1; i <= n; i++)
		printf "![%s, %d ranks](%s-%d.svg)\n", name[i], ranks, name[i], ranks
}
function all_transfers(    r, ranks) {
	print "\n### Transfers of N bytes"
	for (r = 1; r <= nranks; r++) {
		ranks = rank_count[r]
		if (r > 1)
			printf "\n<details><summary>%d ranks</summary>\n", ranks
		plots(ranks)
		transfers("get", ranks, "us")
		transfers("get_again", ranks, "us")
		transfers("get_stream", ranks, "MB/s")
		transfers("put", ranks, "us")
		transfers("put_again", ranks, "us")
		transfers("put_stream", ranks, "MB/s")
		if (r > 1)
			print "\n</details>"
	}
}
function synchronisation(    n, name, i, r, own, size) {
	print "\n### Synchronisation, us\n"
	print "| | ranks | libdsm |" peer_titles() " floor | |"
	print rule(5 + npeers)
	n = split("barrier fetch_add fetch_add_all relock lock_handover lock_contended", name, " ")
	for (i = 1; i <= n; i++)
		for (r = 1; r <= nranks; r++) {
			size = name[i] ~ /^fetch/ ? 8 : 0
			own = get(name[i], size, rank_count[r], "libdsm", "us")
			if (own != "")
				printf "| %s | %d | %s |%s %s | %s |\n", meaning[name[i]], rank_count[r], show(own),
					peer_cells(name[i], size, rank_count[r], own, "us"),
					show(get(name[i], size, rank_count[r], "floor of libdsm", "us")), floor_name[name[i]]
		}
}
# Rows: tests; columns: settings of libdsm.
function modes(    n, name, part, unit, i, m, us, floor) {
	print "\n### Faults, by who handles them, 2 ranks\n"
	print "In parentheses: times the floor of the same mode, the bare operation.\n"
	printf "| | unit |"
	for (m = 1; m <= nmodes; m++)
		printf " %s |", mode[m] == "libdsm" ? "libdsm, default" : mode[m]
	print "\n" rule(2 + nmodes)
	n = split("read_miss_first:4096:us read_miss:4096:us read_miss_busy_home:4096:us~99% write_upgrade:4096:us " \
		"ping_pong:4096:us ping_pong_asleep:4096:us lock_handover:0:us barrier:0:us", name, " ")
	for (i = 1; i <= n; i++) {
		split(name[i], part, ":")
		unit = part[3]
		sub(/~/, " ", unit)
		printf "| %s | %s |", meaning[part[1]], unit
		for (m = 1; m <= nmodes; m++) {
			us = get(part[1], part[2], 2, mode[m], unit)
			floor = unit == "us" ? get(part[1], part[2], 2, "floor of " mode[m], unit) : ""
			printf " %s%s |", show(us), (us != "" && floor > 0 ? " (" show_ratio(us / floor) ")" : "")
		}
		print ""
	}
}
function bare_faults(    i, p) {
	print "\n### The bare userfaultfd round trip in each handler mode, us\n"
	print "| | the handler | median |\n" rule(3)
	for (i = 1; i <= nbare; i++) {
		split(bare[i], p, SUBSEP)
		if (p[2] !~ /userfaultfd/ || done[bare[i]]++)
			continue
		printf "| %s | %s | %s |\n", p[1], substr(p[2], 8), show(get(p[1], 4096, 2, p[2], "us"))
	}
}
function verdict(test, size, value, target, unit) {
	if (target == "")
		return " | |"
	if (unit == "MB/s")
		return sprintf(" at least %s %s | %s |", show(target), unit, value >= target ? "yes" : "**no**")
	return sprintf(" at most %s %s | %s |", show(target), unit, value <= target ? "yes" : "**no**")
}
function own_tests(    i, p, us, rate, floor, unit, u, value, units, nunits, target) {
	print "\n### What dsm_bench measures, 2 ranks, with its targets\n"
	print "| test | bytes | median | MB/s | floor, us | times the floor | target | reached |\n" rule(8)
	nunits = split("us|us 99%|x floor|MB/s", units, "|")
	for (i = 1; i <= nrows; i++) {
		split(row[i], p, SUBSEP)
		us = get(p[1], p[2], 2, "libdsm", "us")
		if (p[3] != 2 || us == "" || p[1] ~ /^(get|put)(_|$)/)
			continue
		rate = get(p[1], p[2], 2, "libdsm", "MB/s")
		floor = get(p[1], p[2], 2, "floor of libdsm", "us")
		target = unit = ""
		for (u = 1; u <= nunits; u++)
			if (get(p[1], p[2], 2, "target of libdsm", units[u]) != "") {
				unit = units[u]
				target = get(p[1], p[2], 2, "target of libdsm", unit)
			}
		value = unit == "x floor" ? (floor > 0 ? us / floor : "") : get(p[1], p[2], 2, "libdsm", unit)
		printf "| %s | %s | %s us | %s | %s | %s |%s\n", p[1], p[2] ? show_size(p[2]) : "", show(us), show(rate),
			show(floor), (floor > 0 ? show_ratio(us / floor) : "–"), verdict(p[1], p[2], value, target, unit)
	}
}
function values(    k, p, n) {
	for (i = 1; i <= nrows; i++) {
		split(row[i], p, SUBSEP)
		if (p[1] !~ /^memory: / || p[3] != 2)
			continue
		if (!n++)
			print "\n### Memory\n\n| | |\n" rule(2)
		for (k in median) {
			split(k, q, SUBSEP)
			if (q[1] == p[1] && q[3] == 2 && q[4] == "libdsm")
				printf "| %s | %s %s |\n", substr(p[1], 9), show(median[k]), q[5]
		}
	}
}
function copy_lines(file, prefix, suffix,    line) {
	while ((getline line <(dir "/" file)) > 0)
		print prefix line suffix
	close(dir "/" file)
}
function heading(    line, s) {
	copy_lines("machine", "", "  ")
	while ((getline line <(dir "/systems")) > 0)
		s = s ", " line
	close(dir "/systems")
	printf "libdsm of this tree%s; medians of %d run%s in turns.\n\n", s, runs, (runs > 1 ? "s" : "")
	print "A number in parentheses is how many times as fast libdsm is, by its faster way: above 1 it is the faster one."
	print "“–”: not measured."
	while ((getline line <(dir "/missing")) > 0) {
		split(line, p, ":")
		missing[p[1]] = 1
	}
	close(dir "/missing")
	copy_lines("missing", "\nMissing: ", ".")
	copy_lines("notes", "\nNote: ", ".")
}
END {
	floor_name["barrier"] = "message round trip, spinning"
	floor_name["lock_handover"] = floor_name["barrier"]
	floor_name["fetch_add"] = floor_name["fetch_add_all"] = "C11 atomic"
	floor_name["relock"] = "pthread mutex"
	heading()
	all_transfers()
	synchronisation()
	modes()
	bare_faults()
	own_tests()
	values()
}
