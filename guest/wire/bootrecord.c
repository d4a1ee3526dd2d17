#include "wire/bootrecord.h"

#include <string.h>

#include "base/io.h"

static uint8_t record[MAX_BOOT_RECORD_BYTES + 2];
static size_t record_length;

bool boot_record_load(const char *path)
{
	ssize_t length = read_file(path, (char *)record, sizeof record);
	record_length = 0;
	if (length <= 0 || (size_t)length >= sizeof record - 1 || !fields_valid(record, (size_t)length))
		return false;
	record_length = (size_t)length;
	return true;
}

bool boot_record_set(const uint8_t *bytes, size_t length)
{
	if (length > sizeof record - 2 || !fields_valid(bytes, length))
		return false;
	memcpy(record, bytes, length);
	record_length = length;
	return true;
}

bool boot_record_keep(const char *path, bool in_place)
{
	static uint8_t kept[MAX_BOOT_RECORD_BYTES];
	struct field_writer writer = { .bytes = kept, .size = sizeof kept };
	struct field_reader reader = { .at = record, .left = record_length };
	struct field field;
	while (field_next(&reader, &field)) {
		if (field.tag != TAG_BOOT_ENTROPY_SEED && field.tag != TAG_BOOT_SSH_HOST_KEY)
			field_put(&writer, field.tag, field.value, field.length);
	}
	return (in_place && overwrite_file(path, kept, writer.length)) || replace_file(path, kept, writer.length, 0600);
}

bool boot_record_has(uint16_t tag)
{
	struct field field;
	return boot_record_field(tag, &field);
}

bool boot_record_field(uint16_t tag, struct field *field)
{
	return field_find(record, record_length, tag, field);
}

bool boot_record_text(uint16_t tag, char *text, size_t size)
{
	return field_text_of(record, record_length, tag, text, size);
}

uint64_t boot_record_number(uint16_t tag, uint64_t otherwise)
{
	return field_number_of(record, record_length, tag, otherwise);
}

void boot_record_each(uint16_t tag, void (*visit)(const uint8_t *value, size_t length))
{
	struct field_reader reader = { .at = record, .left = record_length };
	struct field field;
	while (field_next(&reader, &field)) {
		if (field.tag == tag)
			visit(field.value, field.length);
	}
}
