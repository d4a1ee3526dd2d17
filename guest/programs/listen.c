#include "programs/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/io.h"
#include "wire/fields.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_CONNECTIONS 32
#define RECORD_HEADER_BYTES 8

static struct connection {
	/* 0: this slot is free. */
	uint32_t id;
	int fd;
	uint32_t send_credit;
	uint32_t receive_credit;
	/* Whether the peer, and the host, have sent their eof. */
	bool peer_ended;
	bool host_ended;
	size_t length;
	uint8_t waiting[LISTEN_WINDOW_BYTES];
} connections[MAX_CONNECTIONS];

static uint32_t next_id = 1;
static char unix_path[108], unix_directory[64];

static void send_record(enum listen_record type, uint32_t id, const void *payload, size_t length)
{
	static uint8_t bytes[RECORD_HEADER_BYTES + MAX_LISTEN_RECORD_BYTES];
	bytes[0] = (uint8_t)type;
	bytes[1] = 0;
	store16(bytes + 2, (uint16_t)length);
	store32(bytes + 4, id);
	if (length > 0)
		memcpy(bytes + RECORD_HEADER_BYTES, payload, length);
	reply_put(bytes, RECORD_HEADER_BYTES + length);
}

static void end(struct connection *connection)
{
	send_record(LISTEN_CLOSE, connection->id, NULL, 0);
	close(connection->fd);
	connection->id = 0;
}

static void end_if_done(struct connection *connection)
{
	if (connection->peer_ended && connection->host_ended && connection->length == 0)
		end(connection);
}

/* -------------------------------------------------------------------- listening */

static int listen_tcp(const char *address, unsigned port)
{
	struct sockaddr_storage storage;
	int on = 1;
	if (strcmp(address, "localhost") == 0)
		address = "127.0.0.1";
	if (strcmp(address, "") == 0 || strcmp(address, "*") == 0)
		address = "0.0.0.0";
	socklen_t size = address_parse(address, (uint16_t)port, &storage);
	if (size == 0)
		reply_fail("invalid_argument", "Invalid address \"%.60s\"", address);
	int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&storage, size) < 0 || listen(fd, 16) < 0)
		reply_fail_errno("Cannot listen on %s port %u", address, port);
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un address;
	if (!address_of_path(path, &address))
		reply_fail("invalid_argument", "The path of the socket is too long");
	umask(077);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0)
		reply_fail_errno("Cannot listen on \"%.100s\"", path);
	strcpy(unix_path, path);
	return fd;
}

/* Like sshd: a directory that only the user can enter. */
static int listen_agent(void)
{
	char path[108];
	snprintf(unix_directory, sizeof unix_directory, "/tmp/ssh-XXXXXX");
	if (!mkdtemp(unix_directory))
		reply_fail_errno("Cannot create a directory for the socket");
	snprintf(path, sizeof path, "%s/agent", unix_directory);
	return listen_unix(path);
}

static void tell_ready(int listener)
{
	uint8_t bytes[256];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	if (unix_path[0])
		field_put_text(&writer, TAG_PATH, unix_path);
	else if (getsockname(listener, (struct sockaddr *)&address, &size) == 0)
		field_put_number(&writer, TAG_PORT, ntohs(((struct sockaddr_in *)&address)->sin_port));
	send_record(LISTEN_READY, 0, bytes, writer.length);
}

static void accept_peer(int listener)
{
	uint8_t bytes[128];
	char text[INET6_ADDRSTRLEN] = "";
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof address;
	struct connection *connection = NULL;
	for (int i = 0; i < MAX_CONNECTIONS && !connection; i++)
		connection = connections[i].id == 0 ? &connections[i] : NULL;
	int fd = accept4(listener, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || !connection) {
		if (fd >= 0)
			close(fd);
		return;
	}
	connection->id = next_id++;
	connection->fd = fd;
	connection->send_credit = connection->receive_credit = LISTEN_WINDOW_BYTES;
	connection->peer_ended = connection->host_ended = false;
	connection->length = 0;
	if (address.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, sizeof text);
	if (address.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text, sizeof text);
	if (text[0]) {
		field_put_text(&writer, TAG_HOST, text);
		field_put_number(&writer, TAG_PORT, ntohs(((struct sockaddr_in *)&address)->sin_port));
	}
	send_record(LISTEN_OPEN, connection->id, bytes, writer.length);
}

/* ------------------------------------------------------------------------ data */

static void read_peer(struct connection *connection)
{
	static uint8_t bytes[MAX_LISTEN_RECORD_BYTES];
	size_t wanted = connection->send_credit < sizeof bytes ? connection->send_credit : sizeof bytes;
	ssize_t count = read(connection->fd, bytes, wanted);
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count > 0) {
		connection->send_credit -= (uint32_t)count;
		send_record(LISTEN_DATA, connection->id, bytes, (size_t)count);
		return;
	}
	if (count < 0) {
		end(connection);
		return;
	}
	connection->peer_ended = true;
	send_record(LISTEN_EOF, connection->id, NULL, 0);
	end_if_done(connection);
}

