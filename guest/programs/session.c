#include "programs/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "wire/fields.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_SESSIONS 64
#define NAME_END ".session"

static uint8_t packet[SESSION_MAX_PACKET_BYTES + 64];

static void check_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t length = strlen(name);
	if (length == 0 || length > MAX_SESSION_NAME_BYTES || name[0] == '.' || name[0] == '-' || strspn(name, allowed) != length)
		reply_fail("invalid_argument", "Invalid session name \"%.80s\"", name);
}

static void address_of(const char *directory, const char *name, struct sockaddr_un *address)
{
	address->sun_family = AF_UNIX;
	int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/%s" NAME_END, directory, name);
	if (length < 0 || (size_t)length >= sizeof address->sun_path)
		reply_fail("invalid_argument", "The path of the session directory is too long");
}

/* -1 if no supervisor listens there. */
static int try_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
		return fd;
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

static int connect_session(char **arguments)
{
	struct sockaddr_un address;
	check_name(arguments[1]);
	address_of(arguments[0], arguments[1], &address);
	int fd = try_connect(&address);
	if (fd < 0)
		reply_fail("not_found", "No such session: \"%s\"", arguments[1]);
	return fd;
}

static void send_packet(int fd, const void *bytes, size_t length)
{
	ssize_t count;
	while ((count = send(fd, bytes, length, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
	}
	if (count < 0)
		reply_fail("unavailable", "Lost the connection to the session");
}

static void ask(int fd, enum session_request request, uint16_t tag, uint64_t number)
{
	uint8_t bytes[64];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	field_put_number(&writer, TAG_KIND, request);
	if (tag)
		field_put_number(&writer, tag, number);
	send_packet(fd, bytes, writer.length);
}

/* 0 when the supervisor has closed the connection. */
static size_t receive(int fd)
{
	ssize_t count;
	while ((count = recv(fd, packet, sizeof packet, 0)) < 0 && errno == EINTR) {
	}
	return count > 0 ? (size_t)count : 0;
}

/* Receives an answer, which may be an error; prints it unless `is_quiet`. */
static size_t receive_answer(int fd, bool is_quiet)
{
	char code[32], message[200];
	size_t length = receive(fd);
	if (length == 0 || !fields_valid(packet, length))
		reply_fail("unavailable", "Lost the connection to the session");
	if (field_text_of(packet, length, TAG_ERROR, code, sizeof code)) {
		if (!field_text_of(packet, length, TAG_MESSAGE, message, sizeof message))
			message[0] = 0;
		reply_fail(code, "%s", message);
	}
	if (!is_quiet)
		reply_put(packet, length);
	return length;
}

/* ---------------------------------------------------------------------- start */

static int count_sessions(const char *directory)
{
	struct dirent *entry;
	int count = 0;
	DIR *open_directory = opendir(directory);
	while (open_directory && (entry = readdir(open_directory)))
		count += strstr(entry->d_name, NAME_END) != NULL;
	if (open_directory)
		closedir(open_directory);
	return count;
}

/* Starts are serialized: a start removes a socket without a supervisor. */
static int listen_at(const char *directory, const struct sockaddr_un *address, const char *name)
{
	int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		reply_fail_errno("Cannot open the session directory");
	int other = try_connect(address);
	if (other >= 0)
		reply_fail("already_exists", "Session \"%s\" already exists", name);
	unlink(address->sun_path);
	if (count_sessions(directory) >= MAX_SESSIONS)
		reply_fail("limit_exceeded", "Too many sessions, at most %d: remove one that has ended", MAX_SESSIONS);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (const struct sockaddr *)address, sizeof *address) < 0 || listen(listener, 16) < 0)
		reply_fail_errno("Cannot create the session's socket");
	close(lock);
	return listener;
}

int session_start(char **arguments)
{
	static uint8_t request[MAX_OPEN_BYTES + 1];
	size_t length = 0;
	ssize_t count;
	int report[2];
	struct sockaddr_un address;
	check_name(arguments[1]);
	address_of(arguments[0], arguments[1], &address);
	while ((count = read(STDIN_FILENO, request + length, MAX_OPEN_BYTES + 1 - length)) > 0)
		length += (size_t)count;
	if (length > MAX_OPEN_BYTES || !fields_valid(request, length))
		reply_fail("invalid_argument", "The request is malformed");
	umask(077);
	if (!make_dirs(arguments[0], 0700))
		reply_fail_errno("Cannot create the session directory");
	int listener = listen_at(arguments[0], &address, arguments[1]);
	umask(022);
	if (pipe2(report, O_CLOEXEC) < 0)
		reply_fail_errno("Cannot start the session");
	pid_t pid = fork();
	if (pid == 0) {
		close(report[0]);
		session_supervise(listener, address.sun_path, request, length, report[1]);
	}
	close(report[1]);
	length = 0;
	while (pid > 0 && (count = read(report[0], packet + length, sizeof packet - length)) > 0)
		length += (size_t)count;
	char code[32] = "internal", message[200] = "The session's supervisor has exited";
	if (length == 0 || field_text_of(packet, length, TAG_ERROR, code, sizeof code)) {
		unlink(address.sun_path);
		field_text_of(packet, length, TAG_MESSAGE, message, sizeof message);
		reply_fail(code, "%s", message);
	}
	reply_put(packet, length);
	return 0;
}

