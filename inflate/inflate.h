/*
 * Decompresses gzip files (RFC 1952) of DEFLATE data (RFC 1951) as a stream. Each call consumes available input and
 * produces what output fits; the state between calls is a few tables and at most 63 bits.
 */
#ifndef INFLATE_H
#define INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tables.h"

/** The maximum match distance. The caller preserves this many bytes before `out`. */
#define INFLATE_WINDOW 32768
/** Free output space that decoding needs: the longest match and what its copy may overwrite. */
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
	/** Set by the caller before each call, and advanced by it. */
	const uint8_t *in, *in_end;
	uint8_t *out, *out_end;

	/** Buffered input bits, lowest first; zero above `count`. */
	uint64_t bits;
	unsigned count;
	enum inflate_phase phase;
	bool is_last;
	/** Output of this member so far; limits how far back a match may reach. */
	uint64_t made;
	/** Why the input is invalid. */
	const char *problem;

	/** The next header field, and what is left of it. */
	unsigned field, flags;
	/** Remaining bytes of a stored block or a field. */
	unsigned left;
	/** State while reading a block's codes. */
	unsigned literals, distances, code_lengths, filled;
	uint8_t lengths[288 + 32 + 138];
	uint32_t literal[LITERAL_ENTRIES];
	uint32_t distance[DISTANCE_ENTRIES];
	uint32_t length[1 << LENGTH_BITS];
};

void inflate_start(struct inflate *s);
enum inflate_status inflate_run(struct inflate *s);
/** Whether the input may end here, which is after a complete member. */
bool inflate_is_whole(const struct inflate *s);

#endif
