#include "tables.h"

#include <stddef.h>

static const uint16_t LENGTH_BASE[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
					 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t LENGTH_EXTRA[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t DISTANCE_BASE[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
					   193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t DISTANCE_EXTRA[30] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
enum kind { KIND_LITERALS, KIND_DISTANCES, KIND_LENGTHS };

static uint32_t entry_of(enum kind kind, unsigned symbol, unsigned bits)
{
	if (kind == KIND_LENGTHS)
		return symbol << 16 | bits;
	if (kind == KIND_DISTANCES)
		return symbol < 30 ? (uint32_t)DISTANCE_BASE[symbol] << 16 | bits << 8 | (bits + DISTANCE_EXTRA[symbol]) : IS_RARE;
	if (symbol < 256)
		return symbol << 16 | IS_LITERAL | bits;
	if (symbol == 256)
		return IS_RARE | IS_END | bits;
	if (symbol > 285)
		return IS_RARE;
	return (uint32_t)LENGTH_BASE[symbol - 257] << 16 | bits << 8 | (bits + LENGTH_EXTRA[symbol - 257]);
}

static unsigned reversed(unsigned code, unsigned bits)
{
	unsigned result = 0;
	for (; bits > 0; bits--, code >>= 1)
		result = result << 1 | (code & 1);
	return result;
}

static bool build(uint32_t *table, unsigned table_bits, enum kind kind, const uint8_t *lengths, unsigned symbols)
{
	unsigned counts[16] = {0}, next[16], offsets[16];
	uint16_t sorted[288];
	for (unsigned i = 0; i < symbols; i++)
		counts[lengths[i]]++;
	counts[0] = 0;
	unsigned used = 0, code = 0;
	int32_t space = 1;
	for (unsigned bits = 1; bits < 16; bits++) {
		code = (code + counts[bits - 1]) << 1;
		next[bits] = code;
		offsets[bits] = used;
		used += counts[bits];
		space = (space << 1) - (int32_t)counts[bits];
		if (space < 0)
			return false;
	}
	const bool is_single = used == 1 && counts[1] == 1;
	if (space > 0 && (kind == KIND_LENGTHS || !(used == 0 || is_single)))
		return false;
	const unsigned size = 1u << table_bits, sub_bits = 15 - table_bits;
	if (space > 0)
		for (unsigned i = 0; i < size; i++)
			table[i] = IS_RARE;
	for (unsigned i = 0; i < symbols; i++)
		if (lengths[i] != 0)
			sorted[offsets[lengths[i]]++] = (uint16_t)i;
	unsigned end = size, prefix = size, sub = 0;
	for (unsigned i = 0; i < used; i++) {
		const unsigned symbol = sorted[i], bits = lengths[symbol];
		const unsigned at = reversed(next[bits]++, bits);
		if (bits <= table_bits) {
			const uint32_t entry = entry_of(kind, symbol, bits);
			for (unsigned k = at; k < size; k += 1u << bits)
				table[k] = entry;
			continue;
		}
		/* Codes with the same prefix are consecutive. */
		if ((at & (size - 1)) != prefix) {
			prefix = at & (size - 1);
			sub = end;
			end += 1u << sub_bits;
			table[prefix] = sub << 16 | IS_RARE | IS_SUBTABLE | table_bits;
		}
		const unsigned own = bits - table_bits;
		const uint32_t entry = entry_of(kind, symbol, own);
		for (unsigned k = at >> table_bits; k < 1u << sub_bits; k += 1u << own)
			table[sub + k] = entry;
	}
	return true;
}

bool build_literals(uint32_t table[LITERAL_ENTRIES], const uint8_t *lengths, unsigned symbols)
{
	return build(table, LITERAL_BITS, KIND_LITERALS, lengths, symbols);
}

bool build_distances(uint32_t table[DISTANCE_ENTRIES], const uint8_t *lengths, unsigned symbols)
{
	return build(table, DISTANCE_BITS, KIND_DISTANCES, lengths, symbols);
}

bool build_lengths(uint32_t table[1 << LENGTH_BITS], const uint8_t lengths[19])
{
	return build(table, LENGTH_BITS, KIND_LENGTHS, lengths, 19);
}
