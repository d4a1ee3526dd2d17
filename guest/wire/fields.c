#include "wire/fields.h"

#include <string.h>

#define FIELD_HEADER_BYTES 6

uint16_t load16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

uint32_t load32(const uint8_t *bytes)
{
	return load16(bytes) | (uint32_t)load16(bytes + 2) << 16;
}

void store16(uint8_t *bytes, uint16_t number)
{
	bytes[0] = (uint8_t)number;
	bytes[1] = (uint8_t)(number >> 8);
}

void store32(uint8_t *bytes, uint32_t number)
{
	store16(bytes, (uint16_t)number);
	store16(bytes + 2, (uint16_t)(number >> 16));
}

bool field_next(struct field_reader *reader, struct field *field)
{
	if (reader->left < FIELD_HEADER_BYTES)
		return false;
	field->tag = load16(reader->at);
	field->length = load32(reader->at + 2);
	if (field->tag == 0 || field->length > reader->left - FIELD_HEADER_BYTES)
		return false;
	field->value = reader->at + FIELD_HEADER_BYTES;
	reader->at += FIELD_HEADER_BYTES + field->length;
	reader->left -= FIELD_HEADER_BYTES + field->length;
	return true;
}

static struct field_reader reader_of(const uint8_t *bytes, size_t length)
{
	/* Readers do not write; not const because exec.c NUL-terminates texts in place. */
	return (struct field_reader){ .at = (uint8_t *)(uintptr_t)bytes, .left = length };
}

bool fields_valid(const uint8_t *bytes, size_t length)
{
	struct field_reader reader = reader_of(bytes, length);
	struct field field;
	while (field_next(&reader, &field)) {
	}
	return reader.left == 0;
}

bool field_find(const uint8_t *bytes, size_t length, uint16_t tag, struct field *found)
{
	struct field_reader reader = reader_of(bytes, length);
	struct field field;
	bool any = false;
	while (field_next(&reader, &field)) {
		if (field.tag != tag)
			continue;
		*found = field;
		any = true;
	}
	return any;
}

uint64_t field_number(const struct field *field)
{
	uint64_t number = 0;
	if (field->length > 8)
		return 0;
	for (uint32_t i = field->length; i > 0; i--)
		number = number << 8 | field->value[i - 1];
	return number;
}

uint64_t field_number_of(const uint8_t *bytes, size_t length, uint16_t tag, uint64_t otherwise)
{
	struct field field;
	return field_find(bytes, length, tag, &field) ? field_number(&field) : otherwise;
}

bool field_is_text(const struct field *field)
{
	return field->length == 0 || memchr(field->value, 0, field->length) == NULL;
}

bool field_text_of(const uint8_t *bytes, size_t length, uint16_t tag, char *text, size_t size)
{
	struct field field;
	if (!field_find(bytes, length, tag, &field) || field.length >= size || !field_is_text(&field))
		return false;
	memcpy(text, field.value, field.length);
	text[field.length] = 0;
	return true;
}

void field_put(struct field_writer *writer, uint16_t tag, const void *value, size_t length)
{
	size_t free_bytes = writer->size - writer->length;
	if (free_bytes < FIELD_HEADER_BYTES || length > free_bytes - FIELD_HEADER_BYTES) {
		writer->overflow = true;
		return;
	}
	uint8_t *at = writer->bytes + writer->length;
	store16(at, tag);
	store32(at + 2, (uint32_t)length);
	if (length > 0)
		memcpy(at + FIELD_HEADER_BYTES, value, length);
	writer->length += FIELD_HEADER_BYTES + length;
}

void field_put_text(struct field_writer *writer, uint16_t tag, const char *text)
{
	field_put(writer, tag, text, strlen(text));
}

void field_put_number(struct field_writer *writer, uint16_t tag, uint64_t number)
{
	uint8_t bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(number >> (8 * i));
	field_put(writer, tag, bytes, sizeof bytes);
}

void store_header(uint8_t *bytes, uint8_t type, uint8_t flags, uint32_t stream, size_t length)
{
	bytes[0] = type;
	bytes[1] = flags;
	store16(bytes + 2, (uint16_t)length);
	store32(bytes + 4, stream);
}
