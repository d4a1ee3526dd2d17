#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "wire/fields.h"

static void test_bounds(void)
{
	uint8_t bytes[32];
	struct field field;
	char small[4];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	field_put_text(&writer, 7, "abcd");
	field_put_number(&writer, 8, 0x1122334455667788ULL);
	CHECK(!writer.overflow && writer.length == 24);
	field_put_text(&writer, 9, "too long");
	CHECK(writer.overflow && writer.length == 24);
	CHECK(fields_valid(bytes, 24) && !fields_valid(bytes, 23) && !fields_valid(bytes, 25));
	CHECK(field_number_of(bytes, 24, 8, 0) == 0x1122334455667788ULL);
	CHECK(field_number_of(bytes, 24, 5, 42) == 42);
	CHECK(!field_text_of(bytes, 24, 7, small, sizeof small));
	CHECK(field_find(bytes, 24, 7, &field) && field.length == 4);
}

static void test_nul(void)
{
	uint8_t bytes[32];
	char text[16];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	field_put(&writer, 7, "a\0b", 3);
	CHECK(!field_text_of(bytes, writer.length, 7, text, sizeof text));
}

/* Random bytes are never read out of bounds; the sanitizer checks that. */
static void test_noise(void)
{
	for (int round = 0; round < 200000; round++) {
		size_t length = next_random() % 64;
		uint8_t *bytes = malloc(length ? length : 1);
		char text[8];
		CHECK(bytes);
		for (size_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)(next_random() % 4 ? next_random() % 9 : next_random());
		fields_valid(bytes, length);
		field_number_of(bytes, length, (uint16_t)(next_random() % 8), 0);
		field_text_of(bytes, length, (uint16_t)(next_random() % 8), text, sizeof text);
		free(bytes);
	}
}

void test_fields(void)
{
	test_bounds();
	test_nul();
	test_noise();
}
