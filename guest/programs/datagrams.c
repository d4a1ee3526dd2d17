#include "programs/datagrams.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "wire/fields.h"
#include "wire/reply.h"

#define LENGTH_BYTES 2
#define MAX_DATAGRAM_BYTES 65535

static uint8_t incoming[2 * (LENGTH_BYTES + MAX_DATAGRAM_BYTES)];
static size_t incoming_length;

/* The last datagram sent, kept for a retry. */
static const uint8_t *last;
static size_t last_length;
static bool is_sent_twice;

static int open_port(const char *host, const char *port_text)
{
	struct sockaddr_storage address;
	long port = strtol(port_text, NULL, 10);
	socklen_t size = address_parse(host, (uint16_t)port, &address);
	if (size == 0)
		reply_fail("invalid_argument", "Invalid address \"%s\"", host);
	if (port < 1 || port > 65535)
		reply_fail("invalid_argument", "Invalid port \"%s\"", port_text);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
		reply_fail_errno("Cannot use UDP port %s", port_text);
	return fd;
}

/*
 * A datagram that cannot be sent is lost, as usual with UDP. The next send fails with the pending error of an
 * earlier datagram, so it is tried twice.
 */
static void send_datagram(int fd, const uint8_t *bytes, size_t length)
{
	static uint8_t kept[MAX_DATAGRAM_BYTES];
	if (send(fd, bytes, length, 0) < 0)
		(void)!send(fd, bytes, length, 0);
	memcpy(kept, bytes, length);
	last = kept;
	last_length = length;
	is_sent_twice = false;
}

/* Switches to the other loopback address when the first refuses: a program may listen on either. */
static int switch_loopback(int fd, char **arguments)
{
	bool is_ipv4 = strcmp(arguments[0], "127.0.0.1") == 0;
	if ((!is_ipv4 && strcmp(arguments[0], "::1") != 0) || !last || is_sent_twice)
		return fd;
	arguments[0] = is_ipv4 ? "::1" : "127.0.0.1";
	close(fd);
	fd = open_port(arguments[0], arguments[1]);
	is_sent_twice = true;
	(void)!send(fd, last, last_length, 0);
	return fd;
}

/* False at the end of stdin. */
static bool take_input(int fd)
{
	ssize_t count = read(STDIN_FILENO, incoming + incoming_length, sizeof incoming - incoming_length);
	if (count < 0 && errno == EINTR)
		return true;
	if (count <= 0)
		return false;
	incoming_length += (size_t)count;
	size_t at = 0;
	while (incoming_length - at >= LENGTH_BYTES) {
		size_t length = load16(incoming + at);
		if (incoming_length - at < LENGTH_BYTES + length)
			break;
		send_datagram(fd, incoming + at + LENGTH_BYTES, length);
		at += LENGTH_BYTES + length;
	}
	incoming_length -= at;
	memmove(incoming, incoming + at, incoming_length);
	return true;
}

/* False if a sent datagram was refused. */
static bool give_output(int fd)
{
	static uint8_t outgoing[LENGTH_BYTES + MAX_DATAGRAM_BYTES];
	ssize_t length = recv(fd, outgoing + LENGTH_BYTES, MAX_DATAGRAM_BYTES, 0);
	/* The error belongs to an earlier datagram: a program may start to listen later. */
	if (length < 0)
		return errno != ECONNREFUSED;
	store16(outgoing, (uint16_t)length);
	reply_put(outgoing, LENGTH_BYTES + (size_t)length);
	return true;
}

int datagrams_carry(char **arguments)
{
	int fd = open_port(arguments[0], arguments[1]);
	struct pollfd watched[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	for (;;) {
		if (poll(watched, 2, -1) < 0) {
			if (errno != EINTR)
				reply_fail_errno("Cannot poll");
			continue;
		}
		if (watched[1].revents && !give_output(fd))
			watched[1].fd = fd = switch_loopback(fd, arguments);
		if (watched[0].revents && !take_input(fd))
			return 0;
	}
}
