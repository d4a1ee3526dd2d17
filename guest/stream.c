#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connect.h"
#include "exec.h"
#include "fields.h"
#include "process.h"
#include "request.h"

#define END_OF_TRANSMISSION 4
#define RING_PAGE_BYTES 4096

static struct stream streams[MAX_STREAMS];
/* Beside the table, on whole pages, so that the memory of an ended stream can be given back. */
static uint8_t rings[MAX_STREAMS][STREAM_WINDOW_BYTES] __attribute__((aligned(RING_PAGE_BYTES)));

/* An open that comes in several frames; one byte more, to end its last text. */
static struct {
	uint32_t stream;
	size_t length;
	bool too_long;
	uint8_t bytes[MAX_OPEN_BYTES + 1];
} opening;

/* Opens that found no place still get their answer. */
static struct {
	uint32_t streams[MAX_STREAMS];
	int count;
} refused;

static void clear(struct stream *stream)
{
	*stream = (struct stream){
		.slot = (uint8_t)(stream - streams),
		.in_fd = -1,
		.out = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } },
	};
}

void streams_init(void)
{
	for (int i = 0; i < MAX_STREAMS; i++)
		clear(&streams[i]);
}

int streams_count(void)
{
	int count = 0;
	for (int i = 0; i < MAX_STREAMS; i++)
		count += streams[i].id != 0 && !streams[i].error;
	return count;
}

static struct stream *find(uint32_t id)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		if (id != 0 && streams[i].id == id)
			return &streams[i];
	}
	return NULL;
}

static struct stream *find_free(void)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		if (streams[i].id == 0)
			return &streams[i];
	}
	return NULL;
}

static bool watch_stream(struct stream *stream, int fd, uint32_t events, enum watch_role role)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 &&
	       watch_add(fd, events, (struct watch){ .role = role, .slot = stream->slot, .stream = stream->id });
}

bool stream_set_input(struct stream *stream, int fd)
{
	stream->in_fd = fd;
	stream->in_writable = true;
	return watch_stream(stream, fd, EPOLLOUT, WATCH_STREAM_IN);
}

bool stream_set_output(struct stream *stream, enum channel channel, int fd)
{
	stream->out[channel].fd = fd;
	stream->out[channel].readable = true;
	enum watch_role role = channel == CHANNEL_ERR ? WATCH_STREAM_ERR : WATCH_STREAM_OUT;
	return watch_stream(stream, fd, EPOLLIN | EPOLLRDHUP, role);
}

void stream_fail(struct stream *stream, const char *error, const char *format, ...)
{
	if (stream->finished)
		return;
	va_list list;
	va_start(list, format);
	vsnprintf(stream->message, sizeof stream->message, format, list);
	va_end(list);
	stream->error = error;
	stream->finished = true;
	stream->opened_due = false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_input(struct stream *stream)
{
	close_fd(&stream->in_fd);
	stream->owed = 0;
	stream->ring_length = 0;
}

/* Frees the place; what runs is hung up. */
static void release(struct stream *stream)
{
	if (stream->pid > 0)
		process_hang_up(stream->pid);
	close_input(stream);
	for (int channel = 0; channel < CHANNELS; channel++)
		close_fd(&stream->out[channel].fd);
	madvise(rings[stream->slot], STREAM_WINDOW_BYTES, MADV_DONTNEED);
	clear(stream);
}

void streams_end_all(void)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		if (streams[i].id != 0)
			release(&streams[i]);
	}
	refused.count = 0;
	opening.stream = 0;
}

static void start(struct stream *stream, uint8_t *bytes, size_t length)
{
	stream->kind = (uint8_t)field_number_of(bytes, length, TAG_KIND, 0);
	stream->send_credit = field_number_of(bytes, length, TAG_WINDOW, 0);
	stream->receive_credit = STREAM_WINDOW_BYTES;
	switch (stream->kind) {
	case KIND_EXEC:
		exec_start(stream, bytes, length);
		break;
	case KIND_CONNECT:
		connect_start(stream, bytes, length);
		break;
	case KIND_HEALTH:
	case KIND_TIME:
	case KIND_SHUTDOWN:
		request_answer(stream, bytes, length);
		break;
	default:
		stream_fail(stream, "unsupported", "This agent knows no stream of kind %u", stream->kind);
	}
}

static void take_open(const struct frame *frame)
{
	if (opening.stream != frame->stream) {
		opening.stream = frame->stream;
		opening.length = 0;
		opening.too_long = false;
	}
	if (frame->length > MAX_OPEN_BYTES - opening.length) {
		opening.too_long = true;
	} else {
		memcpy(opening.bytes + opening.length, frame->payload, frame->length);
		opening.length += frame->length;
	}
	if (frame->flags & FLAG_MORE)
		return;
	opening.stream = 0;
	if (frame->stream == 0 || find(frame->stream))
		return;
	struct stream *stream = find_free();
	if (!stream) {
		if (refused.count < MAX_STREAMS)
			refused.streams[refused.count++] = frame->stream;
		return;
	}
	clear(stream);
	stream->id = frame->stream;
	if (opening.too_long)
		stream_fail(stream, "limit_exceeded", "The request is longer than %d bytes", MAX_OPEN_BYTES);
	else if (!fields_valid(opening.bytes, opening.length))
		stream_fail(stream, "invalid_argument", "The request is malformed");
	else
		start(stream, opening.bytes, opening.length);
}

static bool takes_input(const struct stream *stream)
{
	return stream->in_fd >= 0 && !stream->in_ended;
}

