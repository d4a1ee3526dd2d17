/* Streams that are a process, with three pipes or a terminal. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include <stddef.h>
#include <stdint.h>

#include "run/stream.h"

/* Adds a default environment variable; the request's own take precedence. */
void exec_add_default_env(const uint8_t *text, size_t length);
void exec_clear_default_env(void);

/* `bytes` is a valid list of fields with one spare byte after it: its texts are NUL-terminated in place. */
void exec_start(struct stream *stream, uint8_t *bytes, size_t length);

/* Handles resize and signal. */
void exec_control(struct stream *stream, const uint8_t *bytes, size_t length);

#endif
