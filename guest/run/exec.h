/* Streams that are a process: with three pipes, or with a terminal. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include <stddef.h>
#include <stdint.h>

#include "run/stream.h"

/* The environment of the boot record, given to every process below what the request asks for. */
void exec_add_default_env(const uint8_t *text, size_t length);

/* `bytes` is a valid list of fields with one more byte behind it; its texts are ended in place. */
void exec_start(struct stream *stream, uint8_t *bytes, size_t length);

/* Resize and signal. */
void exec_control(struct stream *stream, const uint8_t *bytes, size_t length);

#endif