static void take_data(struct stream *stream, const struct frame *frame)
{
	if (frame->length > stream->receive_credit) {
		stream_fail(stream, "invalid_argument", "More data came than was granted");
		return;
	}
	stream->receive_credit -= (uint32_t)frame->length;
	if (!takes_input(stream))
		return;
	uint8_t *ring = rings[stream->slot];
	size_t end = (stream->ring_start + stream->ring_length) % STREAM_WINDOW_BYTES;
	size_t first = STREAM_WINDOW_BYTES - end < frame->length ? STREAM_WINDOW_BYTES - end : frame->length;
	memcpy(ring + end, frame->payload, first);
	memcpy(ring, frame->payload + first, frame->length - first);
	stream->ring_length += frame->length;
}

/* A terminal is not closed by its input's end: the reader is told as a person at the keyboard would. */
static void take_eof(struct stream *stream)
{
	if (!takes_input(stream))
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

static void take_credit(struct stream *stream, const struct frame *frame)
{
	if (frame->length >= 4 && stream->send_credit < UINT32_MAX)
		stream->send_credit += load32(frame->payload);
}

void streams_frame(const struct frame *frame)
{
	if (frame->type == FRAME_OPEN) {
		take_open(frame);
		return;
	}
	struct stream *stream = find(frame->stream);
	if (!stream)
		return;
	switch (frame->type) {
	case FRAME_DATA:
		take_data(stream, frame);
		break;
	case FRAME_EOF:
		take_eof(stream);
		break;
	case FRAME_CREDIT:
		take_credit(stream, frame);
		break;
	case FRAME_CONTROL:
		if (stream->kind == KIND_EXEC && fields_valid(frame->payload, frame->length))
			exec_control(stream, frame->payload, frame->length);
		break;
	case FRAME_CLOSE:
		stream->finished = false;
		stream_fail(stream, "cancelled", "The stream was closed by the host");
		close_input(stream);
		for (int channel = 0; channel < CHANNELS; channel++) {
			close_fd(&stream->out[channel].fd);
			stream->out[channel].eof_due = false;
		}
		break;
	}
}

void streams_ready(const struct watch_event *event)
{
	struct stream *stream = &streams[event->watch.slot % MAX_STREAMS];
	if (stream->id != event->watch.stream)
		return;
	switch (event->watch.role) {
	case WATCH_STREAM_IN:
		if (stream->connecting)
			connect_ready(stream);
		stream->in_writable = true;
		break;
	case WATCH_STREAM_OUT:
		stream->out[CHANNEL_OUT].readable = true;
		break;
	case WATCH_STREAM_ERR:
		stream->out[CHANNEL_ERR].readable = true;
		break;
	default:
		break;
	}
}

void streams_process_ended(uint32_t id, int status)
{
	struct stream *stream = find(id);
	if (!stream)
		return;
	stream->pid = 0;
	if (!stream->finished) {
		stream->finished = true;
		stream->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		stream->exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	}
	close_input(stream);
	/* What it wrote is in its pipes; they are read once more, until they are empty. */
	for (int channel = 0; channel < CHANNELS; channel++)
		stream->out[channel].readable = true;
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
			close_input(stream);
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
		close_input(stream);
		moved = true;
	}
	return moved;
}

static bool end_output(struct stream_output *out)
{
	close_fd(&out->fd);
	out->eof_due = true;
	return true;
}

/* Without credit: whether the process has ended and left nothing unread. */
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
	size_t room;
	uint8_t *payload = link_reserve(link, &room);
	if (!payload)
		return false;
	if (room > stream->send_credit)
		room = (size_t)stream->send_credit;
	ssize_t count = read(out->fd, payload, room);
	if (count > 0) {
		stream->send_credit -= (uint64_t)count;
		link_commit(link, FRAME_DATA, (uint8_t)channel, stream->id, (size_t)count);
		return true;
	}
	if (count < 0 && errno == EINTR)
		return true;
	out->readable = false;
	/* A process that has ended leaves nothing more to wait for, though a child of it may hold the pipe. */
	if (count < 0 && errno == EAGAIN && !(stream->kind == KIND_EXEC && stream->finished))
		return false;
	return end_output(out);
}

static bool send_opened(struct stream *stream, struct link *link)
{
	uint8_t bytes[64];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	if (stream->pid_told > 0)
		field_put_number(&writer, TAG_PID, (uint64_t)stream->pid_told);
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

/* A socket is done when both directions are; a failure waits for nothing. */
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

static bool pump(struct stream *stream, struct link *link)
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
		release(stream);
		moved = true;
	}
	return moved;
}

static bool answer_refused(struct link *link)
{
	static const char text[] = "All streams of this machine are in use";
	uint8_t bytes[128];
	bool moved = false;
	while (refused.count > 0) {
		struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
		field_put_text(&writer, TAG_ERROR, "limit_exceeded");
		field_put_text(&writer, TAG_MESSAGE, text);
		if (!link_send(link, FRAME_CLOSE, 0, refused.streams[refused.count - 1], bytes, writer.length))
			break;
		refused.count--;
		moved = true;
	}
	return moved;
}

bool streams_pump(struct link *link)
{
	/* Begins with another stream each time, so that none is always first to the buffer. */
	static unsigned first;
	bool moved = answer_refused(link);
	first = (first + 1) % MAX_STREAMS;
	for (unsigned i = 0; i < MAX_STREAMS; i++) {
		struct stream *stream = &streams[(first + i) % MAX_STREAMS];
		if (stream->id != 0)
			moved |= pump(stream, link);
	}
	return moved;
}
