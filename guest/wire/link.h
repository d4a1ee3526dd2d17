/*
 * The byte pipe to the host: bytes in, cut into frames; frames out, through one buffer of fixed
 * size. Never blocks. Keeps in step with a host that comes anew on a pipe with stale bytes.
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
/* Data frames leave this much for control frames. */
#define LINK_RESERVE_BYTES (16 * 1024)

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	uint8_t *payload;
	size_t length;
};

struct link {
	/* -1 while there is no pipe. */
	int fd;
	/* Bytes may be there to read, or room to write: kept by edge-triggered events. */
	bool readable;
	bool writable;
	/* False until a sync has come, and while out of step. */
	bool synced;
	/* Set when the pipe was lost in the middle; the owner ends every stream and clears it. */
	bool lost;
	size_t in_start;
	size_t in_end;
	size_t out_start;
	size_t out_end;
	/* Its frames go out once out_start is here. */
	size_t splice_at;
	struct splice splice;
	/* Much was passed on since the owner looked last. */
	bool has_passed;
	uint8_t in[LINK_IN_BYTES];
	uint8_t out[LINK_OUT_BYTES];
};

void link_attach(struct link *link, int fd);
void link_detach(struct link *link);

/* Drops everything that waits in either direction. */
void link_drop_output(struct link *link);

/* Reads what there is. False when the host is gone. */
bool link_read(struct link *link);

/* The next whole frame in the input, valid until the next call of link_read. False if there is none. */
bool link_next(struct link *link, struct frame *frame);

/* Writes what the pipe takes. When that fails for good, `readable` is set: reading finds out. */
void link_flush(struct link *link);

/* Room for a control frame of this payload. */
bool link_has_room(struct link *link, size_t payload);

/* Queues a frame; false, and nothing done, if there is no room. */
bool link_send(struct link *link, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t length);

#define LINK_MAX_BATCH 8

/*
 * Where the payloads of data frames that follow on one another may be written straight into the output:
 * places for at most `wanted` bytes, as one read fills them. 0 if there is no room beside the reserve.
 * link_commit_batch makes frames of as many bytes as came.
 */
int link_reserve(struct link *link, uint64_t wanted, struct iovec places[LINK_MAX_BATCH]);
void link_commit_batch(struct link *link, uint8_t flags, uint32_t stream, size_t length);

/* Queues much of what waits in a pipe without copying it; gives how much. 0 where it has to be read. */
size_t link_pass(struct link *link, uint8_t flags, uint32_t stream, int pipe, uint64_t wanted);

/* Whether something waits to be written. */
bool link_has_output(const struct link *link);

#endif
