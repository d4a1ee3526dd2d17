/*
 * The byte pipe to the host: parses incoming bytes into frames and queues outgoing frames in one fixed buffer.
 * Never blocks. Resynchronizes when a new host connects to a pipe that holds stale bytes.
 */
#ifndef BANGER_LINK_H
#define BANGER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wire/protocol.h"
#include "wire/splice.h"

#define LINK_IN_BYTES (128 * 1024)
#define LINK_OUT_BYTES (256 * 1024)
/* Space in the output buffer that is reserved for control frames. */
#define LINK_RESERVE_BYTES (16 * 1024)

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	uint8_t *payload;
	size_t length;
};

struct link {
	/* -1 while disconnected. */
	int fd;
	/* Whether reading or writing may succeed; set by edge-triggered events. */
	bool readable;
	bool writable;
	/* False until a sync frame arrives, and while out of sync. */
	bool synced;
	/* Set when sync was lost; the owner closes all streams and clears it. */
	bool lost;
	size_t in_start;
	size_t in_end;
	size_t out_start;
	size_t out_end;
	/* Its frames are sent once out_start is here. */
	size_t splice_at;
	struct splice splice;
	/* Data was spliced since the owner last cleared this. */
	bool has_passed;
	uint8_t in[LINK_IN_BYTES];
	uint8_t out[LINK_OUT_BYTES];
};

void link_attach(struct link *link, int fd);
void link_detach(struct link *link);

/* Discards all queued output. */
void link_drop_output(struct link *link);

/* Reads available input. False when the host has disconnected. */
bool link_read(struct link *link);

/* The next complete frame, valid until the next link_read(). False if there is none. */
bool link_next(struct link *link, struct frame *frame);

/* Writes queued output. On a permanent error `readable` is set, and reading reports it. */
void link_flush(struct link *link);

/* Whether a control frame with this payload fits. */
bool link_has_room(struct link *link, size_t payload);

/* Queues a frame; false, with nothing queued, if it does not fit. */
bool link_send(struct link *link, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t length);

#define LINK_MAX_BATCH 8

/*
 * Reserves places in the output buffer for the payloads of consecutive data frames, at most `wanted` bytes, to be
 * filled by readv(). Returns their number, 0 if only the reserve is free. link_commit_batch() then queues the frames.
 */
int link_reserve(struct link *link, uint64_t wanted, struct iovec places[LINK_MAX_BATCH]);
void link_commit_batch(struct link *link, uint8_t flags, uint32_t stream, size_t length);

/* Splices data from a pipe into data frames; returns how much. 0: read it instead. */
size_t link_pass(struct link *link, uint8_t flags, uint32_t stream, int pipe, uint64_t wanted);

/* Whether output is queued. */
bool link_has_output(const struct link *link);

#endif
