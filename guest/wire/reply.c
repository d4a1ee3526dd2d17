#include "wire/reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "wire/protocol.h"

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

void reply_fail(const char *code, const char *format, ...)
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

void reply_fail_errno(const char *format, ...)
{
	int error = errno;
	va_list list;
	va_start(list, format);
	end(code_of(error), strerror(error), format, list);
}

void reply_put(const void *bytes, size_t length)
{
	if (!write_all(STDOUT_FILENO, bytes, length))
		reply_fail_errno("Cannot write to stdout");
}

void reply_put_fields(const struct field_writer *writer)
{
	reply_put(writer->bytes, writer->length);
}
