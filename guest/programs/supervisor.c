/* The supervisor of a session: an event loop over its command and its clients. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "programs/session.h"
#include "run/exec.h"
#include "run/stream.h"
#include "wire/bootrecord.h"
#include "wire/fields.h"
#include "wire/watch.h"

#define MAX_CLIENTS 16
#define RING_DEFAULT_BYTES (1024 * 1024)
#define RING_MAX_BYTES (16 * 1024 * 1024)
#define RING_MIN_BYTES 4096
#define INPUT_BYTES (2 * SESSION_MAX_PACKET_BYTES)
#define MAX_COMMAND_BYTES 2048
#define END_OF_TRANSMISSION 4

struct client {
	int fd;
	/* 0: it has not sent a request yet. */
	enum session_request request;
	uint64_t offset;
};

static struct {
	int listener;
	int signals;
	const char *path;
	struct stream stream;
	uint64_t started_ns;
	uint8_t command[MAX_COMMAND_BYTES];
	size_t command_length;

	uint8_t *ring;
	size_t ring_size;
	/* Length of all output so far; the ring holds its end. */
	uint64_t output_end;

	uint8_t input[INPUT_BYTES];
	size_t input_length;
	/* Length of all input so far. */
	uint64_t input_end;
	bool input_ends;

	bool exited;
	bool removed;
	struct client clients[MAX_CLIENTS];
} supervisor;

static uint8_t packet[SESSION_MAX_PACKET_BYTES + 16];

static uint64_t output_start(void)
{
	return supervisor.output_end > supervisor.ring_size ? supervisor.output_end - supervisor.ring_size : 0;
}

static void put_info(struct field_writer *writer)
{
	struct stream *stream = &supervisor.stream;
	field_put_number(writer, TAG_PID, (uint64_t)stream->host_pid);
	field_put_number(writer, TAG_TIME_NS, supervisor.started_ns);
	field_put_number(writer, TAG_OFFSET, output_start());
	field_put_number(writer, TAG_OFFSET_END, supervisor.output_end);
	field_put_number(writer, TAG_INPUT_OFFSET, supervisor.input_end);
	if (stream->is_terminal)
		field_put_number(writer, TAG_TERMINAL, 1);
	if (supervisor.exited && stream->exit_signal)
		field_put_number(writer, TAG_EXIT_SIGNAL, (uint64_t)stream->exit_signal);
	else if (supervisor.exited)
		field_put_number(writer, TAG_EXIT_CODE, (uint64_t)stream->exit_code);
	memcpy(writer->bytes + writer->length, supervisor.command, supervisor.command_length);
	writer->length += supervisor.command_length;
}

static void drop(struct client *client)
{
	close(client->fd);
	*client = (struct client){ .fd = -1 };
}

