#ifndef TABLES_H
#define TABLES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An entry of a decoding table:
 *   bits 0-7    bits consumed, extra bits included
 *   bits 8-11   length or distance: bits of the code alone
 *   bit 12      literal, in bits 16-23
 *   bit 13      exceptional: subtable, end of block, or invalid code
 *   bit 14      subtable, at the index in bits 16-31
 *   bit 15      end of block
 *   bits 16-31  length or distance: base value
 * Shift counts need no mask: only their lowest six bits matter.
 */
#define TAKES(entry) ((entry) & 63)
#define CODE_BITS(entry) (((entry) >> 8) & 63)
#define IS_LITERAL 0x1000u
#define IS_RARE 0x2000u
#define IS_SUBTABLE 0x4000u
#define IS_END 0x8000u
#define VALUE(entry) ((entry) >> 16)

/* Subtables hold the codes longer than the table's index, at most 15 bits. */
#define LITERAL_BITS 11
#define LITERAL_SUB_BITS (15 - LITERAL_BITS)
#define DISTANCE_BITS 9
#define DISTANCE_SUB_BITS (15 - DISTANCE_BITS)
#define LENGTH_BITS 7
/* At most one subtable per code. */
#define LITERAL_ENTRIES ((1 << LITERAL_BITS) + 288 * (1 << LITERAL_SUB_BITS))
#define DISTANCE_ENTRIES ((1 << DISTANCE_BITS) + 32 * (1 << DISTANCE_SUB_BITS))

/**
 * Fill a table from the code lengths of its symbols. False for an invalid code: over-subscribed, or incomplete
 * except for the single one-bit code that deflate allows.
 */
bool build_literals(uint32_t table[LITERAL_ENTRIES], const uint8_t *lengths, unsigned symbols);
bool build_distances(uint32_t table[DISTANCE_ENTRIES], const uint8_t *lengths, unsigned symbols);
/** Fills the table of the code length code, whose values are symbols. It must be complete. */
bool build_lengths(uint32_t table[1 << LENGTH_BITS], const uint8_t lengths[19]);

#endif
