# SPDX-License-Identifier: MIT
#
# What one plot shows, of medians.csv, as size,system,median: of a test, with a unit and a number of
# ranks (given). Ways of libdsm, peers, floors; not the modes of handling faults. Where a test has a
# TEST_again, that is a curve too: what nobody has written is still here.
function add(system_, title_) {
	order[++n] = system_
	title[system_] = title_
}
BEGIN {
	FS = ","
	add("libdsm", "libdsm, dsm_acquire")
	add("libdsm loads", "libdsm, loads")
	add("libdsm read", "libdsm, dsm_read")
	add("libdsm stores", "libdsm, stores")
	add("libdsm loads again", "libdsm, loads again")
	add("libdsm stores again", "libdsm, stores again")
	add("openmpi", "Open MPI")
	add("mpich", "MPICH")
	add("openshmem", "OpenSHMEM")
	add("floor: memcpy", "floor: memcpy")
	add("floor: UFFDIO_COPY", "floor: UFFDIO_COPY")
}
$5 != unit || $3 != ranks { next }
$1 == test { lines[$4] = lines[$4] $2 ",\"" title[$4] "\"," $6 "\n" }
$1 == test "_again" && $4 ~ /^libdsm/ { lines[$4 " again"] = lines[$4 " again"] $2 ",\"" title[$4 " again"] "\"," $6 "\n" }
END {
	print "size,system,median"
	for (i = 1; i <= n; i++)
		printf "%s", lines[order[i]]
}
