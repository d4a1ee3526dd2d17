#include "symbols.h"

#include <string.h>

#include "bits.h"

/* With at least this much input the fast loop reads eight bytes at a time without bounds checks. */
#define FAST_INPUT 32
#define CODE_MAX_BITS 15

/* In the fast loop only the lowest six bits of `count` are valid: whole entries are subtracted. */

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define REFILL()                                             \
	do {                                                 \
		uint64_t word;                               \
		memcpy(&word, in, 8);                        \
		bits |= word << (count & 63);                \
		in += 7 - ((count >> 3) & 7);                \
		count |= 56;                                 \
	} while (0)
#define CONSUME(entry)                 \
	do {                           \
		bits >>= TAKES(entry); \
		count -= (entry);      \
	} while (0)
#define CONSUME_OR_WAIT(entry)            \
	do {                              \
		if (count < TAKES(entry)) \
			return END_INPUT; \
		bits >>= TAKES(entry);    \
		count -= TAKES(entry);    \
	} while (0)
#define PUT(entry) (*out++ = (uint8_t)VALUE(entry))
#define LOOK() (s->literal[bits & ((1 << LITERAL_BITS) - 1)])
/** The value of a length or distance code at the bottom of `bits`. */
#define EXTRACT(entry) \
	(VALUE(entry) + (unsigned)((bits & ((1ull << TAKES(entry)) - 1)) >> CODE_BITS(entry)))

/** Copies a match; may write up to 40 bytes, or 7 more than `length`. */
ALWAYS_INLINE uint8_t *copy(uint8_t *out, unsigned length, unsigned distance)
{
	const uint8_t *from = out - distance;
	uint8_t *const end = out + length;
	if (distance >= 8) {
		/* Longer matches are rare. */
		for (unsigned i = 0; i < 40; i += 8)
			memcpy(out + i, from + i, 8);
		for (unsigned i = 40; i < length; i += 8)
			memcpy(out + i, from + i, 8);
	} else if (distance == 1) {
		memset(out, *from, length);
	} else {
		/* A short distance repeats a pattern: the copied part doubles until the distance is at least eight. */
		while (distance < 8) {
			memcpy(out, from, 8);
			if (length <= distance)
				return end;
			out += distance;
			length -= distance;
			distance *= 2;
		}
		for (; out < end; out += 8, from += 8)
			memcpy(out, from, 8);
	}
	return end;
}

enum end { END_BLOCK, END_ROOM, END_INPUT, END_DAMAGED };

/** Decodes symbols while input and output space are ample. */
ALWAYS_INLINE enum end run_fast(struct inflate *s)
{
	const uint8_t *in = s->in, *const in_last = s->in_end - FAST_INPUT;
	uint8_t *out = s->out, *const start = out, *const out_last = s->out_end - INFLATE_MARGIN;
	const uint8_t *const oldest = out - (s->made < INFLATE_WINDOW ? s->made : INFLATE_WINDOW);
	uint64_t bits = s->bits;
	unsigned count = s->count;
	enum end end = END_ROOM;
	REFILL();
	uint32_t entry = LOOK();
	do {
		if (entry & IS_LITERAL) {
			CONSUME(entry);
			PUT(entry);
			entry = LOOK();
			if (entry & IS_LITERAL) {
				CONSUME(entry);
				PUT(entry);
				entry = LOOK();
				if (entry & IS_LITERAL) {
					CONSUME(entry);
					PUT(entry);
					REFILL();
					entry = LOOK();
					continue;
				}
			}
			REFILL();
		}
		if (entry & IS_RARE) {
			if (entry & IS_SUBTABLE) {
				CONSUME(entry);
				entry = s->literal[VALUE(entry) + (bits & ((1 << LITERAL_SUB_BITS) - 1))];
				if (entry & IS_LITERAL) {
					CONSUME(entry);
					PUT(entry);
					REFILL();
					entry = LOOK();
					continue;
				}
			}
			if (entry & IS_RARE) {
				end = entry & IS_END ? END_BLOCK : END_DAMAGED;
				CONSUME(entry);
				break;
			}
		}
		const unsigned length = EXTRACT(entry);
		CONSUME(entry);
		entry = s->distance[bits & ((1 << DISTANCE_BITS) - 1)];
		if (entry & IS_RARE) {
			if (entry & IS_SUBTABLE) {
				CONSUME(entry);
				entry = s->distance[VALUE(entry) + (bits & ((1 << DISTANCE_SUB_BITS) - 1))];
			}
			if (entry & IS_RARE) {
				end = END_DAMAGED;
				break;
			}
		}
		const unsigned distance = EXTRACT(entry);
		CONSUME(entry);
		if (distance > (size_t)(out - oldest)) {
			end = END_DAMAGED;
			break;
		}
		REFILL();
		entry = LOOK();
		out = copy(out, length, distance);
	} while (in <= in_last && out <= out_last);
	/* Returns unused whole bytes to the input. */
	in -= (count >> 3) & 7;
	count &= 7;
	s->bits = bits & ((1u << count) - 1);
	s->count = count;
	s->in = in;
	s->out = out;
	s->made += (uint64_t)(out - start);
	return end;
}

