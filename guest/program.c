#include "program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "changes.h"
#include "datagrams.h"
#include "files.h"
#include "freeze.h"
#include "io.h"
#include "listen.h"
#include "processes.h"
#include "protocol.h"
#include "relay.h"
#include "session.h"
#include "sftp.h"
#include "sockets.h"
#include "stats.h"
#include "step.h"
#include "tarin.h"
#include "tarout.h"

#define ANY_NUMBER (-1)

static const struct program {
	const char *name;
	/* Of its own, without the name; ANY_NUMBER of them is at least one. */
	int arguments;
	int (*run)(char **arguments);
} programs[] = {
	{ "tar-out", 2, tar_out },
	{ "tar-in", 2, tar_in },
	{ "stat", 1, files_stat },
	{ "list", 1, files_list },
	{ "read", 3, files_read },
	{ "write", 2, files_write },
	{ "mkdir", 3, files_mkdir },
	{ "remove", 2, files_remove },
	{ "watch", 2, changes_watch },
	{ "freeze", 0, freeze_disk },
	{ "ports", 0, sockets_list },
	{ "processes", 0, processes_list },
	{ "sftp", 0, sftp_serve },
	{ "listen", 3, listen_serve },
	{ "datagrams", 2, datagrams_carry },
	{ "stats", 0, stats_print },
	{ "session-start", 2, session_start },
	{ "session-list", 1, session_list },
	{ "session-attach", 3, session_attach },
	{ "session-send", 3, session_send },
	{ "session-control", 4, session_control },
	{ "relay", 5, relay_serve },
	{ "step", ANY_NUMBER, step_run },
};

int program_run(int count, char **arguments)
{
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		int wanted = programs[i].arguments;
		bool fits = wanted == ANY_NUMBER ? count > 1 : count - 1 == wanted;
		if (count > 0 && fits && strcmp(arguments[0], programs[i].name) == 0)
			return programs[i].run(arguments + 1);
	}
	return -1;
}

static _Noreturn void end(const char *code, const char *reason, const char *format, va_list list)
{
	char message[200];
	uint8_t bytes[512];
	struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };
	int length = vsnprintf(message, sizeof message, format, list);
	if (reason && length >= 0 && (size_t)length < sizeof message)
		snprintf(message + length, sizeof message - (size_t)length, ": %s", reason);
	field_put_text(&writer, TAG_ERROR, code);
	field_put_text(&writer, TAG_MESSAGE, message);
	write_all(STDERR_FILENO, bytes, writer.length);
	exit(1);
}

void program_fail(const char *code, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	end(code, NULL, format, list);
}

static const char *code_of(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return "not_found";
	case EACCES:
	case EPERM:
	case EROFS:
		return "permission_denied";
	case EEXIST:
	case EINVAL:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case ENOTEMPTY:
	case EXDEV:
		return "invalid_argument";
	case EDQUOT:
	case EFBIG:
	case EMFILE:
	case ENOSPC:
		return "limit_exceeded";
	default:
		return "internal";
	}
}

void program_fail_errno(const char *format, ...)
{
	int error = errno;
	va_list list;
	va_start(list, format);
	end(code_of(error), strerror(error), format, list);
}

void program_put(const void *bytes, size_t length)
{
	if (!write_all(STDOUT_FILENO, bytes, length))
		program_fail_errno("Cannot answer");
}

void program_put_fields(const struct field_writer *writer)
{
	program_put(writer->bytes, writer->length);
}
