/*
 * Much output of a command on its way to the host as frames that nobody copies: its pages go from the
 * command's pipe to one of the agent's own, and from there to the link.
 */
#ifndef BANGER_SPLICE_H
#define BANGER_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct splice {
	bool is_open;
	/* The guest has no such pipes, or the link takes no pages. */
	bool is_refused;
	/* What is in it is no row of frames any more, or was lost on the way. */
	bool is_broken;
	/* Comes before the frames: what is in it, no reader of the command's pipe can take away. */
	int stage[2];
	int frames[2];
	/* Bytes of frames that are not sent yet. */
	size_t length;
};

/* Drops what is in it. */
void splice_close(struct splice *pipes);

/*
 * Makes data frames of at most `wanted` bytes of what waits in `pipe`; gives how many bytes. 0, and
 * nothing done, where so little waits that it is better copied. The lane must be empty; `link` is where it leads.
 */
size_t splice_fill(struct splice *pipes, int link, int pipe, uint64_t wanted, uint8_t flags, uint32_t stream);

/* Sends what `link` takes, as write() does. */
ssize_t splice_send(struct splice *pipes, int link);

#endif