#if defined(__x86_64__)
/* Shifts without changing flags: 4 % faster. */
__attribute__((target("bmi2"))) static enum end run_fast_bmi2(struct inflate *s)
{
	return run_fast(s);
}
#endif

static enum end run_many(struct inflate *s)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("bmi2"))
		return run_fast_bmi2(s);
#endif
	return run_fast(s);
}

/** Decodes one symbol with its extra bits; END_INPUT, with nothing consumed, if the input is too short. */
static enum end run_one(struct inflate *s)
{
	/* Missing bits read as zeros; the decoded length shows whether they were needed. */
	need(s, 48);
	uint64_t bits = s->bits;
	unsigned count = s->count;
	uint8_t *out = s->out;
	uint32_t entry = LOOK();
	if (entry & IS_SUBTABLE) {
		CONSUME_OR_WAIT(entry);
		entry = s->literal[VALUE(entry) + (bits & ((1 << LITERAL_SUB_BITS) - 1))];
	}
	if ((entry & IS_RARE) && !(entry & IS_END))
		return count < CODE_MAX_BITS ? END_INPUT : END_DAMAGED;
	const unsigned length = EXTRACT(entry);
	CONSUME_OR_WAIT(entry);
	if (entry & IS_LITERAL) {
		PUT(entry);
	} else if (!(entry & IS_END)) {
		entry = s->distance[bits & ((1 << DISTANCE_BITS) - 1)];
		if (entry & IS_SUBTABLE) {
			CONSUME_OR_WAIT(entry);
			entry = s->distance[VALUE(entry) + (bits & ((1 << DISTANCE_SUB_BITS) - 1))];
		}
		if (entry & IS_RARE)
			return count < CODE_MAX_BITS ? END_INPUT : END_DAMAGED;
		const unsigned distance = EXTRACT(entry);
		CONSUME_OR_WAIT(entry);
		if (distance > s->made)
			return END_DAMAGED;
		out = copy(out, length, distance);
	}
	s->bits = bits;
	s->count = count;
	s->made += (uint64_t)(out - s->out);
	s->out = out;
	return entry & IS_END ? END_BLOCK : END_ROOM;
}

bool run_symbols(struct inflate *s, enum inflate_status *status)
{
	for (;;) {
		if (s->out_end - s->out < INFLATE_MARGIN) {
			*status = INFLATE_NEEDS_OUTPUT;
			return false;
		}
		const enum end end = s->in_end - s->in >= FAST_INPUT ? run_many(s) : run_one(s);
		if (end == END_BLOCK)
			return true;
		if (end == END_DAMAGED) {
			s->problem = "a code or distance is impossible";
			*status = INFLATE_DAMAGED;
			return false;
		}
		if (end == END_INPUT) {
			*status = INFLATE_NEEDS_INPUT;
			return false;
		}
	}
}

