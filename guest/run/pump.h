/* Moves bytes between a stream's descriptors and the link, with flow control by credit in both directions. */
#ifndef BANGER_PUMP_H
#define BANGER_PUMP_H

#include <stdbool.h>

#include "run/stream.h"

/* Moves at most one frame in each direction; true if anything moved. Closes the stream when it is done. */
bool stream_pump(struct stream *stream, struct link *link);

/* Handle the host's data and eof frames. */
void stream_handle_data(struct stream *stream, const struct frame *frame);
void stream_handle_eof(struct stream *stream);

/* Releases the stream's input buffer. */
void stream_free_ring(struct stream *stream);

#endif
