/*
 * Requests and answers of FUSE begin with their length and are passed as they are. One request at a time is taken from
 * the kernel and sent; what is not answered yet is remembered by its number, so that none of it waits for ever.
 */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The largest payload is 1 MiB, with its headers. */
#define MESSAGE_MAX (1024 * 1024 + 4096)
/* Requests wait for a host that is away, such as a daemon that is being restarted, for so long. */
#define HOST_WAIT_MS 60000

struct relay {
	int fuse;
	int listener;
	/* -1: nobody is there. */
	int host;
	uint64_t away_since_ms;
	/* A request on its way to the host. */
	size_t out_length, out_sent;
	/* An answer of which this much is here. */
	size_t in_length;
	uint64_t *waiting;
	size_t waiting_count, waiting_room;
	_Alignas(8) uint8_t out[MESSAGE_MAX];
	_Alignas(8) uint8_t in[MESSAGE_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail_request(const struct relay *relay, uint64_t unique)
{
	struct fuse_out_header answer = { .len = sizeof answer, .error = -EIO, .unique = unique };
	/* It may have been interrupted, or be one without an answer: the kernel then knows no such number. */
	if (write(relay->fuse, &answer, sizeof answer) < 0)
		errno = 0;
}

static bool has_answer(const struct fuse_in_header *request)
{
	return request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET && request->opcode != FUSE_INTERRUPT;
}

static void remember(struct relay *relay, uint64_t unique)
{
	if (relay->waiting_count == relay->waiting_room) {
		size_t room = relay->waiting_room ? 2 * relay->waiting_room : 64;
		uint64_t *more = realloc(relay->waiting, room * sizeof *more);
		if (!more)
			return;
		relay->waiting = more;
		relay->waiting_room = room;
	}
	relay->waiting[relay->waiting_count++] = unique;
}

static void answered(struct relay *relay, uint64_t unique)
{
	for (size_t i = 0; i < relay->waiting_count; i++) {
		if (relay->waiting[i] == unique) {
			relay->waiting[i] = relay->waiting[--relay->waiting_count];
			return;
		}
	}
}

static void leave_host(struct relay *relay)
{
	if (relay->host >= 0)
		close(relay->host);
	relay->host = -1;
	relay->away_since_ms = now_ms();
	relay->out_length = relay->out_sent = relay->in_length = 0;
	for (size_t i = 0; i < relay->waiting_count; i++)
		fail_request(relay, relay->waiting[i]);
	relay->waiting_count = 0;
}

/* Whoever comes last is the host: the one before may be of a daemon that is gone. */
static void take_host(struct relay *relay)
{
	int fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	leave_host(relay);
	relay->host = fd;
}

/* False when the file system is gone. */
static bool take_request(struct relay *relay)
{
	ssize_t length = read(relay->fuse, relay->out, sizeof relay->out);
	/* Interrupted, or gone before it was read. */
	if (length < 0)
		return errno == EINTR || errno == ENOENT || errno == EAGAIN;
	if ((size_t)length < sizeof(struct fuse_in_header))
		return true;
	const struct fuse_in_header *header = (const void *)relay->out;
	if (relay->host < 0) {
		if (has_answer(header))
			fail_request(relay, header->unique);
		return true;
	}
	if (has_answer(header))
		remember(relay, header->unique);
	relay->out_length = (size_t)length;
	relay->out_sent = 0;
	return true;
}

static void send_request(struct relay *relay)
{
	while (relay->out_sent < relay->out_length) {
		ssize_t sent = send(relay->host, relay->out + relay->out_sent, relay->out_length - relay->out_sent, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent <= 0) {
			leave_host(relay);
			return;
		}
		relay->out_sent += (size_t)sent;
	}
	relay->out_length = relay->out_sent = 0;
}

/* Its length, or 0 while that is not known; more than fits: it makes no sense. */
static size_t answer_length(const struct relay *relay)
{
	struct fuse_out_header header;
	if (relay->in_length < sizeof header)
		return 0;
	memcpy(&header, relay->in, sizeof header);
	return header.len < sizeof header ? MESSAGE_MAX + 1 : header.len;
}

static void take_answer(struct relay *relay)
{
	size_t length = answer_length(relay);
	size_t wanted = length ? length : sizeof(struct fuse_out_header);
	ssize_t count = recv(relay->host, relay->in + relay->in_length, wanted - relay->in_length, 0);
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		leave_host(relay);
		return;
	}
	relay->in_length += (size_t)count;
	length = answer_length(relay);
	if (length > MESSAGE_MAX) {
		leave_host(relay);
		return;
	}
	if (length == 0 || relay->in_length < length)
		return;
	struct fuse_out_header header;
	memcpy(&header, relay->in, sizeof header);
	if (header.unique != 0)
		answered(relay, header.unique);
	/* The kernel refuses it if the request was interrupted, or if it makes no sense: then the request still waits. */
	if (write(relay->fuse, relay->in, length) < 0 && errno != ENOENT && header.unique != 0)
		fail_request(relay, header.unique);
	relay->in_length = 0;
}

void relay(int fuse, int listener)
{
	static struct relay own;
	struct relay *relay = &own;
	relay->fuse = fuse;
	relay->listener = listener;
	relay->host = -1;
	relay->away_since_ms = now_ms();
	fcntl(fuse, F_SETFL, O_NONBLOCK);
	for (;;) {
		uint64_t away_ms = relay->host < 0 ? now_ms() - relay->away_since_ms : 0;
		bool waits = relay->host < 0 && away_ms < HOST_WAIT_MS;
		struct pollfd ready[] = {
			{ .fd = listener, .events = POLLIN },
			{ .fd = fuse, .events = relay->out_length > 0 || waits ? 0 : POLLIN },
			{ .fd = relay->host, .events = POLLIN | (relay->out_length > 0 ? POLLOUT : 0) },
		};
		if (poll(ready, 3, waits ? (int)(HOST_WAIT_MS - away_ms) : -1) < 0 && errno != EINTR)
			return;
		if (ready[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			return;
		if (ready[2].revents & (POLLIN | POLLHUP | POLLERR))
			take_answer(relay);
		if (relay->host >= 0 && relay->out_length > 0)
			send_request(relay);
		if (ready[0].revents & POLLIN)
			take_host(relay);
		if (ready[1].revents & POLLIN && relay->out_length == 0 && !take_request(relay))
			return;
		if (relay->host >= 0 && relay->out_length > 0)
			send_request(relay);
	}
}
