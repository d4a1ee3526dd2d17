#include "inflate.h"

#include <string.h>

#include "bits.h"
#include "symbols.h"

/** The order in which the code length code's lengths are stored. */
static const uint8_t LENGTH_ORDER[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

static bool damaged(struct inflate *s, const char *problem)
{
	s->problem = problem;
	return false;
}

static bool build_codes(struct inflate *s)
{
	if (s->lengths[256] == 0)
		return damaged(s, "a block has no end");
	if (!build_literals(s->literal, s->lengths, s->literals))
		return damaged(s, "a block's code for literals is none");
	if (!build_distances(s->distance, s->lengths + s->literals, s->distances))
		return damaged(s, "a block's code for distances is none");
	return true;
}

static bool build_fixed(struct inflate *s)
{
	memset(s->lengths, 8, 144);
	memset(s->lengths + 144, 9, 112);
	memset(s->lengths + 256, 7, 24);
	memset(s->lengths + 280, 8, 8);
	memset(s->lengths + 288, 5, 32);
	s->literals = 288;
	s->distances = 32;
	return build_codes(s);
}

enum field { FIELD_FIXED, FIELD_EXTRA_LENGTH, FIELD_EXTRA, FIELD_NAME, FIELD_COMMENT, FIELD_CHECK, FIELD_END };
#define FLAG_CHECK 2
#define FLAG_EXTRA 4
#define FLAG_NAME 8
#define FLAG_COMMENT 16
#define FLAGS_RESERVED 0xe0

/** Parses the gzip header, field by field. */
static bool run_header(struct inflate *s, enum inflate_status *status)
{
	*status = INFLATE_NEEDS_INPUT;
	for (; s->field != FIELD_END; s->field++) {
		switch (s->field) {
		case FIELD_FIXED:
			/* Ten bytes: magic, method, flags, and six that do not affect the data. */
			if (s->left == 0)
				s->left = 10;
			for (; s->left > 0; s->left--) {
				if (!need(s, 8))
					return false;
				const unsigned byte = take(s, 8), at = 10 - s->left;
				if ((at == 0 && byte != 0x1f) || (at == 1 && byte != 0x8b) || (at == 2 && byte != 8) ||
				    (at == 3 && (byte & FLAGS_RESERVED))) {
					*status = INFLATE_DAMAGED;
					return damaged(s, "it is no gzip header");
				}
				if (at == 3)
					s->flags = byte;
			}
			break;
		case FIELD_EXTRA_LENGTH:
			if (!(s->flags & FLAG_EXTRA))
				break;
			if (!need(s, 16))
				return false;
			s->left = take(s, 16);
			break;
		case FIELD_EXTRA:
			for (; s->left > 0; s->left--) {
				if (!need(s, 8))
					return false;
				take(s, 8);
			}
			break;
		case FIELD_NAME:
		case FIELD_COMMENT:
			if (!(s->flags & (s->field == FIELD_NAME ? FLAG_NAME : FLAG_COMMENT)))
				break;
			do
				if (!need(s, 8))
					return false;
			while (take(s, 8) != 0);
			break;
		default:
			if (!(s->flags & FLAG_CHECK))
				break;
			if (!need(s, 16))
				return false;
			take(s, 16);
		}
	}
	return true;
}

/** Parses a block's three header bits, and the length of a stored block. */
static bool run_block(struct inflate *s, enum inflate_status *status)
{
	*status = INFLATE_NEEDS_INPUT;
	if (!need(s, 3))
		return false;
	const unsigned kind = (unsigned)(s->bits >> 1) & 3;
	if (kind == 0) {
		const unsigned skipped = 3 + ((s->count - 3) & 7);
		if (!need(s, skipped + 32))
			return false;
		s->is_last = s->bits & 1;
		take(s, skipped);
		const unsigned length = take(s, 16);
		if (take(s, 16) != (~length & 0xffff)) {
			*status = INFLATE_DAMAGED;
			return damaged(s, "a stored block has no length");
		}
		s->left = length;
		s->phase = PHASE_STORED;
		return true;
	}
	if (kind == 3) {
		*status = INFLATE_DAMAGED;
		return damaged(s, "a block is of no kind");
	}
	if (kind == 2 && !need(s, 3 + 14))
		return false;
	s->is_last = take(s, 1);
	take(s, 2);
	if (kind == 1) {
		s->phase = PHASE_SYMBOLS;
		if (build_fixed(s))
			return true;
		*status = INFLATE_DAMAGED;
		return false;
	}
	s->literals = take(s, 5) + 257;
	s->distances = take(s, 5) + 1;
	s->code_lengths = take(s, 4) + 4;
	s->filled = 0;
	memset(s->lengths, 0, 19);
	s->phase = PHASE_CODE_LENGTHS;
	if (s->literals <= 286 && s->distances <= 30)
		return true;
	*status = INFLATE_DAMAGED;
	return damaged(s, "a block has too many codes");
}

static bool run_stored(struct inflate *s, enum inflate_status *status)
{
	while (s->left > 0) {
		size_t room = (size_t)(s->out_end - s->out), there = (size_t)(s->in_end - s->in);
		*status = room == 0 ? INFLATE_NEEDS_OUTPUT : INFLATE_NEEDS_INPUT;
		if (room == 0 || (s->count == 0 && there == 0))
			return false;
		size_t part = 1;
		if (s->count > 0) {
			*s->out = (uint8_t)take(s, 8);
		} else {
			part = s->left;
			part = part < room ? part : room;
			part = part < there ? part : there;
			memcpy(s->out, s->in, part);
			s->in += part;
		}
		s->out += part;
		s->made += part;
		s->left -= (unsigned)part;
	}
	return true;
}

/** Reads the lengths of the code length code. */
static bool run_code_lengths(struct inflate *s, enum inflate_status *status)
{
	*status = INFLATE_NEEDS_INPUT;
	for (; s->filled < s->code_lengths; s->filled++) {
		if (!need(s, 3))
			return false;
		s->lengths[LENGTH_ORDER[s->filled]] = (uint8_t)take(s, 3);
	}
	s->filled = 0;
	*status = INFLATE_DAMAGED;
	if (build_lengths(s->length, s->lengths))
		return true;
	return damaged(s, "a block's code for lengths is none");
}

static bool run_lengths(struct inflate *s, enum inflate_status *status)
{
	const unsigned all = s->literals + s->distances;
	while (s->filled < all) {
		/* A code of at most 7 bits, then a repeat count of at most 7 bits. */
		need(s, 14);
		const uint32_t entry = s->length[s->bits & ((1 << LENGTH_BITS) - 1)];
		const unsigned symbol = VALUE(entry), bits = TAKES(entry);
		const unsigned extra = symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
		*status = s->count < bits + extra ? INFLATE_NEEDS_INPUT : INFLATE_DAMAGED;
		if (s->count < bits + extra)
			return false;
		if (symbol == 16 && s->filled == 0)
			return damaged(s, "a block's lengths are none");
		take(s, bits);
		const unsigned more = take(s, extra);
		const unsigned times = symbol < 16 ? 1 : symbol == 18 ? 11 + more : 3 + more;
		const uint8_t length = symbol < 16 ? (uint8_t)symbol : symbol == 16 ? s->lengths[s->filled - 1] : 0;
		memset(s->lengths + s->filled, length, times);
		s->filled += times;
	}
	*status = INFLATE_DAMAGED;
	if (s->filled > all)
		return damaged(s, "a block has too many lengths");
	return build_codes(s);
}

/** Checks the length modulo 2^32. The CRC is skipped: the reader of the output verifies a digest. */
static bool run_trailer(struct inflate *s, enum inflate_status *status)
{
	*status = INFLATE_NEEDS_INPUT;
	take(s, s->count & 7);
	/* At most 48 bits can be buffered at once. */
	if (s->left == 8) {
		if (!need(s, 32))
			return false;
		take(s, 16);
		take(s, 16);
		s->left = 4;
	}
	if (!need(s, 32))
		return false;
	const uint32_t low = take(s, 16);
	if ((take(s, 16) << 16 | low) == (uint32_t)s->made)
		return true;
	*status = INFLATE_DAMAGED;
	return damaged(s, "its length is not the one in its trailer");
}

/** After a member: zero padding, or another member. */
static bool run_padding(struct inflate *s, enum inflate_status *status)
{
	*status = INFLATE_NEEDS_INPUT;
	while (need(s, 8)) {
		if ((s->bits & 0xff) != 0)
			return true;
		take(s, 8);
	}
	return false;
}

void inflate_start(struct inflate *s)
{
	s->bits = 0;
	s->count = 0;
	s->made = 0;
	s->left = 0;
	s->field = FIELD_FIXED;
	s->problem = NULL;
	s->phase = PHASE_HEADER;
}

enum inflate_status inflate_run(struct inflate *s)
{
	enum inflate_status status = INFLATE_NEEDS_INPUT;
	for (;;) {
		switch (s->phase) {
		case PHASE_HEADER:
			if (!run_header(s, &status))
				return status;
			s->phase = PHASE_BLOCK;
			break;
		case PHASE_BLOCK:
			if (!run_block(s, &status))
				return status;
			break;
		case PHASE_CODE_LENGTHS:
			if (!run_code_lengths(s, &status))
				return status;
			s->phase = PHASE_LENGTHS;
			break;
		case PHASE_LENGTHS:
			if (!run_lengths(s, &status))
				return status;
			s->phase = PHASE_SYMBOLS;
			break;
		case PHASE_STORED:
		case PHASE_SYMBOLS:
			if (!(s->phase == PHASE_STORED ? run_stored(s, &status) : run_symbols(s, &status)))
				return status;
			s->phase = s->is_last ? PHASE_TRAILER : PHASE_BLOCK;
			s->left = 8;
			break;
		case PHASE_TRAILER:
			if (!run_trailer(s, &status))
				return status;
			s->phase = PHASE_PADDING;
			break;
		case PHASE_PADDING:
			if (!run_padding(s, &status))
				return status;
			s->made = 0;
			s->left = 0;
			s->field = FIELD_FIXED;
			s->phase = PHASE_HEADER;
		}
	}
}

bool inflate_is_whole(const struct inflate *s)
{
	return s->phase == PHASE_PADDING;
}
