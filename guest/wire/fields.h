/* Encodes and decodes fields: tag, length, value. src/guest/protocol.ts has the format. */
#ifndef BANGER_FIELDS_H
#define BANGER_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field {
	uint16_t tag;
	uint32_t length;
	uint8_t *value;
};

struct field_reader {
	uint8_t *at;
	size_t left;
};

/* The next field; false at the end and on a malformed list. */
bool field_next(struct field_reader *reader, struct field *field);

/* Whether the whole list is well formed. */
bool fields_valid(const uint8_t *bytes, size_t length);

/* The last value of `tag`, false if there is none. */
bool field_find(const uint8_t *bytes, size_t length, uint16_t tag, struct field *field);

/* The number in a field of 1 to 8 bytes, 0 for any other length. */
uint64_t field_number(const struct field *field);

/* The number of `tag`, or `otherwise` if there is none. */
uint64_t field_number_of(const uint8_t *bytes, size_t length, uint16_t tag, uint64_t otherwise);

/* Copies the text of `tag`, NUL-terminated. False if it is missing, does not fit, or contains NUL. */
bool field_text_of(const uint8_t *bytes, size_t length, uint16_t tag, char *text, size_t size);

/* True for a value without NUL bytes. */
bool field_is_text(const struct field *field);

/* Appends to a fixed buffer; a field that does not fit is omitted and sets `overflow`. */
struct field_writer {
	uint8_t *bytes;
	size_t size;
	size_t length;
	bool overflow;
};

void field_put(struct field_writer *writer, uint16_t tag, const void *value, size_t length);
void field_put_text(struct field_writer *writer, uint16_t tag, const char *text);
void field_put_number(struct field_writer *writer, uint16_t tag, uint64_t number);

uint16_t load16(const uint8_t *bytes);
uint32_t load32(const uint8_t *bytes);
void store16(uint8_t *bytes, uint16_t number);
void store32(uint8_t *bytes, uint32_t number);

/* Writes a frame header of HEADER_BYTES. */
void store_header(uint8_t *bytes, uint8_t type, uint8_t flags, uint32_t stream, size_t length);

#endif
