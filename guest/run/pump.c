#include "run/pump.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/fields.h"

#define END_OF_TRANSMISSION 4
#define RING_PAGE_BYTES 4096

/* Outside of the table and page-aligned, so that a closed stream's memory can be released. */
static uint8_t rings[MAX_STREAMS][STREAM_WINDOW_BYTES] __attribute__((aligned(RING_PAGE_BYTES)));

void stream_free_ring(struct stream *stream)
{
	madvise(rings[stream->slot], STREAM_WINDOW_BYTES, MADV_DONTNEED);
}

static bool accepts_input(const struct stream *stream)
{
	return stream->in_fd >= 0 && !stream->in_ended;
}

/* Writes directly to the reader if nothing is buffered; returns how much was written. */
static size_t pass_data(struct stream *stream, const struct frame *frame)
{
	if (stream->ring_length > 0 || !stream->in_writable || stream->connecting)
		return 0;
	ssize_t count = write(stream->in_fd, frame->payload, frame->length);
	if (count <= 0)
		return 0;
	stream->owed += (uint32_t)count;
	return (size_t)count;
}

void stream_handle_data(struct stream *stream, const struct frame *frame)
{
	if (frame->length > stream->receive_credit) {
		stream_fail(stream, "invalid_argument", "Received more data than the granted credit");
		return;
	}
	stream->receive_credit -= (uint32_t)frame->length;
	if (!accepts_input(stream))
		return;
	size_t passed = pass_data(stream, frame);
	const uint8_t *rest = frame->payload + passed;
	size_t length = frame->length - passed;
	uint8_t *ring = rings[stream->slot];
	size_t end = (stream->ring_start + stream->ring_length) % STREAM_WINDOW_BYTES;
	size_t first = STREAM_WINDOW_BYTES - end < length ? STREAM_WINDOW_BYTES - end : length;
	memcpy(ring + end, rest, first);
	memcpy(ring, rest + first, length - first);
	stream->ring_length += length;
}

/* A terminal has no end of input; the reader gets the key for end of file. */
void stream_handle_eof(struct stream *stream)
{
	if (!accepts_input(stream))
		return;
	if (stream->is_terminal) {
		if (stream->ring_length < STREAM_WINDOW_BYTES) {
			size_t end = (stream->ring_start + stream->ring_length) % STREAM_WINDOW_BYTES;
			rings[stream->slot][end] = END_OF_TRANSMISSION;
			stream->ring_length++;
		}
		return;
	}
	stream->in_ended = true;
}

static bool pump_input(struct stream *stream)
{
	bool moved = false;
	while (stream->in_fd >= 0 && stream->in_writable && !stream->connecting && stream->ring_length > 0) {
		size_t piece = STREAM_WINDOW_BYTES - stream->ring_start;
		if (piece > stream->ring_length)
			piece = stream->ring_length;
		ssize_t count = write(stream->in_fd, rings[stream->slot] + stream->ring_start, piece);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN) {
			stream->in_writable = false;
			break;
		}
		if (count < 0) {
			stream_close_input(stream);
			stream->in_refused_due = true;
			return true;
		}
		stream->ring_start = (stream->ring_start + (size_t)count) % STREAM_WINDOW_BYTES;
		stream->ring_length -= (size_t)count;
		stream->owed += (uint32_t)count;
		moved = true;
	}
	if (stream->in_fd >= 0 && stream->in_ended && stream->ring_length == 0 && !stream->connecting) {
		if (stream->kind == KIND_CONNECT)
			shutdown(stream->in_fd, SHUT_WR);
		stream_close_input(stream);
		moved = true;
	}
	return moved;
}

static bool end_output(struct stream_output *out)
{
	stream_close_fd(&out->fd);
	out->eof_due = true;
	return true;
}

