/* SPDX-License-Identifier: MIT */
/*
 * See cost.h. What the processor takes was measured by dsm_bench; bench/scale/calibrate.awk makes a
 * file of its output. What adapters and cables take is of a class of machine (100 Gb/s, two levels
 * of switches), to be replaced by what perftest says of the user's.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "error.h"

#define BENCH "mpirun -n 2 dsm_bench "

static const struct parameter {
	const char *name;
	size_t offset;
	double value;
	const char *meaning;
	const char *measure;
} parameters[] = {
#define PARAMETER(name, value, meaning, measure)                                                   \
	{                                                                                          \
#name, offsetof(struct cost, name), value, meaning, measure                        \
	}
	PARAMETER(fault_ns, 2350, "a fault: to the agent's hands and back, nothing mapped",
		  BENCH "read_miss acquire_read: floor MINOR - floor memcpy + CONTINUE"),
	PARAMETER(agent_ns, 970, "what the agent adds to a fault, of the processor's time",
		  BENCH "read_miss: invalidated before - its floor"),
	PARAMETER(map_new_ns, 1170, "map a page that came, into no frame",
		  BENCH "acquire_read: floor UFFDIO_COPY(WP), memfd"),
	PARAMETER(map_refill_ns, 460, "map a page that came, into the frame of a copy before",
		  BENCH "acquire_read: floor memcpy + CONTINUE"),
	PARAMETER(map_own_ns, 225, "map a page of the home's own",
		  BENCH "acquire_read: floor memcpy + CONTINUE - floor memcpy"),
	PARAMETER(protect_ns, 340, "forbid or allow writing",
		  BENCH "write_upgrade read_miss: floor write-protect - fault_ns"),
	PARAMETER(zap_ns, 340, "take a mapping away", "as protect_ns"),
	PARAMETER(handler_ns, 235, "handle one message, beside mappings and answers",
		  BENCH "barrier: nothing cached - half of floor message, spinning"),
	PARAMETER(call_ns, 65, "a call that needs no other rank",
		  BENCH "relock: half of lock and unlock"),
	PARAMETER(post_ns, 100, "post a message, a chain or a page to the adapter",
		  "assumed; ib_write_lat -s 8 -I 64 - 2 nic_ns - edges"),
	PARAMETER(nic_ns, 250, "through an adapter, each way",
		  "assumed; (ib_send_lat -s 64 - edges) / 2"),
	PARAMETER(nic_message_ns, 10, "between two messages of an adapter: 1 / its message rate",
		  "assumed; ib_write_bw -s 8: 1000 / MsgRate[Mpps]"),
	PARAMETER(nic_atomic_ns, 250,
		  "between two atomics of an adapter (readers in groups): 1 / their rate",
		  "assumed; ib_atomic_bw: 1000 / MsgRate[Mpps]"),
	PARAMETER(header_bytes, 66, "of each packet: Ethernet, IP, UDP, RoCE",
		  "the formats: 18 + 20 + 8 + 12 + 4, and 4 of immediate data"),
	PARAMETER(leaf_ns, 200, "latency of a rank's edge: cable, half of a switch",
		  "assumed; ib_send_lat in a rack - ib_send_lat back to back"),
	PARAMETER(leaf_ns_per_byte, 0.08, "1 / bandwidth of a rank's edge (0.08: 12.5 GB/s)",
		  "assumed; ib_write_bw -s 65536"),
	PARAMETER(inner_ns, 400, "latency of an edge between switches",
		  "assumed; (ib_send_lat between racks - in a rack) / 2"),
	PARAMETER(inner_ns_per_byte, 0.005, "1 / bandwidth of such an edge (0.005: 200 GB/s)",
		  "assumed; the uplinks' number times their bandwidth"),
};

#define NPARAMETERS (sizeof(parameters) / sizeof(*parameters))

static double *value_of(struct cost *c, const struct parameter *p)
{
	return (double *)((char *)c + p->offset);
}

void cost_defaults(struct cost *c)
{
	for (size_t i = 0; i < NPARAMETERS; i++)
		*value_of(c, &parameters[i]) = parameters[i].value;
}

static int set(struct cost *c, const char *name, double value)
{
	for (size_t i = 0; i < NPARAMETERS; i++) {
		if (strcmp(parameters[i].name, name))
			continue;
		*value_of(c, &parameters[i]) = value;
		return 0;
	}
	return -ENOENT;
}

static int read_line(struct cost *c, const char *path, unsigned line, char *text)
{
	char name[32], more;
	double value;
	int n;

	text[strcspn(text, "#\n")] = '\0';
	n = sscanf(text, " %31s %lf %c", name, &value, &more);
	if (n <= 0)
		return 0;
	if (n != 2 || !(value >= 0 && value <= 1e9))
		return error_set(EINVAL, "%s, line %u: \"%s\" is not a name and a number up to 1e9",
				 path, line, text);
	if (set(c, name, value) < 0)
		return error_set(EINVAL,
				 "%s, line %u: there is no parameter %s; --print-parameters lists "
				 "them",
				 path, line, name);
	return 0;
}

int cost_read(struct cost *c, const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;
	unsigned line = 0;
	int err = 0;

	if (!in)
		return error_set_sys(errno, "parameters cannot be read from %s", path);
	while (err == 0 && getline(&text, &room, in) >= 0)
		err = read_line(c, path, ++line, text);
	free(text);
	fclose(in);
	return err;
}

void cost_print(const struct cost *c, FILE *out)
{
	for (size_t i = 0; i < NPARAMETERS; i++) {
		const struct parameter *p = &parameters[i];

		fprintf(out, "# %s\n#   %s\n%-18s %g\n", p->meaning, p->measure, p->name,
			*(const double *)((const char *)c + p->offset));
	}
}

struct topology_defaults cost_edges(const struct cost *c)
{
	return (struct topology_defaults){
		.leaf = { cost_ps(c->leaf_ns), c->leaf_ns_per_byte * 1000 },
		.inner = { cost_ps(c->inner_ns), c->inner_ns_per_byte * 1000 },
	};
}
