#ifndef BITS_H
#define BITS_H

#include "inflate.h"

/** Reads whole bytes until at least `count` bits (at most 56) are buffered; false if the input is too short. */
static inline bool need(struct inflate *s, unsigned count)
{
	while (s->count < count) {
		if (s->in == s->in_end)
			return false;
		s->bits |= (uint64_t)*s->in++ << s->count;
		s->count += 8;
	}
	return true;
}

static inline unsigned take(struct inflate *s, unsigned count)
{
	const unsigned value = (unsigned)(s->bits & ((1u << count) - 1));
	s->bits >>= count;
	s->count -= count;
	return value;
}

#endif