/* -------------------------------------------------------------------- the rest */

int session_list(char **arguments)
{
	struct dirent *entry;
	DIR *directory = opendir(arguments[0]);
	while (directory && (entry = readdir(directory))) {
		static uint8_t bytes[sizeof packet + 256], outer[sizeof packet + 300];
		struct field_writer one = { .bytes = bytes, .size = sizeof bytes };
		struct field_writer all = { .bytes = outer, .size = sizeof outer };
		struct sockaddr_un address;
		char *end = strstr(entry->d_name, NAME_END);
		if (!end || end == entry->d_name || end - entry->d_name > MAX_SESSION_NAME_BYTES)
			continue;
		*end = 0;
		address_of(arguments[0], entry->d_name, &address);
		int fd = try_connect(&address);
		if (fd < 0)
			continue;
		ask(fd, SESSION_INFO, 0, 0);
		size_t length = receive(fd);
		close(fd);
		if (length == 0 || !fields_valid(packet, length))
			continue;
		field_put_text(&one, TAG_FILE_NAME, entry->d_name);
		memcpy(bytes + one.length, packet, length);
		field_put(&all, TAG_ENTRY, bytes, one.length + length);
		reply_put_fields(&all);
	}
	if (directory)
		closedir(directory);
	return 0;
}

int session_attach(char **arguments)
{
	uint8_t head[4];
	size_t length;
	int fd = connect_session(arguments);
	ask(fd, SESSION_ATTACH, TAG_OFFSET, strtoull(arguments[2], NULL, 10));
	while ((length = receive(fd)) > 0) {
		store32(head, (uint32_t)length);
		reply_put(head, sizeof head);
		reply_put(packet, length);
		if (packet[0] == SESSION_END)
			return 0;
	}
	reply_fail("unavailable", "Lost the connection to the session");
}

int session_send(char **arguments)
{
	uint64_t skip = 0;
	ssize_t count;
	int fd = connect_session(arguments);
	ask(fd, SESSION_SEND, 0, 0);
	size_t length = receive_answer(fd, true);
	uint64_t taken = field_number_of(packet, length, TAG_INPUT_OFFSET, 0);
	if (arguments[2][0]) {
		uint64_t begin = strtoull(arguments[2], NULL, 10);
		if (begin > taken)
			reply_fail("invalid_argument", "Missing input before offset %llu: received %llu bytes", (unsigned long long)begin,
				     (unsigned long long)taken);
		skip = taken - begin;
	}
	while ((count = read(STDIN_FILENO, packet, SESSION_MAX_PACKET_BYTES)) != 0) {
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			reply_fail_errno("Cannot read the input");
		size_t passed = skip < (uint64_t)count ? (size_t)skip : (size_t)count;
		skip -= passed;
		if (passed < (size_t)count)
			send_packet(fd, packet + passed, (size_t)count - passed);
	}
	shutdown(fd, SHUT_WR);
	receive_answer(fd, false);
	return 0;
}

int session_control(char **arguments)
{
	const char *verb = arguments[2], *value = arguments[3];
	char *rest;
	/* A size such as "80x24". */
	unsigned long columns = strtoul(value, &rest, 10), rows = *rest == 'x' ? strtoul(rest + 1, NULL, 10) : 0;
	int fd = connect_session(arguments);
	if (strcmp(verb, "info") == 0)
		ask(fd, SESSION_INFO, 0, 0);
	else if (strcmp(verb, "signal") == 0)
		ask(fd, SESSION_SIGNAL, TAG_SIGNAL, strtoull(value, NULL, 10));
	else if (strcmp(verb, "resize") == 0 && rows > 0)
		ask(fd, SESSION_RESIZE, TAG_TERMINAL, (columns & 0xffff) | (rows & 0xffff) << 16);
	else if (strcmp(verb, "eof") == 0)
		ask(fd, SESSION_EOF, 0, 0);
	else if (strcmp(verb, "remove") == 0)
		ask(fd, SESSION_REMOVE, 0, 0);
	else
		reply_fail("invalid_argument", "Unknown session command \"%.40s\"", verb);
	receive_answer(fd, false);
	return 0;
}
