/* Streams without data, answered at once: health, time, shutdown. */
#ifndef BANGER_REQUEST_H
#define BANGER_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "run/stream.h"

void request_answer(struct stream *stream, const uint8_t *bytes, size_t length);

/* How a machine takes the identity in the fields of a request; gives what is wrong, or NULL. */
void request_on_identity(const char *(*take)(const uint8_t *bytes, size_t length, bool *is_unsettled));

#endif
