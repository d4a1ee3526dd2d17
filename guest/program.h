/*
 * The programs that the agent itself is, beside the agent: an exec of AGENT_PATH runs them, in a process
 * of their own and as whatever user was asked for. They answer on stdout; a program that fails writes the
 * fields of a close frame, error and message, on stderr and ends with status 1.
 */
#ifndef BANGER_PROGRAM_H
#define BANGER_PROGRAM_H

#include <stddef.h>

#include "fields.h"

/* Runs the program that is named first; gives its exit status, -1 if there is none of that name. */
int program_run(int count, char **arguments);

/* Says why and ends. With errno's text, and the code that fits it, where none is given. */
_Noreturn void program_fail(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void program_fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes to stdout, or fails. */
void program_put(const void *bytes, size_t length);
void program_put_fields(const struct field_writer *writer);

#endif
