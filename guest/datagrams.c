#include "datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fields.h"
#include "program.h"

#define LENGTH_BYTES 2
#define MAX_DATAGRAM_BYTES 65535

static uint8_t incoming[2 * (LENGTH_BYTES + MAX_DATAGRAM_BYTES)];
static size_t incoming_length;

static int open_port(const char *host, const char *port_text)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	long port = strtol(port_text, NULL, 10);
	socklen_t size = sizeof *v4;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		size = sizeof *v6;
	} else {
		program_fail("invalid_argument", "\"%s\" is no address", host);
	}
	if (port < 1 || port > 65535)
		program_fail("invalid_argument", "\"%s\" is no port", port_text);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
		program_fail_errno("Cannot use UDP port %s", port_text);
	return fd;
}

/* False when the host has no more to say. */
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
		/* What cannot be sent is lost, as on any wire: nobody listens, or the buffers are full. */
		(void)!send(fd, incoming + at + LENGTH_BYTES, length, 0);
		at += LENGTH_BYTES + length;
	}
	incoming_length -= at;
	memmove(incoming, incoming + at, incoming_length);
	return true;
}

static void give_output(int fd)
{
	static uint8_t outgoing[LENGTH_BYTES + MAX_DATAGRAM_BYTES];
	ssize_t length = recv(fd, outgoing + LENGTH_BYTES, MAX_DATAGRAM_BYTES, 0);
	/* An error is an answer to what was sent before: nobody listens there now, but may later. */
	if (length < 0)
		return;
	store16(outgoing, (uint16_t)length);
	program_put(outgoing, LENGTH_BYTES + (size_t)length);
}

int datagrams_carry(char **arguments)
{
	int fd = open_port(arguments[0], arguments[1]);
	struct pollfd watched[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	for (;;) {
		if (poll(watched, 2, -1) < 0) {
			if (errno != EINTR)
				program_fail_errno("Cannot wait");
			continue;
		}
		if (watched[1].revents)
			give_output(fd);
		if (watched[0].revents && !take_input(fd))
			return 0;
	}
}
