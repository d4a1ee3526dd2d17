#include "wire/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "wire/fields.h"

/* At most this much is moved to make room for data. */
#define MAX_MOVED_BYTES (16 * 1024)

void link_attach(struct link *link, int fd)
{
	link->fd = fd;
	link->readable = true;
	link->writable = true;
	link->synced = false;
	link->lost = false;
	link->in_start = link->in_end = 0;
	link_drop_output(link);
	link->splice.is_refused = false;
	/* Tells a host that believes to be connected that its connection is lost. */
	link_send(link, FRAME_BEACON, 0, 0, NULL, 0);
}

void link_detach(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->synced = false;
	link->in_start = link->in_end = 0;
	link_drop_output(link);
}

void link_drop_output(struct link *link)
{
	link->out_start = link->out_end = 0;
	splice_close(&link->splice);
}

bool link_read(struct link *link)
{
	if (LINK_IN_BYTES - link->in_end < MAX_FRAME_BYTES) {
		memmove(link->in, link->in + link->in_start, link->in_end - link->in_start);
		link->in_end -= link->in_start;
		link->in_start = 0;
	}
	while (link->in_end < LINK_IN_BYTES) {
		ssize_t count = read(link->fd, link->in + link->in_end, LINK_IN_BYTES - link->in_end);
		if (count > 0) {
			link->in_end += (size_t)count;
			continue;
		}
		if (count < 0 && errno == EINTR)
			continue;
		link->readable = false;
		return count < 0 && errno == EAGAIN;
	}
	return true;
}

static void lose_sync(struct link *link)
{
	link->lost = link->synced;
	link->synced = false;
	link_drop_output(link);
	link_send(link, FRAME_BEACON, 0, 0, NULL, 0);
}

/* Skips to the next sync frame; false if there is none yet. */
static bool find_sync(struct link *link)
{
	uint8_t *start = link->in + link->in_start;
	size_t left = link->in_end - link->in_start;
	while (left >= HEADER_BYTES + SYNC_MAGIC_BYTES) {
		uint8_t *found = memmem(start + HEADER_BYTES, left - HEADER_BYTES, SYNC_MAGIC, SYNC_MAGIC_BYTES);
		if (!found)
			break;
		uint8_t *header = found - HEADER_BYTES;
		left -= (size_t)(header - start);
		start = header;
		size_t length = load16(header + 2);
		if (header[0] == FRAME_SYNC && length <= MAX_PAYLOAD_BYTES && length >= SYNC_MAGIC_BYTES + NONCE_BYTES) {
			link->in_start = (size_t)(start - link->in);
			return true;
		}
		start++;
		left--;
	}
	size_t keep = HEADER_BYTES + SYNC_MAGIC_BYTES - 1;
	if (link->in_end - link->in_start > keep)
		link->in_start = link->in_end - keep;
	return false;
}

bool link_next(struct link *link, struct frame *frame)
{
	for (;;) {
		if (!link->synced && !find_sync(link))
			return false;
		while (link->in_start < link->in_end && link->in[link->in_start] == 0)
			link->in_start++;
		size_t left = link->in_end - link->in_start;
		if (left < HEADER_BYTES)
			return false;
		uint8_t *header = link->in + link->in_start;
		size_t length = load16(header + 2);
		size_t size = HEADER_BYTES + length + 1;
		if (length <= MAX_PAYLOAD_BYTES && left < size)
			return false;
		if (length > MAX_PAYLOAD_BYTES || header[size - 1] != TRAILER) {
			/* While searching: bytes that only look like a sync frame; continue after them. */
			link->in_start++;
			if (link->synced)
				lose_sync(link);
			continue;
		}
		link->in_start += size;
		*frame = (struct frame){
			.type = header[0],
			.flags = header[1],
			.stream = load32(header + 4),
			.payload = header + HEADER_BYTES,
			.length = length,
		};
		return true;
	}
}

