/*
 * banger-inflate INPUT OUTPUT: decompresses gzip files for its parent process, in a seccomp sandbox.
 *
 * Descriptor 3 is shared memory: a ring of INPUT bytes followed by a ring of OUTPUT bytes, both in whole pages.
 * Messages on descriptors 0 and 1 have eight bytes: a kind and a count, 32 bits each in host byte order.
 *
 *   commands, on descriptor 0
 *     INPUT        n    n more bytes of input are in the ring
 *     OUTPUT_READ  n    n bytes of output have been read; at most OUTPUT - 64 KiB are readable at a time
 *     END               end of the file; another may follow after DONE
 *   events, on descriptor 1
 *     READY             the sandbox is active
 *     INPUT_READ   n    n bytes of input have been consumed
 *     OUTPUT       n    n more bytes of output are in the ring
 *     DONE              all output of the file has been announced
 *
 * Exits at the end of descriptor 0. The exit status for invalid input and for a failed start is in messages.h; the
 * reason is on descriptor 2.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inflate.h"
#include "messages.h"
#include "sandbox.h"

#define MEMORY 3
/* Output is announced in portions of this size, so that its reader works in parallel. */
#define PORTION_BYTES (512 * 1024)
_Static_assert(RESERVED_BYTES >= INFLATE_WINDOW + INFLATE_MARGIN, "window and margin fit beside the output");
_Static_assert(MESSAGE_BYTES == 2 * sizeof(uint32_t), "a message is a kind and a count");

/** A ring buffer mapped twice in a row, so that every part of it is contiguous. */
struct ring {
	uint8_t *bytes;
	size_t size;
	/** Position of the next byte. */
	size_t at;
	/** Available input, or free output space. */
	size_t free;
};

static struct inflate state;

static void quit(int status, const char *reason)
{
	if (write(2, reason, strlen(reason)) < 0)
		status = STATUS_FAILED;
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

static void send_message(uint32_t kind, size_t count)
{
	const uint32_t message[2] = { kind, (uint32_t)count };
	/* Writes this short are atomic. */
	if (write(1, message, sizeof message) != sizeof message)
		_exit(STATUS_FAILED);
}

/** Reads and applies messages. */
static void receive_messages(struct ring *input, struct ring *output, bool *is_given)
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
		if (messages[i][0] == COMMAND_INPUT)
			input->free += messages[i][1];
		else if (messages[i][0] == COMMAND_OUTPUT_READ)
			output->free += messages[i][1];
		else
			*is_given = true;
	}
}

/** Decompresses one portion; INFLATE_NEEDS_OUTPUT also when the portion is complete. */
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
		send_message(EVENT_INPUT_READ, taken);
	if (made > 0)
		send_message(EVENT_OUTPUT, made);
	return status;
}

int main(int argc, char **argv)
{
	struct ring input, output;
	const size_t sizes[2] = { argc == 3 ? strtoul(argv[1], NULL, 10) : 0, argc == 3 ? strtoul(argv[2], NULL, 10) : 0 };
	if (sizes[1] <= RESERVED_BYTES || !map_ring(&input, sizes[0], 0) || !map_ring(&output, sizes[1], (off_t)sizes[0]))
		quit(STATUS_FAILED, "its memory cannot be mapped");
	close(MEMORY);
	if (!enter_sandbox())
		quit(STATUS_FAILED, "this system has no seccomp");
	output.free = output.size - RESERVED_BYTES;
	send_message(EVENT_READY, 0);
	bool is_given = false;
	inflate_start(&state);
	for (;;) {
		const enum inflate_status status = step(&input, &output);
		if (status == INFLATE_DAMAGED)
			quit(STATUS_INVALID_INPUT, state.problem);
		if (status == INFLATE_NEEDS_INPUT && is_given) {
			if (!inflate_is_whole(&state))
				quit(STATUS_INVALID_INPUT, "it ends early");
			send_message(EVENT_DONE, 0);
			is_given = false;
			inflate_start(&state);
		}
		if (status == INFLATE_NEEDS_INPUT || output.free < INFLATE_MARGIN)
			receive_messages(&input, &output, &is_given);
	}
}
