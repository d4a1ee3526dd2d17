/*
 * test SECONDS FILE...: gzip files that are whole. Each is decompressed in pieces of many sizes, which must come to
 * the same; then mutations of them, each by pieces of two sizes, which must come to the same too. What the files
 * hold is compared elsewhere: this looks for what the sanitizers see, and for bytes that depend on how they came.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inflate.h"

#define FILE_MAX_BYTES (1 << 20)
#define OUTPUT_MAX_BYTES (64u << 20)
#define FILES_MAX 64
#define ROOM_BYTES 65536

struct result {
	enum inflate_status status;
	bool is_whole;
	uint64_t length, hash;
};

static struct inflate state;
static uint32_t seed = 0x2545f491;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/** The input in pieces of `input` bytes, each in memory of its own, to room of `room` bytes behind the window. */
static struct result run(const uint8_t *bytes, size_t length, size_t input, size_t room)
{
	struct result result = { .status = INFLATE_NEEDS_INPUT, .hash = 14695981039346656037u };
	uint8_t *const buffer = malloc(INFLATE_WINDOW + room), *const out = buffer + INFLATE_WINDOW;
	memset(buffer, 0xaa, INFLATE_WINDOW);
	inflate_start(&state);
	for (size_t at = 0; at < length && result.status != INFLATE_DAMAGED;) {
		const size_t part = length - at < input ? length - at : input;
		uint8_t *const piece = malloc(part);
		memcpy(piece, bytes + at, part);
		state.in = piece;
		state.in_end = piece + part;
		do {
			state.out = out;
			state.out_end = out + room;
			result.status = inflate_run(&state);
			const size_t made = (size_t)(state.out - out);
			for (size_t i = 0; i < made; i++)
				result.hash = (result.hash ^ out[i]) * 1099511628211u;
			result.length += made;
			memmove(buffer, buffer + made, INFLATE_WINDOW);
		} while (result.status == INFLATE_NEEDS_OUTPUT && result.length < OUTPUT_MAX_BYTES);
		free(piece);
		at += part;
		if (result.length >= OUTPUT_MAX_BYTES)
			break;
	}
	result.is_whole = inflate_is_whole(&state);
	free(buffer);
	return result;
}

/** How it came out; of damaged input not how much, since that is found out sooner or later. */
static bool is_same(struct result a, struct result b)
{
	const bool is_damaged = a.status == INFLATE_DAMAGED;
	if (is_damaged || b.status == INFLATE_DAMAGED)
		return a.status == b.status;
	return a.is_whole == b.is_whole && a.length == b.length && a.hash == b.hash;
}

static void fail(const char *what, size_t input, size_t room)
{
	fprintf(stderr, "%s, by pieces of %zu to a room of %zu\n", what, input, room);
	abort();
}

static void mutate(uint8_t *bytes, size_t *length)
{
	for (uint32_t count = 1 + next_random() % 4; count > 0; count--) {
		const size_t at = next_random() % *length;
		switch (next_random() % 4) {
		case 0:
			bytes[at] ^= (uint8_t)(1 << next_random() % 8);
			break;
		case 1:
			bytes[at] = (uint8_t)next_random();
			break;
		case 2:
			memmove(bytes + at, bytes + next_random() % *length / 2, (*length - at) / 2);
			break;
		default:
			*length = at + 1;
		}
	}
}

int main(int argc, char **argv)
{
	static uint8_t files[FILES_MAX][FILE_MAX_BYTES], mutated[FILE_MAX_BYTES];
	static size_t lengths[FILES_MAX];
	static const size_t SIZES[] = { 1, 2, 3, 7, 13, 31, 32, 33, 100, 1000, 65536, FILE_MAX_BYTES };
	int count = 0;
	for (int i = 2; i < argc && count < FILES_MAX; i++, count++) {
		FILE *file = fopen(argv[i], "rb");
		lengths[count] = file ? fread(files[count], 1, FILE_MAX_BYTES, file) : 0;
		if (lengths[count] == 0 || fclose(file) != 0)
			fail(argv[i], 0, 0);
		const struct result whole = run(files[count], lengths[count], FILE_MAX_BYTES, ROOM_BYTES);
		if (!whole.is_whole)
			fail(argv[i], FILE_MAX_BYTES, ROOM_BYTES);
		for (size_t k = 0; k < sizeof SIZES / sizeof SIZES[0]; k++)
			for (size_t room = INFLATE_MARGIN; room < 1 << 17; room = room * 5 + 1)
				if (!is_same(whole, run(files[count], lengths[count], SIZES[k], room)))
					fail(argv[i], SIZES[k], room);
	}
	const time_t end = time(NULL) + atoi(argv[1]);
	unsigned runs = 0, damaged = 0;
	for (; count > 0 && time(NULL) < end; runs++) {
		const int from = (int)(next_random() % (uint32_t)count);
		size_t length = lengths[from];
		memcpy(mutated, files[from], length);
		mutate(mutated, &length);
		const struct result whole = run(mutated, length, FILE_MAX_BYTES, ROOM_BYTES);
		const size_t input = SIZES[2 + next_random() % 9], room = INFLATE_MARGIN + next_random() % 5000;
		if (!is_same(whole, run(mutated, length, input, room)))
			fail("a mutation came out differently", input, room);
		damaged += whole.status == INFLATE_DAMAGED;
	}
	printf("inflate: %d files, %u mutations of them, %u of which are damaged\n", count, runs, damaged);
	return 0;
}