/* Without credit: whether the process has exited and left nothing unread. */
static bool is_over(const struct stream *stream, const struct stream_output *out)
{
	int waiting = 0;
	return stream->kind == KIND_EXEC && stream->finished && !stream->is_terminal &&
	       ioctl(out->fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

static bool pump_output(struct stream *stream, enum channel channel, struct link *link)
{
	struct stream_output *out = &stream->out[channel];
	if (out->fd < 0 || !out->readable || stream->connecting || stream->opened_due)
		return false;
	if (stream->send_credit == 0)
		return is_over(stream, out) && end_output(out);
	if (stream->kind == KIND_EXEC && !stream->is_terminal) {
		size_t passed = link_pass(link, (uint8_t)channel, stream->id, out->fd, stream->send_credit);
		stream->send_credit -= passed;
		if (passed > 0)
			return true;
	}
	/* Reads several frames at once: waking the writer costs more than copying. */
	struct iovec places[LINK_MAX_BATCH];
	int place_count = link_reserve(link, stream->send_credit, places);
	if (place_count == 0)
		return false;
	ssize_t count = readv(out->fd, places, place_count);
	if (count > 0) {
		stream->send_credit -= (uint64_t)count;
		link_commit_batch(link, (uint8_t)channel, stream->id, (size_t)count);
		return true;
	}
	if (count < 0 && errno == EINTR)
		return true;
	out->readable = false;
	/* After the process has exited, a child that holds the pipe open is not waited for. */
	if (count < 0 && errno == EAGAIN && !(stream->kind == KIND_EXEC && stream->finished))
		return false;
	return end_output(out);
}

static bool send_opened(struct stream *stream, struct link *link)
{
	uint8_t bytes[64];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	if (stream->host_pid > 0)
		field_put_number(&writer, TAG_PID, (uint64_t)stream->host_pid);
	field_put_number(&writer, TAG_WINDOW, STREAM_WINDOW_BYTES);
	return link_send(link, FRAME_OPENED, 0, stream->id, bytes, writer.length);
}

static bool send_credit(struct stream *stream, struct link *link)
{
	uint8_t bytes[4];
	store32(bytes, stream->owed);
	if (!link_send(link, FRAME_CREDIT, 0, stream->id, bytes, sizeof bytes))
		return false;
	stream->receive_credit += stream->owed;
	stream->owed = 0;
	return true;
}

static bool send_close(struct stream *stream, struct link *link)
{
	uint8_t bytes[512];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	if (stream->error) {
		field_put_text(&writer, TAG_ERROR, stream->error);
		field_put_text(&writer, TAG_MESSAGE, stream->message);
	} else if (stream->exit_signal) {
		field_put_number(&writer, TAG_EXIT_SIGNAL, (uint64_t)stream->exit_signal);
	} else if (stream->kind == KIND_EXEC) {
		field_put_number(&writer, TAG_EXIT_CODE, (uint64_t)stream->exit_code);
	}
	if (!writer.overflow && stream->answer_length <= sizeof bytes - writer.length) {
		memcpy(bytes + writer.length, stream->answer, stream->answer_length);
		writer.length += stream->answer_length;
	}
	return link_send(link, FRAME_CLOSE, 0, stream->id, bytes, writer.length);
}

static bool has_output(const struct stream *stream)
{
	for (int channel = CHANNEL_OUT; channel < CHANNELS; channel++) {
		if (stream->out[channel].fd >= 0 || stream->out[channel].eof_due)
			return true;
	}
	return false;
}

/* A connection is done when both directions are; a failed stream is done at once. */
static bool is_done(struct stream *stream)
{
	if (stream->opened_due)
		return false;
	if (stream->error)
		return true;
	if (has_output(stream))
		return false;
	return stream->kind == KIND_CONNECT ? !stream->connecting && stream->in_fd < 0 : stream->finished;
}

bool stream_pump(struct stream *stream, struct link *link)
{
	bool moved = false;
	if (stream->opened_due && !stream->connecting && send_opened(stream, link)) {
		stream->opened_due = false;
		moved = true;
	}
	moved |= pump_input(stream);
	if (stream->owed >= STREAM_WINDOW_BYTES / 4)
		moved |= send_credit(stream, link);
	if (stream->in_refused_due && link_send(link, FRAME_EOF, CHANNEL_IN, stream->id, NULL, 0)) {
		stream->in_refused_due = false;
		moved = true;
	}
	for (enum channel channel = CHANNEL_OUT; channel < CHANNELS; channel++) {
		moved |= pump_output(stream, channel, link);
		if (stream->out[channel].eof_due && link_send(link, FRAME_EOF, (uint8_t)channel, stream->id, NULL, 0)) {
			stream->out[channel].eof_due = false;
			moved = true;
		}
	}
	if (is_done(stream) && send_close(stream, link)) {
		stream_release(stream);
		moved = true;
	}
	return moved;
}
