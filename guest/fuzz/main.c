/* fuzz CORPUS RUNS SECONDS: stops at either limit. With KEEP=1 new inputs are written to the corpus. */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/fields.h"
#include "wire/protocol.h"

#define MAX_INPUTS 4096

static struct input {
	uint8_t *bytes;
	size_t length;
} inputs[MAX_INPUTS];
static size_t input_count;

static uint32_t state = 0x2545f491;

static uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static size_t below(size_t limit)
{
	return limit ? next_random() % limit : 0;
}

static void add_input(const uint8_t *bytes, size_t length)
{
	if (input_count == MAX_INPUTS)
		return;
	inputs[input_count].bytes = malloc(length + 1);
	memcpy(inputs[input_count].bytes, bytes, length);
	inputs[input_count++].length = length;
}

static void load_corpus(const char *path)
{
	static uint8_t bytes[MAX_INPUT_BYTES];
	struct dirent *entry;
	DIR *directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		char name[4096];
		snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
		FILE *file = entry->d_name[0] == '.' ? NULL : fopen(name, "rb");
		if (!file)
			continue;
		size_t length = fread(bytes, 1, sizeof bytes, file);
		fclose(file);
		add_input(bytes, length);
	}
	if (directory)
		closedir(directory);
	if (input_count == 0)
		add_input((const uint8_t *)"", 0);
}

static void keep_input(const char *path, const uint8_t *bytes, size_t length)
{
	char name[4096];
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	snprintf(name, sizeof name, "%s/%016llx", path, (unsigned long long)hash);
	FILE *file = fopen(name, "wb");
	if (!file)
		return;
	fwrite(bytes, 1, length, file);
	fclose(file);
}

/* A valid frame, so that the content is fuzzed and not only the framing. */
static size_t make_frame(uint8_t *bytes)
{
	static const uint8_t types[] = { FRAME_SYNC, FRAME_OPEN, FRAME_OPEN, FRAME_OPEN, FRAME_DATA, FRAME_DATA, FRAME_EOF, FRAME_CREDIT, FRAME_CONTROL, FRAME_CLOSE, 77 };
	static const uint16_t tags[] = { TAG_KIND, TAG_ARGUMENT, TAG_ENV, TAG_WINDOW, TAG_STDIN, TAG_TERMINAL, TAG_SIGNAL, TAG_HOST, TAG_PORT, TAG_PATH, 999 };
	size_t length = 0;
	uint8_t type = types[below(sizeof types)];
	bytes[0] = type;
	bytes[1] = (uint8_t)(below(4) ? below(4) : next_random());
	store32(bytes + 4, (uint32_t)(below(8) ? 2 * below(8) + 1 : next_random()));
	uint8_t *payload = bytes + HEADER_BYTES;
	if (type == FRAME_OPEN || type == FRAME_CONTROL) {
		struct field_writer writer = { .bytes = payload, .size = 1024 };
		field_put_number(&writer, TAG_KIND, 1 + below(6));
		for (size_t left = below(6); left > 0; left--)
			field_put_number(&writer, tags[below(sizeof tags / sizeof *tags)], below(3) ? below(70000) : next_random());
		length = writer.length;
	} else {
		length = below(4) ? below(64) : below(2048);
		for (size_t i = 0; i < length; i++)
			payload[i] = (uint8_t)next_random();
	}
	store16(bytes + 2, (uint16_t)length);
	payload[length] = TRAILER;
	return HEADER_BYTES + length + 1;
}

static size_t insert(uint8_t *bytes, size_t length, const uint8_t *piece, size_t count)
{
	size_t at = below(length + 1);
	if (length + count > MAX_INPUT_BYTES)
		return length;
	memmove(bytes + at + count, bytes + at, length - at);
	memcpy(bytes + at, piece, count);
	return length + count;
}

static size_t mutate(uint8_t *bytes, size_t length)
{
	static uint8_t piece[8192];
	static const uint8_t interesting[] = { 0, 1, 2, 16, 18, 22, 0x7f, 0x80, 0xe7, 0xff };
	for (size_t rounds = 1 + below(6); rounds > 0; rounds--) {
		const struct input *other = &inputs[below(input_count)];
		size_t at = below(length);
		switch (below(8)) {
		case 0:
			if (length)
				bytes[at] ^= (uint8_t)(1u << below(8));
			break;
		case 1:
			if (length)
				bytes[at] = interesting[below(sizeof interesting)];
			break;
		case 2:
			if (length) {
				size_t count = 1 + below(length - at < 64 ? length - at : 64);
				memmove(bytes + at, bytes + at + count, length - at - count);
				length -= count;
			}
			break;
		case 3:
			if (other->length) {
				size_t from = below(other->length);
				size_t count = 1 + below(other->length - from < 512 ? other->length - from : 512);
				memcpy(piece, other->bytes + from, count);
				length = insert(bytes, length, piece, count);
			}
			break;
		case 4:
			for (size_t i = 0; i < 8; i++)
				piece[i] = (uint8_t)next_random();
			length = insert(bytes, length, piece, 1 + below(8));
			break;
		default: {
			/* Mostly at the end, so that the bytes before stay in sync. */
			size_t count = make_frame(piece);
			if (below(4) == 0)
				length = insert(bytes, length, piece, count);
			else if (length + count <= MAX_INPUT_BYTES) {
				memcpy(bytes + length, piece, count);
				length += count;
			}
		}
		}
	}
	return length;
}

int main(int count, char **arguments)
{
	static uint8_t bytes[MAX_INPUT_BYTES];
	if (count != 4)
		return 2;
	unsigned long long runs = strtoull(arguments[2], NULL, 10), done = 0;
	time_t end = time(NULL) + atol(arguments[3]);
	const char *seed = getenv("SEED");
	signal(SIGPIPE, SIG_IGN);
	state ^= seed ? (uint32_t)strtoul(seed, NULL, 10) * 2654435761u : 0;
	load_corpus(arguments[1]);
	size_t loaded = input_count;
	for (size_t i = 0; i < loaded; i++) {
		coverage_begin();
		run_input(inputs[i].bytes, inputs[i].length, 0x11);
		coverage_new();
	}
	for (; done < runs && time(NULL) < end; done++) {
		const struct input *base = &inputs[below(input_count)];
		memcpy(bytes, base->bytes, base->length);
		size_t length = mutate(bytes, base->length);
		coverage_begin();
		run_input(bytes, length, next_random());
		if (coverage_new() == 0)
			continue;
		add_input(bytes, length);
		if (getenv("KEEP"))
			keep_input(arguments[1], bytes, length);
	}
	printf("fuzz: ok, %llu runs, %zu inputs, %d places\n", done, input_count, coverage_total());
	return 0;
}
