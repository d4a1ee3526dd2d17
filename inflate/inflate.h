/*
 * Inflate: gzip files (RFC 1952) of DEFLATE data (RFC 1951), as a stream. Each call takes what input there is and
 * gives what output fits; the state between calls is a few tables and at most 63 bits.
 */
#ifndef INFLATE_H
#define INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tables.h"

/** How far back a match may reach. These bytes before `out` must still be what they were. */
#define INFLATE_WINDOW 32768
/** Output is made while more than this is free: the longest match, and what its copy writes too much. */
#define INFLATE_MARGIN 320

enum inflate_status {
	INFLATE_NEEDS_INPUT,
	INFLATE_NEEDS_OUTPUT,
	INFLATE_DAMAGED,
};

enum inflate_phase {
	PHASE_HEADER,
	PHASE_BLOCK,
	PHASE_STORED,
	PHASE_CODE_LENGTHS,
	PHASE_LENGTHS,
	PHASE_SYMBOLS,
	PHASE_TRAILER,
	PHASE_PADDING,
};

struct inflate {
	/** Set by the caller before each call, and moved on by it. */
	const uint8_t *in, *in_end;
	uint8_t *out, *out_end;

	/** Input that was taken and not used, from its lowest bit on; nothing above `count`. */
	uint64_t bits;
	unsigned count;
	enum inflate_phase phase;
	bool is_last;
	/** Of this member of the file so far; as far back as a match may reach. */
	uint64_t made;
	/** Why the input is damaged. */
	const char *problem;

	/** Of the header: which of its fields comes, and how much of that is left. */
	unsigned field, flags;
	/** Bytes of a stored block, or of a field, that are to come. */
	unsigned left;
	/** Of the description of a block's codes. */
	unsigned literals, distances, code_lengths, filled;
	uint8_t lengths[288 + 32 + 138];
	uint32_t literal[LITERAL_ENTRIES];
	uint32_t distance[DISTANCE_ENTRIES];
	uint32_t length[1 << LENGTH_BITS];
};

void inflate_start(struct inflate *s);
enum inflate_status inflate_run(struct inflate *s);
/** Whether the input may end here: after a whole member. */
bool inflate_is_whole(const struct inflate *s);

#endif
