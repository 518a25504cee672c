# SPDX-License-Identifier: MIT
#
# Parameters of bench/scale out of what dsm_bench measured on this machine:
#
#	mpirun -n 2 build/bench/dsm_bench read_miss acquire_read write_upgrade barrier relock |
#		awk -f bench/scale/calibrate.awk >parameters
#	build/bench/scale --parameters=parameters
#
# Medians of the processor's parameters alone: adapters and cables keep their defaults (scale
# --print-parameters says how to measure them). Needs the handler mode that libdsm's agent had in
# that run, which is the one that its ratios are compared with.
function need(what, value) {
	if (value == "") {
		print "calibrate.awk: dsm_bench did not print \"" what "\"" >"/dev/stderr"
		failed = 1
	}
	return value
}
function parameter(name, us, how) {
	if (us > 0 && us < 10)
		printf "%-16s %.0f\t# %s\n", name, us * 1000, how
	else
		printf "# %s keeps its default: %s is %.1f us; was the machine idle?\n", name, how, us
}

/^[a-z_]+: / { test = $1; sub(/:$/, "", test) }
# Rows: bytes, iterations, then least, most, typical ...; the label is behind the eleventh column.
$1 ~ /^[0-9]+$/ && NF > 11 {
	label = $0
	for (i = 0; i < 10; i++)
		sub(/^ *[^ ]+/, "", label)
	sub(/^ */, "", label)
	key = test " " $1 " " label
	if (!(key in median))
		median[key] = $5
	last[key] = $5
}
# Which floor the library was compared with: the one of its agent's handler mode.
function compared_with(line) {
	sub(/.*\(userfaultfd/, "floor: userfaultfd", line)
	sub(/\)( \[target.*)?$/, "", line)
	return line
}
/ratio median\/floor/ && test == "read_miss" && /MINOR/ { minor_floor = compared_with($0) }
/ratio median\/floor/ && test == "write_upgrade" { protect_floor = compared_with($0) }
/^kernel |^cpu |^host / { machine = machine (machine ? "; " : "") $0 }

END {
	copy = need("one UFFDIO_COPY(WP) of 4096 bytes", median["acquire_read 4096 floor: one UFFDIO_COPY(WP) of the range into a memfd"])
	refill = need("memcpy + CONTINUE of 4096 bytes", median["acquire_read 4096 floor: memcpy into the frames and one UFFDIO_CONTINUE(WP)"])
	memcpy = need("memcpy of 4096 bytes", last["acquire_read 4096 floor: memcpy between private memory"])
	minor = need("the floor of read_miss", median["read_miss 4096 " minor_floor])
	protect = need("the floor of write_upgrade", median["write_upgrade 4096 " protect_floor])
	refilled = need("read_miss, invalidated before", median["read_miss 4096 page that was invalidated before"])
	barrier = need("barrier, nothing cached", median["barrier 0 nothing cached"])
	message = need("message round trip, spinning", median["barrier 64 floor: message round trip between the processes, spinning"])
	relock = need("relock", median["relock 0 lock and unlock"])
	if (failed)
		exit 1
	print "# " machine
	fault = minor - refill
	parameter("fault_ns", fault, "read_miss: " minor_floor " - memcpy + CONTINUE")
	parameter("agent_ns", refilled - minor, "read_miss: page that was invalidated before - that floor")
	parameter("map_new_ns", copy, "acquire_read: one UFFDIO_COPY(WP)")
	parameter("map_refill_ns", refill, "acquire_read: memcpy + CONTINUE")
	parameter("map_own_ns", refill - memcpy, "acquire_read: memcpy + CONTINUE - memcpy")
	parameter("protect_ns", protect - fault, "write_upgrade: " protect_floor " - fault_ns")
	parameter("zap_ns", protect - fault, "as protect_ns")
	parameter("handler_ns", barrier - message / 2, "barrier: nothing cached - half a message round trip, spinning")
	parameter("call_ns", relock / 2, "relock: half of lock and unlock")
}
