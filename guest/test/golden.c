/* The golden frames that both sides must agree on; src/guest/golden.test.ts reads the same file. */
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "wire/fields.h"
#include "wire/link.h"

static uint8_t bytes[8192];
static size_t length;
static struct link link_under_test;

static void load(const char *path, const char *wanted)
{
	static char line[16384];
	FILE *file = fopen(path, "r");
	CHECK(file);
	length = 0;
	while (fgets(line, sizeof line, file)) {
		char *space = strchr(line, ' ');
		if (line[0] == '#' || !space)
			continue;
		*space = 0;
		if (strcmp(line, wanted) != 0)
			continue;
		unsigned byte;
		for (char *hex = space + 1; sscanf(hex, "%2x", &byte) == 1; hex += 2) {
			CHECK(length < sizeof bytes);
			bytes[length++] = (uint8_t)byte;
		}
	}
	fclose(file);
	CHECK(length > 0);
}

/* Parses the loaded bytes as one frame. */
static struct frame read_frame(void)
{
	struct frame frame, more;
	struct link *link = &link_under_test;
	memset(link, 0, sizeof *link);
	link->fd = -1;
	link->synced = true;
	memcpy(link->in, bytes, length);
	link->in_end = length;
	CHECK(link_next(link, &frame));
	CHECK(link->in_start == length);
	CHECK(!link_next(link, &more));
	return frame;
}

static void test_sync(const char *path)
{
	load(path, "sync");
	struct frame frame = read_frame();
	CHECK(frame.type == FRAME_SYNC && frame.stream == 0);
	CHECK(frame.length == SYNC_MAGIC_BYTES + NONCE_BYTES);
	CHECK(memcmp(frame.payload, SYNC_MAGIC, SYNC_MAGIC_BYTES) == 0);
	CHECK(frame.payload[SYNC_MAGIC_BYTES] == 1 && frame.payload[SYNC_MAGIC_BYTES + 15] == 16);
}

static void test_open(const char *path)
{
	char text[32];
	struct field field;
	load(path, "open");
	struct frame frame = read_frame();
	CHECK(frame.type == FRAME_OPEN && frame.stream == 1 && frame.flags == 0);
	CHECK(fields_valid(frame.payload, frame.length));
	CHECK(field_number_of(frame.payload, frame.length, TAG_KIND, 0) == KIND_EXEC);
	CHECK(field_number_of(frame.payload, frame.length, TAG_WINDOW, 0) == 65536);
	CHECK(field_text_of(frame.payload, frame.length, TAG_CWD, text, sizeof text) && strcmp(text, "/tmp") == 0);
	CHECK(field_text_of(frame.payload, frame.length, TAG_USER, text, sizeof text) && strcmp(text, "1000:27") == 0);
	CHECK(field_text_of(frame.payload, frame.length, TAG_ARGUMENT, text, sizeof text) && strcmp(text, "käse") == 0);
	CHECK(field_find(frame.payload, frame.length, TAG_TERMINAL, &field) && field.length == 4);
	CHECK(load16(field.value) == 120 && load16(field.value + 2) == 40);
}

static void test_stream_frames(const char *path)
{
	load(path, "data");
	struct frame frame = read_frame();
	CHECK(frame.type == FRAME_DATA && frame.stream == 0x01020305 && (frame.flags & CHANNEL_MASK) == CHANNEL_ERR);
	CHECK(frame.length == 4 && memcmp(frame.payload, "out\n", 4) == 0);
	load(path, "credit");
	frame = read_frame();
	CHECK(frame.type == FRAME_CREDIT && frame.stream == 3 && load32(frame.payload) == 65536);
	load(path, "eof");
	frame = read_frame();
	CHECK(frame.type == FRAME_EOF && frame.length == 0);
}

/* The agent encodes the same bytes. */
static void test_written(const char *path)
{
	uint8_t payload[64];
	struct field_writer writer = { .bytes = payload, .size = sizeof payload };
	struct link *link = &link_under_test;
	field_put_number(&writer, TAG_EXIT_CODE, 3);
	memset(link, 0, sizeof *link);
	CHECK(link_send(link, FRAME_CLOSE, 0, 3, payload, writer.length));
	load(path, "close");
	CHECK(link->out_end == length && memcmp(link->out, bytes, length) == 0);
}

static void test_boot(const char *path)
{
	char text[64];
	load(path, "boot");
	CHECK(fields_valid(bytes, length));
	CHECK(field_text_of(bytes, length, TAG_BOOT_MODE, text, sizeof text) && strcmp(text, "systemd") == 0);
	CHECK(field_text_of(bytes, length, TAG_BOOT_ROOTFS, text, sizeof text) && strcmp(text, "overlay") == 0);
	CHECK(field_text_of(bytes, length, TAG_BOOT_MAC, text, sizeof text) && strcmp(text, "52:54:00:12:34:56") == 0);
	CHECK(field_text_of(bytes, length, TAG_BOOT_ADDRESS, text, sizeof text) && strcmp(text, "10.0.2.15/24") == 0);
	CHECK(field_text_of(bytes, length, TAG_BOOT_HOST_ENTRY, text, sizeof text) && strcmp(text, "10.0.2.2 host.banger") == 0);
	CHECK(field_number_of(bytes, length, TAG_BOOT_MTU, 0) == 1400);
	CHECK(field_number_of(bytes, length, TAG_BOOT_TIME_UNIX_NS, 0) == 1795221192825927837ULL);
}

void test_golden(const char *path)
{
	test_sync(path);
	test_open(path);
	test_stream_frames(path);
	test_written(path);
	test_boot(path);
}
