/* The moving of bytes between one stream's descriptors and the link, under credit in both directions. */
#ifndef BANGER_PUMP_H
#define BANGER_PUMP_H

#include <stdbool.h>

#include "run/stream.h"

/* Moves what can be moved, a frame for each direction; true if anything moved. Ends the stream when it is done. */
bool stream_pump(struct stream *stream, struct link *link);

/* The host's data and its end. */
void stream_take_data(struct stream *stream, const struct frame *frame);
void stream_take_eof(struct stream *stream);

/* Gives back the memory in which the host's data waited. */
void stream_free_ring(struct stream *stream);

#endif