static void write_peer(struct connection *connection)
{
	while (connection->length > 0) {
		uint8_t credit[4];
		ssize_t count = write(connection->fd, connection->waiting, connection->length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			return;
		if (count < 0) {
			end(connection);
			return;
		}
		connection->length -= (size_t)count;
		memmove(connection->waiting, connection->waiting + count, connection->length);
		connection->receive_credit += (uint32_t)count;
		store32(credit, (uint32_t)count);
		send_record(LISTEN_CREDIT, connection->id, credit, sizeof credit);
	}
	if (connection->host_ended)
		shutdown(connection->fd, SHUT_WR);
	end_if_done(connection);
}

/* A host that exceeds its credit violates the protocol. */
static void take_record(const uint8_t *record, size_t length)
{
	uint32_t id = load32(record + 4);
	const uint8_t *payload = record + RECORD_HEADER_BYTES;
	struct connection *connection = NULL;
	for (int i = 0; i < MAX_CONNECTIONS && id != 0; i++) {
		if (connections[i].id == id)
			connection = &connections[i];
	}
	if (!connection)
		return;
	switch (record[0]) {
	case LISTEN_DATA:
		if (length > connection->receive_credit || connection->host_ended)
			reply_fail("invalid_argument", "Received more data than the granted credit");
		connection->receive_credit -= (uint32_t)length;
		memcpy(connection->waiting + connection->length, payload, length);
		connection->length += length;
		write_peer(connection);
		break;
	case LISTEN_EOF:
		connection->host_ended = true;
		write_peer(connection);
		break;
	case LISTEN_CREDIT:
		if (length >= 4 && load32(payload) <= UINT32_MAX - connection->send_credit)
			connection->send_credit += load32(payload);
		break;
	case LISTEN_CLOSE:
		/* Data received before is still written. */
		connection->peer_ended = connection->host_ended = true;
		write_peer(connection);
		break;
	}
}

/* False at the end of stdin. */
static bool take_input(void)
{
	static uint8_t bytes[RECORD_HEADER_BYTES + UINT16_MAX];
	static size_t filled;
	ssize_t count = read(STDIN_FILENO, bytes + filled, sizeof bytes - filled);
	if (count < 0)
		return errno == EINTR || errno == EAGAIN;
	if (count == 0)
		return false;
	filled += (size_t)count;
	size_t at = 0;
	while (filled - at >= RECORD_HEADER_BYTES) {
		size_t length = load16(bytes + at + 2);
		if (filled - at < RECORD_HEADER_BYTES + length)
			break;
		take_record(bytes + at, length);
		at += RECORD_HEADER_BYTES + length;
	}
	filled -= at;
	memmove(bytes, bytes + at, filled);
	return true;
}

static void clean_up(void)
{
	if (unix_path[0])
		unlink(unix_path);
	if (unix_directory[0])
		rmdir(unix_directory);
}

/* Removes the socket's path at exit. */
static void hung_up(int number)
{
	(void)number;
	clean_up();
	_exit(0);
}

static void wait_and_serve(int listener, bool *goes_on)
{
	struct pollfd polled[2 + MAX_CONNECTIONS] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = listener, .events = POLLIN } };
	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		struct connection *one = &connections[i];
		bool reads = !one->peer_ended && one->send_credit > 0;
		short events = (short)((reads ? POLLIN : 0) | (one->length > 0 ? POLLOUT : 0));
		polled[2 + i] = (struct pollfd){ .fd = one->id != 0 && events ? one->fd : -1, .events = events };
	}
	if (poll(polled, 2 + MAX_CONNECTIONS, -1) < 0)
		return;
	if (polled[0].revents)
		*goes_on = take_input();
	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		struct connection *one = &connections[i];
		short events = polled[2 + i].revents;
		if (one->id != 0 && one->fd == polled[2 + i].fd && events & POLLOUT)
			write_peer(one);
		if (one->id != 0 && one->fd == polled[2 + i].fd && events & (POLLIN | POLLHUP | POLLERR) && !one->peer_ended && one->send_credit > 0)
			read_peer(one);
	}
	if (polled[1].revents)
		accept_peer(listener);
}

int listen_serve(char **arguments)
{
	bool goes_on = true;
	int listener = -1;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, hung_up);
	signal(SIGTERM, hung_up);
	atexit(clean_up);
	if (strcmp(arguments[0], "tcp") == 0 && strtoul(arguments[2], NULL, 10) <= UINT16_MAX)
		listener = listen_tcp(arguments[1], (unsigned)strtoul(arguments[2], NULL, 10));
	else if (strcmp(arguments[0], "unix") == 0)
		listener = listen_unix(arguments[1]);
	else if (strcmp(arguments[0], "agent") == 0)
		listener = listen_agent();
	else
		reply_fail("invalid_argument", "Unknown kind of listener \"%.60s\"", arguments[0]);
	tell_ready(listener);
	while (goes_on)
		wait_and_serve(listener, &goes_on);
	return 0;
}
