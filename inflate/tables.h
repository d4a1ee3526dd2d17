#ifndef TABLES_H
#define TABLES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An entry of a decoding table:
 *   bits 0-7    how many bits it takes, those that follow the code included
 *   bits 8-11   of a length or distance: the bits of the code alone
 *   bit 12      a literal, which is in bits 16-23
 *   bit 13      none of what is common: a subtable, the end of the block, or no code
 *   bit 14      a subtable, which begins where bits 16-31 say
 *   bit 15      the end of the block
 *   bits 16-31  of a length or distance: its least value
 * What is shifted by needs no mask: only its lowest six bits count.
 */
#define TAKES(entry) ((entry) & 63)
#define CODE_BITS(entry) (((entry) >> 8) & 63)
#define IS_LITERAL 0x1000u
#define IS_RARE 0x2000u
#define IS_SUBTABLE 0x4000u
#define IS_END 0x8000u
#define VALUE(entry) ((entry) >> 16)

/* Subtables are for the codes that are longer than the index of the table: 15 bits is the longest. */
#define LITERAL_BITS 11
#define LITERAL_SUB_BITS (15 - LITERAL_BITS)
#define DISTANCE_BITS 9
#define DISTANCE_SUB_BITS (15 - DISTANCE_BITS)
#define LENGTH_BITS 7
/* One subtable for each code at most. */
#define LITERAL_ENTRIES ((1 << LITERAL_BITS) + 288 * (1 << LITERAL_SUB_BITS))
#define DISTANCE_ENTRIES ((1 << DISTANCE_BITS) + 32 * (1 << DISTANCE_SUB_BITS))

/**
 * Fill a table from the lengths, in bits, of the codes of its symbols. False when they make no code: it is
 * over-subscribed, or incomplete and not that of a single symbol of one bit, which deflate allows.
 */
bool build_literals(uint32_t table[LITERAL_ENTRIES], const uint8_t *lengths, unsigned symbols);
bool build_distances(uint32_t table[DISTANCE_ENTRIES], const uint8_t *lengths, unsigned symbols);
/** Of the code in which the lengths of the others are written: the value is the symbol. It may not be incomplete. */
bool build_lengths(uint32_t table[1 << LENGTH_BITS], const uint8_t lengths[19]);

#endif