/* Sends the output queued before the spliced frames, then those, then the rest. */
static ssize_t flush_some(struct link *link)
{
	size_t end = link->splice.length > 0 ? link->splice_at : link->out_end;
	if (link->out_start == end)
		return splice_send(&link->splice, link->fd);
	ssize_t count = write(link->fd, link->out + link->out_start, end - link->out_start);
	if (count > 0)
		link->out_start += (size_t)count;
	return count;
}

void link_flush(struct link *link)
{
	while (link->writable && !link->splice.is_broken && link_has_output(link)) {
		ssize_t count = flush_some(link);
		if (count >= 0 || errno == EINTR)
			continue;
		link->writable = false;
		/* A permanent error is reported by reading. */
		if (errno != EAGAIN)
			link->readable = true;
	}
	if (link->out_start == link->out_end)
		link->out_start = link->out_end = link->splice_at = 0;
	if (link->splice.is_broken) {
		lose_sync(link);
		link->readable = true;
	}
}

bool link_has_output(const struct link *link)
{
	return link->out_start < link->out_end || link->splice.length > 0;
}

/*
 * Returns the free space after the queued output. Moves the queued output to the front if the space is needed and
 * there is little to move, or if the frame is urgent: moving a lot repeatedly would cost more than sending it.
 */
static size_t compact(struct link *link, size_t wanted, bool is_urgent)
{
	bool is_short = LINK_OUT_BYTES - link->out_end < wanted && link->out_start > 0;
	if (is_short && (is_urgent || link->out_end - link->out_start <= MAX_MOVED_BYTES)) {
		memmove(link->out, link->out + link->out_start, link->out_end - link->out_start);
		link->out_end -= link->out_start;
		link->splice_at -= link->out_start;
		link->out_start = 0;
	}
	return LINK_OUT_BYTES - link->out_end;
}

bool link_has_room(struct link *link, size_t payload)
{
	size_t size = HEADER_BYTES + payload + 1;
	return link->fd >= 0 && compact(link, size, true) >= size;
}

static void commit(struct link *link, uint8_t type, uint8_t flags, uint32_t stream, size_t length)
{
	uint8_t *header = link->out + link->out_end;
	store_header(header, type, flags, stream, length);
	header[HEADER_BYTES + length] = TRAILER;
	link->out_end += HEADER_BYTES + length + 1;
}

bool link_send(struct link *link, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t length)
{
	if (length > MAX_PAYLOAD_BYTES || !link_has_room(link, length))
		return false;
	if (length > 0)
		memcpy(link->out + link->out_end + HEADER_BYTES, payload, length);
	commit(link, type, flags, stream, length);
	return true;
}

int link_reserve(struct link *link, uint64_t wanted, struct iovec places[LINK_MAX_BATCH])
{
	size_t least = MAX_FRAME_BYTES + LINK_RESERVE_BYTES;
	if (link->fd < 0 || !link->synced)
		return 0;
	size_t room = compact(link, least, false);
	uint8_t *at = link->out + link->out_end;
	int count = 0;
	for (; count < LINK_MAX_BATCH && wanted > 0 && room >= least; count++) {
		size_t length = wanted < MAX_PAYLOAD_BYTES ? (size_t)wanted : MAX_PAYLOAD_BYTES;
		places[count] = (struct iovec){ .iov_base = at + HEADER_BYTES, .iov_len = length };
		at += HEADER_BYTES + length + 1;
		room -= HEADER_BYTES + length + 1;
		wanted -= length;
	}
	return count;
}

/* All frames except the last are full, like the reserved places. */
void link_commit_batch(struct link *link, uint8_t flags, uint32_t stream, size_t length)
{
	while (length > 0) {
		size_t piece = length < MAX_PAYLOAD_BYTES ? length : MAX_PAYLOAD_BYTES;
		commit(link, FRAME_DATA, flags, stream, piece);
		length -= piece;
	}
}

size_t link_pass(struct link *link, uint8_t flags, uint32_t stream, int pipe, uint64_t wanted)
{
	if (link->fd < 0 || !link->synced || link->splice.length > 0)
		return 0;
	link->splice_at = link->out_end;
	size_t passed = splice_fill(&link->splice, link->fd, pipe, wanted, flags, stream);
	link->has_passed |= passed > 0;
	return passed;
}
