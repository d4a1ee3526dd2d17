#include "wire/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "wire/fields.h"
#include "wire/protocol.h"

#define PAGE_BYTES 4096
/* Only whole pages are moved. */
#define FRAME_PAGES_BYTES (MAX_PAYLOAD_BYTES / PAGE_BYTES * PAGE_BYTES)
/* Less is cheaper to copy. */
#define LEAST_BYTES (64 * 1024)
/* Room for all pages of the stage and two more per frame; a virtio port's queue has that too. */
#define STAGE_BYTES (256 * 1024)
#define FRAMES_BYTES (512 * 1024)
#define MOVE (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)

static bool make_pipe(int ends[2], int size)
{
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	if (fcntl(ends[1], F_SETPIPE_SZ, size) >= size)
		return true;
	close(ends[0]);
	close(ends[1]);
	return false;
}

static void close_pipe(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

void splice_close(struct splice *pipes)
{
	if (pipes->is_open) {
		close_pipe(pipes->stage);
		close_pipe(pipes->frames);
	}
	*pipes = (struct splice){ .is_refused = pipes->is_refused || pipes->is_broken };
}

static bool open_pipes(struct splice *pipes, int link)
{
	if (pipes->is_open || pipes->is_refused)
		return pipes->is_open;
	pipes->is_refused = true;
	if (!make_pipe(pipes->stage, STAGE_BYTES))
		return false;
	if (!make_pipe(pipes->frames, FRAMES_BYTES)) {
		close_pipe(pipes->stage);
		return false;
	}
	pipes->is_open = true;
	/* The pipe is empty: this only tests whether the link supports splicing. */
	pipes->is_refused = splice(pipes->frames[0], NULL, link, NULL, 1, MOVE) < 0 && errno == EINVAL;
	if (pipes->is_refused)
		splice_close(pipes);
	return pipes->is_open;
}

/* Writes the trailer of one frame and the header of the next. */
static bool put_edge(struct splice *pipes, const uint8_t *edge, size_t length)
{
	pipes->length += length;
	return write(pipes->frames[1], edge, length) == (ssize_t)length;
}

size_t splice_fill(struct splice *pipes, int link, int pipe, uint64_t wanted, uint8_t flags, uint32_t stream)
{
	int waiting = 0;
	if (wanted < LEAST_BYTES || ioctl(pipe, FIONREAD, &waiting) < 0 || waiting < LEAST_BYTES || !open_pipes(pipes, link))
		return 0;
	ssize_t taken = splice(pipe, NULL, pipes->stage[1], NULL, wanted < STAGE_BYTES ? (size_t)wanted : STAGE_BYTES, MOVE);
	if (taken <= 0)
		return 0;
	uint8_t edge[1 + HEADER_BYTES] = { TRAILER };
	bool is_whole = true;
	for (size_t left = (size_t)taken, piece; is_whole && left > 0; left -= piece) {
		bool is_first = left == (size_t)taken;
		piece = left < FRAME_PAGES_BYTES ? left : FRAME_PAGES_BYTES;
		store_header(edge + 1, FRAME_DATA, flags, stream, piece);
		is_whole = put_edge(pipes, edge + is_first, sizeof edge - is_first) &&
			   splice(pipes->stage[0], NULL, pipes->frames[1], NULL, piece, MOVE) == (ssize_t)piece;
		pipes->length += piece;
	}
	pipes->is_broken = !is_whole || !put_edge(pipes, edge, 1);
	return (size_t)taken;
}

ssize_t splice_send(struct splice *pipes, int link)
{
	/* Always everything: for a part, Linux passes a virtio port a page list that is too long. */
	ssize_t count = splice(pipes->frames[0], NULL, link, NULL, pipes->length, MOVE);
	if (count > 0)
		pipes->length -= (size_t)count;
	/* A port whose queue is full has consumed the pages anyway. */
	pipes->is_broken |= count == 0;
	return count;
}
