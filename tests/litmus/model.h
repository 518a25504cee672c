/* SPDX-License-Identifier: MIT */
/*
 * All outcomes of a litmus program under a memory model, by enumeration.
 */
#ifndef LITMUS_MODEL_H
#define LITMUS_MODEL_H

#include "program.h"

enum model {
	MODEL_SC, /* one access after the other, of any thread */
	MODEL_TSO, /* x86: a store waits in its thread's buffer, first in first out */
};

/* Mark in allowed[PROGRAM_OUTCOMES] what the model allows; the rest is false. */
void model_outcomes(const struct program *p, enum model model, bool *allowed);

#endif