/* An answer is the last packet to a client, and always fits its socket buffer. */
static void answer_info(struct client *client)
{
	struct field_writer writer = { .bytes = packet, .size = sizeof packet };
	put_info(&writer);
	send(client->fd, packet, writer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	drop(client);
}

static void answer_error(struct client *client, const char *code, const char *message)
{
	struct field_writer writer = { .bytes = packet, .size = sizeof packet };
	field_put_text(&writer, TAG_ERROR, code);
	field_put_text(&writer, TAG_MESSAGE, message);
	send(client->fd, packet, writer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	drop(client);
}

/* ------------------------------------------------------------- the command's side */

static void keep_output(const uint8_t *bytes, size_t length)
{
	size_t at = (size_t)(supervisor.output_end % supervisor.ring_size);
	size_t first = supervisor.ring_size - at < length ? supervisor.ring_size - at : length;
	memcpy(supervisor.ring + at, bytes, first);
	memcpy(supervisor.ring, bytes + first, length - first);
	supervisor.output_end += length;
}

/* Never waits for clients: output that was not read in time is overwritten. */
static void read_output(enum channel channel)
{
	uint8_t bytes[RING_MIN_BYTES];
	struct stream_output *out = &supervisor.stream.out[channel];
	for (int rounds = 0; out->fd >= 0 && rounds < 64; rounds++) {
		ssize_t count = read(out->fd, bytes, sizeof bytes);
		if (count > 0) {
			keep_output(bytes, (size_t)count);
			continue;
		}
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN && supervisor.stream.pid > 0)
			return;
		stream_close_fd(&out->fd);
	}
}

static void write_input(void)
{
	int *fd = &supervisor.stream.in_fd;
	while (*fd >= 0 && supervisor.input_length > 0) {
		ssize_t count = write(*fd, supervisor.input, supervisor.input_length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			return;
		if (count < 0) {
			stream_close_fd(fd);
			break;
		}
		supervisor.input_length -= (size_t)count;
		memmove(supervisor.input, supervisor.input + count, supervisor.input_length);
	}
	if (*fd < 0)
		supervisor.input_length = 0;
	else if (supervisor.input_ends && !supervisor.stream.is_terminal)
		stream_close_fd(fd);
}

static void reap(void)
{
	struct signalfd_siginfo info;
	int status;
	while (read(supervisor.signals, &info, sizeof info) > 0) {
	}
	while (supervisor.stream.pid > 0 && waitpid(supervisor.stream.pid, &status, WNOHANG) == supervisor.stream.pid) {
		supervisor.stream.pid = 0;
		supervisor.stream.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		supervisor.stream.exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		stream_close_fd(&supervisor.stream.in_fd);
		supervisor.input_length = 0;
	}
}

/* ---------------------------------------------------------------- the clients' side */

static void send_signal(struct client *client, uint64_t number)
{
	uint8_t bytes[32];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	if (supervisor.stream.pid <= 0) {
		answer_error(client, "invalid_state", "The session has ended");
		return;
	}
	field_put_number(&writer, TAG_SIGNAL, number);
	if (number > SESSION_SIGNAL_LEADER)
		kill(supervisor.stream.pid, (int)(number - SESSION_SIGNAL_LEADER));
	else
		exec_control(&supervisor.stream, bytes, writer.length);
	answer_info(client);
}

static void resize(struct client *client, uint64_t size)
{
	uint8_t bytes[32], value[4];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	store32(value, (uint32_t)size);
	field_put(&writer, TAG_TERMINAL, value, sizeof value);
	exec_control(&supervisor.stream, bytes, writer.length);
	answer_info(client);
}

static void end_input(struct client *client)
{
	supervisor.input_ends = true;
	/* A terminal gets the key for end of file. */
	if (supervisor.stream.is_terminal && supervisor.input_length < INPUT_BYTES)
		supervisor.input[supervisor.input_length++] = END_OF_TRANSMISSION;
	write_input();
	answer_info(client);
}

static void take_request(struct client *client, size_t length)
{
	if (!fields_valid(packet, length)) {
		drop(client);
		return;
	}
	client->request = (enum session_request)field_number_of(packet, length, TAG_KIND, 0);
	uint64_t offset = field_number_of(packet, length, TAG_OFFSET, 0);
	uint64_t signal_number = field_number_of(packet, length, TAG_SIGNAL, 0);
	uint64_t size = field_number_of(packet, length, TAG_TERMINAL, 0);
	struct field_writer writer = { .bytes = packet, .size = sizeof packet };
	switch (client->request) {
	case SESSION_INFO:
		answer_info(client);
		break;
	case SESSION_ATTACH:
		client->offset = offset < supervisor.output_end ? offset : supervisor.output_end;
		break;
	case SESSION_SEND:
		if (supervisor.stream.in_fd < 0 || supervisor.input_ends) {
			answer_error(client, "invalid_state", "The session's input is closed");
			break;
		}
		put_info(&writer);
		send(client->fd, packet, writer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case SESSION_SIGNAL:
		send_signal(client, signal_number);
		break;
	case SESSION_RESIZE:
		resize(client, size);
		break;
	case SESSION_EOF:
		end_input(client);
		break;
	case SESSION_REMOVE:
		if (!supervisor.exited) {
			answer_error(client, "invalid_state", "The session is still running");
			break;
		}
		answer_info(client);
		supervisor.removed = true;
		break;
	default:
		answer_error(client, "unsupported", "Unknown session request");
	}
}

static void take_packet(struct client *client)
{
	ssize_t count = recv(client->fd, packet, SESSION_MAX_PACKET_BYTES, MSG_DONTWAIT);
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		/* Answers a sender with the offset of its input once all is written. */
		if (count == 0 && client->request == SESSION_SEND)
			answer_info(client);
		else
			drop(client);
	} else if (client->request == 0) {
		take_request(client, (size_t)count);
	} else if (client->request == SESSION_SEND) {
		supervisor.input_end += (uint64_t)count;
		if (supervisor.stream.in_fd >= 0) {
			memcpy(supervisor.input + supervisor.input_length, packet, (size_t)count);
			supervisor.input_length += (size_t)count;
			write_input();
		}
	}
}

/* Sends the next part of the output, and the end record after the last. */
static void feed(struct client *client)
{
	if (client->offset < output_start())
		client->offset = output_start();
	uint64_t left = supervisor.output_end - client->offset;
	struct field_writer writer = { .bytes = packet + 1, .size = sizeof packet - 1 };
	if (left == 0) {
		packet[0] = SESSION_END;
		put_info(&writer);
		send(client->fd, packet, writer.length + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		drop(client);
		return;
	}
	size_t at = (size_t)(client->offset % supervisor.ring_size);
	size_t length = left < SESSION_MAX_PACKET_BYTES - 9 ? (size_t)left : SESSION_MAX_PACKET_BYTES - 9;
	if (length > supervisor.ring_size - at)
		length = supervisor.ring_size - at;
	packet[0] = SESSION_DATA;
	store32(packet + 1, (uint32_t)client->offset);
	store32(packet + 5, (uint32_t)(client->offset >> 32));
	memcpy(packet + 9, supervisor.ring + at, length);
	ssize_t count = send(client->fd, packet, length + 9, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (count > 0)
		client->offset += length;
	else if (errno != EAGAIN && errno != EINTR)
		drop(client);
}

/* Senders are not polled while the input buffer has no room. */
static struct pollfd wanted_of(const struct client *client)
{
	bool is_held = client->request == SESSION_SEND && supervisor.input_length > INPUT_BYTES - SESSION_MAX_PACKET_BYTES;
	bool has_more = client->request == SESSION_ATTACH && (client->offset < supervisor.output_end || supervisor.exited);
	return (struct pollfd){ .fd = is_held ? -1 : client->fd, .events = POLLIN | (has_more ? POLLOUT : 0) };
}

static void accept_client(void)
{
	int fd = accept4(supervisor.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	for (int i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
		if (supervisor.clients[i].fd >= 0)
			continue;
		supervisor.clients[i] = (struct client){ .fd = fd };
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void wait_and_serve(void)
{
	struct stream *stream = &supervisor.stream;
	struct pollfd polled[5 + MAX_CLIENTS] = {
		{ .fd = supervisor.listener, .events = POLLIN },
		{ .fd = supervisor.signals, .events = POLLIN },
		{ .fd = stream->out[CHANNEL_OUT].fd, .events = POLLIN },
		{ .fd = stream->out[CHANNEL_ERR].fd, .events = POLLIN },
		{ .fd = supervisor.input_length > 0 ? stream->in_fd : -1, .events = POLLOUT },
	};
	for (int i = 0; i < MAX_CLIENTS; i++)
		polled[5 + i] = wanted_of(&supervisor.clients[i]);
	if (poll(polled, 5 + MAX_CLIENTS, -1) < 0)
		return;
	if (polled[1].revents)
		reap();
	if (polled[2].revents || stream->pid == 0)
		read_output(CHANNEL_OUT);
	if (polled[3].revents || stream->pid == 0)
		read_output(CHANNEL_ERR);
	if (stream->pid == 0 && stream->out[CHANNEL_OUT].fd < 0 && stream->out[CHANNEL_ERR].fd < 0)
		supervisor.exited = true;
	if (polled[4].revents)
		write_input();
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &supervisor.clients[i];
		short events = polled[5 + i].revents;
		if (client->fd < 0 || client->fd != polled[5 + i].fd)
			continue;
		if (events & POLLIN)
			take_packet(client);
		else if (events & (POLLERR | POLLHUP))
			drop(client);
		if (client->fd >= 0 && events & POLLOUT && client->request == SESSION_ATTACH)
			feed(client);
	}
	if (polled[0].revents)
		accept_client();
}

/* ----------------------------------------------------------------------- start */

/* Keeps the command's arguments for listings, as many as fit. */
static void keep_command(const uint8_t *request, size_t length)
{
	struct field_writer writer = { .bytes = supervisor.command, .size = sizeof supervisor.command };
	struct field_reader reader = { .at = (uint8_t *)(uintptr_t)request, .left = length };
	struct field field;
	while (field_next(&reader, &field)) {
		if (field.tag == TAG_ARGUMENT)
			field_put(&writer, TAG_ARGUMENT, field.value, field.length);
	}
	supervisor.command_length = writer.length;
}

static void become_supervisor(void)
{
	sigset_t set;
	setsid();
	prctl(PR_SET_NAME, "banger-session");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	supervisor.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		dup2(nothing, fd);
	close(nothing);
	if (chdir("/") < 0)
		_exit(1);
}

static void make_ring(uint64_t size)
{
	if (size == 0)
		size = RING_DEFAULT_BYTES;
	supervisor.ring_size = size < RING_MIN_BYTES ? RING_MIN_BYTES : size > RING_MAX_BYTES ? RING_MAX_BYTES : (size_t)size;
	supervisor.ring = mmap(NULL, supervisor.ring_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (supervisor.ring == MAP_FAILED)
		_exit(1);
}

_Noreturn void session_supervise(int listener, const char *path, uint8_t *request, size_t length, int report)
{
	struct timespec now;
	struct field_writer writer = { .bytes = packet, .size = sizeof packet };
	supervisor.listener = listener;
	supervisor.path = path;
	for (int i = 0; i < MAX_CLIENTS; i++)
		supervisor.clients[i].fd = -1;
	supervisor.stream = (struct stream){ .id = 1, .kind = KIND_EXEC, .in_fd = -1, .out = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } };
	become_supervisor();
	watch_init();
	make_ring(field_number_of(request, length, TAG_WINDOW, 0));
	keep_command(request, length);
	if (boot_record_load(KEPT_RECORD_PATH))
		boot_record_each(TAG_BOOT_ENV, exec_add_default_env);
	clock_gettime(CLOCK_REALTIME, &now);
	supervisor.started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	exec_start(&supervisor.stream, request, length);
	if (supervisor.stream.error) {
		field_put_text(&writer, TAG_ERROR, supervisor.stream.error);
		field_put_text(&writer, TAG_MESSAGE, supervisor.stream.message);
	} else {
		field_put_number(&writer, TAG_PID, (uint64_t)supervisor.stream.pid);
	}
	write_all(report, packet, writer.length);
	close(report);
	if (supervisor.stream.error)
		_exit(1);
	/* The command depends on its supervisor, so the OOM killer should pick others first. */
	write_knob("/proc/self/oom_score_adj", "-900");
	while (!supervisor.removed)
		wait_and_serve();
	unlink(path);
	_exit(0);
}
