#include "run/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "wire/fields.h"

static bool read_target(struct stream *stream, const uint8_t *bytes, size_t length, struct sockaddr_storage *address,
			socklen_t *size)
{
	char host[64];
	struct sockaddr_un *local = (struct sockaddr_un *)address;
	memset(address, 0, sizeof *address);
	if (field_text_of(bytes, length, TAG_PATH, local->sun_path, sizeof local->sun_path)) {
		local->sun_family = AF_UNIX;
		*size = sizeof *local;
		return true;
	}
	uint64_t port = field_number_of(bytes, length, TAG_PORT, 0);
	if (!field_text_of(bytes, length, TAG_HOST, host, sizeof host) || port == 0 || port > 65535) {
		stream_fail(stream, "invalid_argument", "The target is neither an address and port nor a path");
		return false;
	}
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	*size = address_parse(host, (uint16_t)port, address);
	if (*size == 0)
		stream_fail(stream, "invalid_argument", "Invalid address \"%s\"", host);
	return *size > 0;
}

static void fail(struct stream *stream, int error)
{
	const char *code = error == ENOENT ? "not_found" : error == EACCES || error == EPERM ? "permission_denied" : "unavailable";
	stream_fail(stream, code, "%s", strerror(error));
}

void connect_start(struct stream *stream, const uint8_t *bytes, size_t length)
{
	struct sockaddr_storage address;
	socklen_t size;
	if (!read_target(stream, bytes, length, &address, &size))
		return;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		fail(stream, errno);
		return;
	}
	int on = 1;
	if (address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS) {
		fail(stream, errno);
		close(fd);
		return;
	}
	/* Two descriptors of one socket: each direction is watched and closed separately. */
	stream->connecting = true;
	stream->opened_due = true;
	int input = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!stream_set_output(stream, CHANNEL_OUT, fd) || input < 0 || !stream_set_input(stream, input))
		fail(stream, errno);
}

void connect_ready(struct stream *stream)
{
	int error = 0;
	socklen_t size = sizeof error;
	if (getsockopt(stream->in_fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	stream->connecting = false;
	if (error)
		fail(stream, error);
}
