#include "wire/link.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "wire/fields.h"

#define PADDING_BYTES 32768

static struct link link_under_test;
static int host;

static void connect_pair(void)
{
	int pair[2], size = 1 << 20;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	host = pair[0];
	link_attach(&link_under_test, pair[1]);
}

static void disconnect(void)
{
	link_detach(&link_under_test);
	close(host);
}

static size_t make_frame(uint8_t *bytes, uint8_t type, uint32_t stream, const void *payload, size_t length)
{
	bytes[0] = type;
	bytes[1] = 0;
	store16(bytes + 2, (uint16_t)length);
	store32(bytes + 4, stream);
	memcpy(bytes + HEADER_BYTES, payload, length);
	bytes[HEADER_BYTES + length] = TRAILER;
	return HEADER_BYTES + length + 1;
}

static void feed(const void *bytes, size_t length)
{
	CHECK(write(host, bytes, length) == (ssize_t)length);
	link_under_test.readable = true;
}

static void feed_sync(uint8_t nonce)
{
	static uint8_t bytes[PADDING_BYTES + 64];
	uint8_t payload[SYNC_MAGIC_BYTES + NONCE_BYTES];
	memcpy(payload, SYNC_MAGIC, SYNC_MAGIC_BYTES);
	memset(payload + SYNC_MAGIC_BYTES, nonce, NONCE_BYTES);
	memset(bytes, 0, sizeof bytes);
	feed(bytes, PADDING_BYTES + make_frame(bytes + PADDING_BYTES, FRAME_SYNC, 0, payload, sizeof payload));
}

/* Reads until a frame is complete or no input is left. */
static bool next(struct frame *frame)
{
	for (;;) {
		if (link_next(&link_under_test, frame))
			return true;
		if (!link_under_test.readable)
			return false;
		CHECK(link_read(&link_under_test));
	}
}

static void expect_sync(uint8_t nonce)
{
	struct frame frame;
	CHECK(next(&frame));
	CHECK(frame.type == FRAME_SYNC && frame.payload[SYNC_MAGIC_BYTES] == nonce);
	link_under_test.synced = true;
}

/* A frame that a host left incomplete is discarded; the next host's frames are parsed. */
static void test_half_frames(void)
{
	static uint8_t bytes[MAX_FRAME_BYTES];
	static uint8_t payload[MAX_PAYLOAD_BYTES];
	struct frame frame;
	memset(payload, 'x', sizeof payload);
	for (int round = 0; round < 200; round++) {
		connect_pair();
		feed_sync(1);
		expect_sync(1);
		size_t size = make_frame(bytes, FRAME_OPEN, 1, payload, next_random() % (MAX_PAYLOAD_BYTES + 1));
		feed(bytes, next_random() % size);
		CHECK(!next(&frame));
		feed_sync(2);
		expect_sync(2);
		disconnect();
	}
}

/* A sync sequence inside of data is data. */
static void test_sync_in_data(void)
{
	uint8_t bytes[256], inner[128];
	struct frame frame;
	uint8_t payload[SYNC_MAGIC_BYTES + NONCE_BYTES] = SYNC_MAGIC;
	connect_pair();
	feed_sync(1);
	expect_sync(1);
	size_t inner_size = make_frame(inner, FRAME_SYNC, 0, payload, sizeof payload);
	feed(bytes, make_frame(bytes, FRAME_DATA, 5, inner, inner_size));
	CHECK(next(&frame) && frame.type == FRAME_DATA && frame.length == inner_size);
	CHECK(!next(&frame));
	disconnect();
}

/* Before the first sync, and after an invalid frame, all input is skipped. */
static void test_noise(void)
{
	static uint8_t noise[50000];
	struct frame frame;
	for (int round = 0; round < 200; round++) {
		connect_pair();
		size_t length = next_random() % sizeof noise;
		for (size_t i = 0; i < length; i++)
			noise[i] = (uint8_t)(round % 2 ? next_random() : next_random() % 3);
		feed(noise, length);
		while (next(&frame) && frame.type != FRAME_SYNC) {
		}
		feed_sync(7);
		expect_sync(7);
		/* In sync: noise loses the sync, and a beacon is sent. */
		noise[0] = 200;
		store16(noise + 2, 4);
		memset(noise + 4, 0, 60);
		feed(noise, 64);
		CHECK(!next(&frame));
		CHECK(link_under_test.lost && !link_under_test.synced);
		link_under_test.lost = false;
		feed_sync(8);
		expect_sync(8);
		disconnect();
	}
}

