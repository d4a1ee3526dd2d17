#include "run/stream.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/connect.h"
#include "run/exec.h"
#include "run/process.h"
#include "run/pump.h"
#include "run/request.h"
#include "wire/fields.h"

static struct stream streams[MAX_STREAMS];

/* An open request in several frames, with a spare byte to NUL-terminate its last text. */
static struct {
	uint32_t stream;
	size_t length;
	bool too_long;
	uint8_t bytes[MAX_OPEN_BYTES + 1];
} opening;

/* Open requests beyond the table's size, still to be answered. */
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

void stream_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void stream_close_input(struct stream *stream)
{
	stream_close_fd(&stream->in_fd);
	stream->owed = 0;
	stream->ring_length = 0;
}

/* Before its input is closed: the end of it must not be taken for the end of what it was given. */
static void hang_up(struct stream *stream)
{
	if (stream->pid > 0)
		process_hang_up(stream->pid);
	stream->pid = 0;
}

void stream_release(struct stream *stream)
{
	hang_up(stream);
	stream_close_input(stream);
	for (int channel = 0; channel < CHANNELS; channel++)
		stream_close_fd(&stream->out[channel].fd);
	stream_free_ring(stream);
	clear(stream);
}

void streams_end_all(void)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		if (streams[i].id != 0)
			stream_release(&streams[i]);
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
	case KIND_IDENTITY:
		request_answer(stream, bytes, length);
		break;
	default:
		stream_fail(stream, "unsupported", "Unknown stream kind %u", stream->kind);
	}
}

static void handle_open(const struct frame *frame)
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

static void handle_credit(struct stream *stream, const struct frame *frame)
{
	if (frame->length >= 4 && stream->send_credit < UINT32_MAX)
		stream->send_credit += load32(frame->payload);
}

void streams_frame(const struct frame *frame)
{
	if (frame->type == FRAME_OPEN) {
		handle_open(frame);
		return;
	}
	struct stream *stream = find(frame->stream);
	if (!stream)
		return;
	switch (frame->type) {
	case FRAME_DATA:
		stream_handle_data(stream, frame);
		break;
	case FRAME_EOF:
		stream_handle_eof(stream);
		break;
	case FRAME_CREDIT:
		handle_credit(stream, frame);
		break;
	case FRAME_CONTROL:
		if (stream->kind == KIND_EXEC && fields_valid(frame->payload, frame->length))
			exec_control(stream, frame->payload, frame->length);
		break;
	case FRAME_CLOSE:
		stream->finished = false;
		stream_fail(stream, "cancelled", "The stream was closed by the host");
		hang_up(stream);
		stream_close_input(stream);
		for (int channel = 0; channel < CHANNELS; channel++) {
			stream_close_fd(&stream->out[channel].fd);
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
	stream_close_input(stream);
	/* Its output may still be in the pipes: read them until they are empty. */
	for (int channel = 0; channel < CHANNELS; channel++)
		stream->out[channel].readable = true;
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
	/* Starts with a different stream each time, for fairness. */
	static unsigned first;
	bool moved = answer_refused(link);
	first = (first + 1) % MAX_STREAMS;
	for (unsigned i = 0; i < MAX_STREAMS; i++) {
		struct stream *stream = &streams[(first + i) % MAX_STREAMS];
		if (stream->id != 0)
			moved |= stream_pump(stream, link);
	}
	return moved;
}
