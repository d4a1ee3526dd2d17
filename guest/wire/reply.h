/*
 * How the agent's programs answer the host: results on stdout; on failure the error and message fields of a
 * close frame on stderr, and exit status 1.
 */
#ifndef BANGER_REPLY_H
#define BANGER_REPLY_H

#include <stddef.h>

#include "wire/fields.h"

/* Reports an error and exits. reply_fail_errno() appends errno's text and derives the code from it. */
_Noreturn void reply_fail(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void reply_fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes to stdout; a failure to write is reported and exits too. */
void reply_put(const void *bytes, size_t length);
void reply_put_fields(const struct field_writer *writer);

#endif
