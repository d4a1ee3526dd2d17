/*
 * A fuzzer of the agent's protocol parser: runs mutated corpus inputs through the link and the streams with
 * sanitizers; inputs with new coverage join the corpus.
 */
#ifndef BANGER_FUZZ_H
#define BANGER_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define COVERAGE_BYTES 65536
#define MAX_INPUT_BYTES 16384

void coverage_begin(void);
/* Locations that no earlier run has reached. */
int coverage_new(void);
int coverage_total(void);

/* Sends a sync and the bytes to the agent, in pieces; aborts on a violation. */
void run_input(const uint8_t *bytes, size_t length, uint32_t seed);

#endif
