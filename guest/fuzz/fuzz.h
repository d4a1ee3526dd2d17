/*
 * A fuzzer of the agent's protocol parser: inputs of the corpus, mutated, go through the link and the
 * streams under the sanitizers; those that reach new places join the corpus.
 */
#ifndef BANGER_FUZZ_H
#define BANGER_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define COVERAGE_BYTES 65536
#define MAX_INPUT_BYTES 16384

void coverage_begin(void);
/* Places that no run before has passed. */
int coverage_new(void);
int coverage_total(void);

/* Gives the agent the bytes behind a sync, in pieces; ends the program where something is wrong. */
void run_input(const uint8_t *bytes, size_t length, uint32_t seed);

#endif
