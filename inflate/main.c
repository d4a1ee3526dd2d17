/*
 * banger-inflate INPUT OUTPUT: decompresses gzip files for the process that started it, and can do nothing else.
 *
 * Descriptor 3 is memory that both share: a ring of INPUT bytes, and after it a ring of OUTPUT bytes. INPUT and
 * OUTPUT are whole pages. Messages go by descriptors 0 and 1, eight bytes each: a kind and a count, both 32 bits in
 * the machine's order.
 *
 *   to this process
 *     1 GIVEN  n    n more bytes of input are in the ring
 *     2 FREED  n    n bytes of output have been read; no more than OUTPUT - 64 KiB are there at a time
 *     3 END         the file is given; another one may follow once this one is DONE
 *   from it
 *     1 READY       it is in its sandbox and waits
 *     2 TAKEN  n    n bytes of input may be written over
 *     3 MADE   n    n more bytes of output are in the ring
 *     4 DONE        all that the file has is MADE
 *
 * The end of descriptor 0 ends it. It ends with status 1, and a reason on descriptor 2, when the input is damaged;
 * with status 2 when it could not begin.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inflate.h"
#include "sandbox.h"

enum { GIVEN = 1, FREED = 2, END = 3 };
enum { READY = 1, TAKEN = 2, MADE = 3, DONE = 4 };

#define MEMORY 3
/* Of output at a time, so that its reader has work while more is made. */
#define PORTION_BYTES (512 * 1024)
/* Of the output ring, what is never to be read: the window before, and the margin behind. */
#define RESERVED_BYTES (2 * INFLATE_WINDOW)

/** A ring, mapped twice in a row: whatever begins in the first half is in one piece. */
struct ring {
	uint8_t *bytes;
	size_t size;
	/** Where the next byte of output goes, or of input comes from. */
	size_t at;
	/** Input that is there, or room for output. */
	size_t free;
};

static struct inflate state;

static void quit(int status, const char *reason)
{
	if (write(2, reason, strlen(reason)) < 0)
		status = 2;
	_exit(status);
}

static bool map_ring(struct ring *ring, size_t size, off_t offset)
{
	uint8_t *place = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (size == 0 || place == MAP_FAILED)
		return false;
	for (int half = 0; half < 2; half++)
		if (mmap(place + half * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, MEMORY, offset) == MAP_FAILED)
			return false;
	*ring = (struct ring){ .bytes = place, .size = size };
	return true;
}

static void advance(struct ring *ring, size_t count)
{
	ring->at = (ring->at + count) % ring->size;
	ring->free -= count;
}

static void tell(uint32_t kind, size_t count)
{
	const uint32_t message[2] = { kind, (uint32_t)count };
	/* So little is taken whole, or not at all. */
	if (write(1, message, sizeof message) != sizeof message)
		_exit(2);
}

/** Waits for messages, and takes note of what they say. */
static void hear(struct ring *input, struct ring *output, bool *is_given)
{
	uint32_t messages[64][2];
	size_t length = 0;
	do {
		const ssize_t count = read(0, (uint8_t *)messages + length, sizeof messages - length);
		if (count <= 0)
			_exit(0);
		length += (size_t)count;
	} while (length % sizeof messages[0] != 0);
	for (size_t i = 0; i < length / sizeof messages[0]; i++) {
		if (messages[i][0] == GIVEN)
			input->free += messages[i][1];
		else if (messages[i][0] == FREED)
			output->free += messages[i][1];
		else
			*is_given = true;
	}
}

/** One step of the work; INFLATE_NEEDS_OUTPUT also where a portion is made and there is room for more. */
static enum inflate_status step(struct ring *input, struct ring *output)
{
	state.in = input->bytes + input->at;
	state.in_end = state.in + input->free;
	state.out = output->bytes + output->at + (output->at < INFLATE_WINDOW ? output->size : 0);
	state.out_end = state.out + (output->free < PORTION_BYTES ? output->free : PORTION_BYTES);
	const uint8_t *in = state.in, *out = state.out;
	const enum inflate_status status = inflate_run(&state);
	const size_t taken = (size_t)(state.in - in), made = (size_t)(state.out - out);
	advance(input, taken);
	advance(output, made);
	if (taken > 0)
		tell(TAKEN, taken);
	if (made > 0)
		tell(MADE, made);
	return status;
}

int main(int argc, char **argv)
{
	struct ring input, output;
	const size_t sizes[2] = { argc == 3 ? strtoul(argv[1], NULL, 10) : 0, argc == 3 ? strtoul(argv[2], NULL, 10) : 0 };
	if (sizes[1] <= RESERVED_BYTES || !map_ring(&input, sizes[0], 0) || !map_ring(&output, sizes[1], (off_t)sizes[0]))
		quit(2, "its memory cannot be mapped");
	close(MEMORY);
	if (!enter_sandbox())
		quit(2, "this system has no seccomp");
	output.free = output.size - RESERVED_BYTES;
	tell(READY, 0);
	bool is_given = false;
	inflate_start(&state);
	for (;;) {
		const enum inflate_status status = step(&input, &output);
		if (status == INFLATE_DAMAGED)
			quit(1, state.problem);
		if (status == INFLATE_NEEDS_INPUT && is_given) {
			if (!inflate_is_whole(&state))
				quit(1, "it ends early");
			tell(DONE, 0);
			is_given = false;
			inflate_start(&state);
		}
		if (status == INFLATE_NEEDS_INPUT || output.free < INFLATE_MARGIN)
			hear(&input, &output, &is_given);
	}
}
