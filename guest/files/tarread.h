/* Parses a tar archive on stdin: ustar, pax and GNU headers become entries. Malformed input ends the program. */
#ifndef BANGER_TARREAD_H
#define BANGER_TARREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "files/tar.h"

#define TAR_IN_BYTES 65536

struct tar_entry {
	char type;
	char path[TAR_MAX_PATH_BYTES];
	char link[TAR_MAX_PATH_BYTES];
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t device;
	/* Size of the data in the archive. */
	uint64_t size;
	struct timespec mtime;
	bool is_sparse;
	uint64_t real_size;
};

/* A record of the pax extended header. */
struct tar_record {
	const char *key;
	const char *value;
	size_t length;
};

/* Entries extracted so far, for error messages; the caller counts. */
extern uint64_t tar_entry_count;

/* Reads the headers of the next entry; its data follows. False at the end of the archive. */
bool tar_next_entry(struct tar_entry *entry);

/* The next record of the entry's extended header, from *at on; false after the last. Keys are NUL-terminated in place. */
bool tar_next_record(size_t *at, struct tar_record *record);

/* Returns buffered data, at most `wanted` bytes, without copying it; 0 at the end of input. */
size_t tar_take(uint8_t **bytes, uint64_t wanted);

/* Skips data; fails if the archive ends early. */
void tar_skip(uint64_t length);

/* Reads a line that holds a decimal number; adds its length to *used. */
uint64_t tar_read_number_line(uint64_t *used);

/* Padding after `size` bytes of data. */
uint64_t tar_padding(uint64_t size);

_Noreturn void tar_fail_malformed(const char *what);

#endif