/* The output buffer never overflows, and data leaves room for control frames. */
static void test_output(void)
{
	struct iovec places[LINK_MAX_BATCH];
	int batches = 0, count;
	uint64_t total = 0;
	connect_pair();
	link_under_test.synced = true;
	link_under_test.writable = false;
	link_drop_output(&link_under_test);
	while ((count = link_reserve(&link_under_test, 100000, places)) > 0) {
		size_t length = 0;
		for (int i = 0; i < count; i++) {
			memset(places[i].iov_base, 1 + i, places[i].iov_len);
			length += places[i].iov_len;
		}
		CHECK(length <= 100000);
		/* The last place is filled partly. */
		length -= places[count - 1].iov_len / 2;
		link_commit_batch(&link_under_test, 1, 1, length);
		total += length;
		CHECK(++batches < 100);
	}
	/* Parsed as frames, they hold the data of the places in order. */
	memset(link_under_test.in, 0, sizeof link_under_test.in);
	uint64_t found = 0;
	for (size_t at = 0; at < link_under_test.out_end;) {
		struct frame frame;
		size_t piece = link_under_test.out_end - at < LINK_IN_BYTES ? link_under_test.out_end - at : LINK_IN_BYTES;
		memcpy(link_under_test.in, link_under_test.out + at, piece);
		link_under_test.in_start = 0;
		link_under_test.in_end = piece;
		CHECK(link_next(&link_under_test, &frame));
		CHECK(frame.type == FRAME_DATA && frame.flags == 1 && frame.stream == 1 && frame.length > 0);
		CHECK(frame.payload[0] == frame.payload[frame.length - 1]);
		CHECK(frame.payload[0] >= 1 && frame.payload[0] <= LINK_MAX_BATCH);
		found += frame.length;
		at += link_under_test.in_start;
	}
	CHECK(found == total && batches > 1);
	link_under_test.in_start = link_under_test.in_end = 0;
	CHECK(link_has_room(&link_under_test, 1000));
	while (link_send(&link_under_test, FRAME_EOF, 0, 1, NULL, 0)) {
	}
	CHECK(link_under_test.out_end <= LINK_OUT_BYTES && link_under_test.out_end > LINK_OUT_BYTES - 16);
	disconnect();
}

/* The host's end is a link too, so that the code under test parses its input. */
static void expect_frames(uint64_t passed, uint64_t in_round)
{
	static struct link reader;
	static uint8_t next_byte;
	struct frame frame;
	reader.fd = host;
	reader.synced = true;
	uint64_t found = 0;
	bool has_begun = false, has_ended = false;
	while (!has_ended) {
		link_flush(&link_under_test);
		link_under_test.writable = true;
		CHECK(link_read(&reader));
		while (link_next(&reader, &frame)) {
			if (frame.type == FRAME_CREDIT) {
				CHECK(!has_begun);
				has_begun = true;
			} else if (frame.type == FRAME_EOF) {
				has_ended = true;
			} else {
				CHECK(frame.type == FRAME_DATA && frame.flags == 2 && frame.stream == in_round && has_begun && !has_ended);
				for (size_t i = 0; i < frame.length; i++)
					CHECK(frame.payload[i] == next_byte++);
				found += frame.length;
			}
		}
	}
	CHECK(found == passed);
	CHECK(!link_has_output(&link_under_test));
}

/* Large pipe contents are spliced completely and in order with other frames; small contents are left to be read. */
static void test_pass(void)
{
	static uint8_t bytes[300000];
	static uint8_t next_byte;
	int pair[2];
	CHECK(pipe2(pair, O_NONBLOCK) == 0 && fcntl(pair[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
	connect_pair();
	link_under_test.synced = true;
	link_drop_output(&link_under_test);
	for (uint32_t round = 1; round <= 50; round++) {
		size_t length = 65536 + next_random() % (sizeof bytes - 65536);
		for (size_t i = 0; i < length; i++)
			bytes[i] = next_byte++;
		/* Written in pieces, so that the pipe holds full and partial pages. */
		for (size_t at = 0, piece; at < length; at += piece) {
			piece = 1 + next_random() % 20000;
			piece = piece < length - at ? piece : length - at;
			CHECK(write(pair[1], bytes + at, piece) == (ssize_t)piece);
		}
		size_t wanted = 65536 + next_random() % (2 * length);
		CHECK(link_send(&link_under_test, FRAME_CREDIT, 0, 1, NULL, 0));
		size_t passed = link_pass(&link_under_test, 2, round, pair[0], wanted);
		CHECK(passed > 0 && passed <= length && passed <= wanted);
		CHECK(link_pass(&link_under_test, 2, round, pair[0], wanted) == 0);
		CHECK(link_send(&link_under_test, FRAME_EOF, 0, 1, NULL, 0));
		expect_frames(passed, round);
		ssize_t left = read(pair[0], bytes, sizeof bytes);
		CHECK(passed == length ? left < 0 : left == (ssize_t)(length - passed));
		for (ssize_t i = 0; i < left; i++)
			next_byte--;
	}
	CHECK(write(pair[1], bytes, 65535) == 65535);
	CHECK(link_pass(&link_under_test, 2, 1, pair[0], sizeof bytes) == 0);
	close(pair[0]);
	close(pair[1]);
	disconnect();
}

void test_link(void)
{
	test_half_frames();
	test_sync_in_data();
	test_noise();
	test_output();
	test_pass();
}
