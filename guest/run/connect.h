/* Streams that are a TCP or unix connection inside the guest. */
#ifndef BANGER_CONNECT_H
#define BANGER_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "run/stream.h"

void connect_start(struct stream *stream, const uint8_t *bytes, size_t length);

/* Called when the connection is established or has failed. */
void connect_ready(struct stream *stream);

#endif
