/* Drives the link and the streams like serve.c, with pipes in place of processes and sockets. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/connect.h"
#include "run/exec.h"
#include "run/process.h"
#include "run/request.h"
#include "run/stream.h"
#include "wire/fields.h"
#include "wire/link.h"
#include "wire/watch.h"

#define MAX_ROUNDS 64

static struct link link_under_test;

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* Reads every field that a request may have, like the real implementations. */
static void read_fields(const uint8_t *bytes, size_t length)
{
	char text[64];
	struct field_reader reader = { .at = (uint8_t *)(uintptr_t)bytes, .left = length };
	struct field field;
	unsigned sum = 0;
	while (field_next(&reader, &field)) {
		require(field.length == 0 || (field.value >= bytes && field.value + field.length <= bytes + length), "a field is outside of its list");
		sum += (unsigned)field_number(&field) + field_is_text(&field);
	}
	for (uint16_t tag = 0; tag < 130; tag++)
		sum += (unsigned)field_number_of(bytes, length, tag, 7) + field_text_of(bytes, length, tag, text, sizeof text);
	if (sum == 0x7fffffff)
		puts("");
}

void exec_start(struct stream *stream, uint8_t *bytes, size_t length)
{
	int in[2], out[2];
	read_fields(bytes, length);
	require(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "no pipes");
	/* A command that reads nothing and has written output. */
	close(in[0]);
	require(write(out[1], bytes, length < 4096 ? length : 4096) >= 0, "cannot write");
	close(out[1]);
	stream->opened_due = true;
	stream->host_pid = 1;
	stream->is_terminal = field_number_of(bytes, length, TAG_STDIN, 0) > 1;
	if (!stream_set_input(stream, in[1]) || !stream_set_output(stream, CHANNEL_OUT, out[0]))
		stream_fail(stream, "internal", "no watch");
	if (length % 2)
		streams_process_ended(stream->id, (int)length);
}

void exec_control(struct stream *stream, const uint8_t *bytes, size_t length)
{
	require(stream->kind == KIND_EXEC, "control of what is no exec");
	read_fields(bytes, length);
}

void connect_start(struct stream *stream, const uint8_t *bytes, size_t length)
{
	int pair[2];
	read_fields(bytes, length);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no sockets");
	close(pair[1]);
	stream->connecting = length % 2;
	stream->opened_due = true;
	if (!stream_set_input(stream, pair[0]) || !stream_set_output(stream, CHANNEL_OUT, dup(pair[0])))
		stream_fail(stream, "internal", "no watch");
}

void connect_ready(struct stream *stream)
{
	stream->connecting = false;
}

void request_answer(struct stream *stream, const uint8_t *bytes, size_t length)
{
	read_fields(bytes, length);
	stream->finished = true;
}

void process_hang_up(pid_t pid)
{
	require(pid > 0, "hangs up nobody");
}

/* The agent's output must consist of complete frames. */
static void read_answers(int host)
{
	static uint8_t bytes[4 * LINK_OUT_BYTES];
	static size_t filled;
	ssize_t count;
	while ((count = read(host, bytes + filled, sizeof bytes - filled)) > 0) {
		filled += (size_t)count;
		size_t at = 0;
		while (filled - at >= HEADER_BYTES) {
			size_t length = load16(bytes + at + 2);
			require(bytes[at] != 0 && length <= MAX_PAYLOAD_BYTES, "the agent's frame is malformed");
			if (filled - at < HEADER_BYTES + length + 1)
				break;
			require(bytes[at + HEADER_BYTES + length] == TRAILER, "the agent's frame has no trailer");
			at += HEADER_BYTES + length + 1;
		}
		memmove(bytes, bytes + at, filled - at);
		filled -= at;
	}
	if (count == 0 || host < 0)
		filled = 0;
}

static void serve(int host)
{
	struct frame frame;
	struct watch_event events[16];
	for (int round = 0; round < MAX_ROUNDS; round++) {
		bool moved = false;
		link_under_test.readable = link_under_test.writable = true;
		link_read(&link_under_test);
		while (link_next(&link_under_test, &frame)) {
			moved = true;
			if (frame.type == FRAME_SYNC) {
				streams_end_all();
				link_drop_output(&link_under_test);
				link_under_test.synced = true;
			} else {
				streams_frame(&frame);
			}
		}
		if (link_under_test.lost) {
			link_under_test.lost = false;
			streams_end_all();
		}
		int count = watch_wait(events, 16, 0);
		for (int i = 0; i < count; i++)
			streams_ready(&events[i]);
		if (link_under_test.synced)
			moved |= streams_pump(&link_under_test);
		link_flush(&link_under_test);
		read_answers(host);
		require(streams_count() <= MAX_STREAMS, "too many streams");
		if (!moved)
			return;
	}
}

void run_input(const uint8_t *bytes, size_t length, uint32_t seed)
{
	static bool is_ready;
	int pair[2], size = 1 << 20;
	uint8_t sync[HEADER_BYTES + SYNC_MAGIC_BYTES + NONCE_BYTES + 1] = { FRAME_SYNC, 0, SYNC_MAGIC_BYTES + NONCE_BYTES };
	if (!is_ready) {
		watch_init();
		streams_init();
		is_ready = true;
	}
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "no sockets");
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	link_attach(&link_under_test, pair[1]);
	memcpy(sync + HEADER_BYTES, SYNC_MAGIC, SYNC_MAGIC_BYTES);
	sync[sizeof sync - 1] = TRAILER;
	/* Sometimes the agent starts out of sync. */
	if (seed % 16)
		require(write(pair[0], sync, sizeof sync) == (ssize_t)sizeof sync, "cannot write");
	for (size_t at = 0; at < length;) {
		size_t piece = 1 + (seed >> 4) % (length - at);
		require(write(pair[0], bytes + at, piece) == (ssize_t)piece, "cannot write");
		at += piece;
		serve(pair[0]);
	}
	streams_end_all();
	require(streams_count() == 0, "streams are left");
	link_detach(&link_under_test);
	close(pair[0]);
	read_answers(-1);
}
