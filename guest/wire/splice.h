/*
 * Sends large command output as data frames without copying it: splice() moves its pages from the command's pipe
 * into a pipe of the agent and from there to the link.
 */
#ifndef BANGER_SPLICE_H
#define BANGER_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct splice {
	bool is_open;
	/* Pipes of this size, or splicing to this link, are not possible. */
	bool is_refused;
	/* Data was lost or frames are incomplete. */
	bool is_broken;
	/* Data moves here first, out of reach of other readers of the command's pipe. */
	int stage[2];
	int frames[2];
	/* Bytes of unsent frames. */
	size_t length;
};

/* Discards unsent frames and closes the pipes. */
void splice_close(struct splice *pipes);

/*
 * Moves at most `wanted` bytes from `pipe` into data frames for `link`; returns how many. 0, with nothing moved, if
 * copying is cheaper or splicing is not possible. All earlier frames must have been sent.
 */
size_t splice_fill(struct splice *pipes, int link, int pipe, uint64_t wanted, uint8_t flags, uint32_t stream);

/* Sends to `link`; the result is that of write(). */
ssize_t splice_send(struct splice *pipes, int link);

#endif
