#include "files/tarread.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files/tar.h"
#include "wire/reply.h"

uint64_t tar_entry_count;

static uint8_t in[TAR_IN_BYTES];
static size_t in_start, in_end;

size_t tar_take(uint8_t **bytes, uint64_t wanted)
{
	while (in_start == in_end) {
		ssize_t count = read(STDIN_FILENO, in, sizeof in);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			reply_fail_errno("Cannot read the archive");
		if (count == 0)
			return 0;
		in_start = 0;
		in_end = (size_t)count;
	}
	size_t count = in_end - in_start < wanted ? in_end - in_start : (size_t)wanted;
	*bytes = in + in_start;
	in_start += count;
	return count;
}

static _Noreturn void fail_early(void)
{
	reply_fail("invalid_argument", "Unexpected end of archive after %llu entries", (unsigned long long)tar_entry_count);
}

static void read_exactly(void *to, uint64_t length)
{
	uint8_t *bytes;
	for (uint8_t *at = to; length > 0;) {
		size_t count = tar_take(&bytes, length);
		if (count == 0)
			fail_early();
		memcpy(at, bytes, count);
		at += count;
		length -= count;
	}
}

void tar_skip(uint64_t length)
{
	uint8_t *bytes;
	while (length > 0) {
		size_t count = tar_take(&bytes, length);
		if (count == 0)
			fail_early();
		length -= count;
	}
}

uint64_t tar_padding(uint64_t size)
{
	return (TAR_BLOCK_BYTES - size % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES;
}

static uint8_t pax[TAR_MAX_PAX_BYTES + 1];
static size_t pax_length;
static char long_name[TAR_MAX_PATH_BYTES], long_link[TAR_MAX_PATH_BYTES];

_Noreturn void tar_fail_malformed(const char *what)
{
	reply_fail("invalid_argument", "Malformed archive: invalid %s in entry %llu", what, (unsigned long long)tar_entry_count + 1);
}

/* Octal digits, or base-256 if the first bit is set. */
static int64_t parse_number(const char *field, size_t size)
{
	const uint8_t *bytes = (const uint8_t *)field;
	uint64_t number = 0;
	if (bytes[0] & 0x80) {
		bool is_negative = bytes[0] == 0xff;
		number = is_negative ? UINT64_MAX : bytes[0] & 0x7f;
		for (size_t i = 1; i < size; i++) {
			uint8_t lost = (uint8_t)(number >> 56);
			if (lost != (is_negative ? 0xff : 0))
				tar_fail_malformed("number");
			number = number << 8 | bytes[i];
		}
		return (int64_t)number;
	}
	size_t at = 0;
	while (at < size && field[at] == ' ')
		at++;
	for (; at < size && field[at] >= '0' && field[at] <= '7'; at++)
		number = number << 3 | (uint64_t)(field[at] - '0');
	if (at < size && field[at] != 0 && field[at] != ' ')
		tar_fail_malformed("number");
	return (int64_t)number;
}

static uint64_t parse_size(const char *field, size_t size)
{
	int64_t number = parse_number(field, size);
	if (number < 0)
		tar_fail_malformed("size");
	return (uint64_t)number;
}

static bool has_right_sum(const struct tar_header *header)
{
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof *header; i++) {
		bool is_sum = i >= offsetof(struct tar_header, checksum) && i < offsetof(struct tar_header, type);
		sum += is_sum ? ' ' : ((const uint8_t *)header)[i];
	}
	return parse_number(header->checksum, sizeof header->checksum) == (int64_t)sum;
}

bool tar_next_record(size_t *at, struct tar_record *record)
{
	char *start = (char *)pax + *at, *space, *equals;
	if (*at >= pax_length)
		return false;
	size_t size = strtoul(start, &space, 10);
	if (space == start || *space != ' ' || size > pax_length - *at || size < (size_t)(space - start) + 3 || start[size - 1] != '\n')
		tar_fail_malformed("extended header");
	/* On a second pass the "=" is already a NUL. */
	size_t length = (size_t)(start + size - 1 - (space + 1));
	equals = memchr(space + 1, '=', length);
	char *nul = memchr(space + 1, 0, length);
	if (nul && (!equals || nul < equals))
		equals = nul;
	if (!equals)
		tar_fail_malformed("extended header");
	*equals = 0;
	*record = (struct tar_record){ .key = space + 1, .value = equals + 1, .length = (size_t)(start + size - 1 - (equals + 1)) };
	*at += size;
	return true;
}

static void copy_path(char *to, const char *from, size_t length)
{
	if (length >= TAR_MAX_PATH_BYTES || memchr(from, 0, length))
		tar_fail_malformed("name");
	memcpy(to, from, length);
	to[length] = 0;
}

static uint64_t decimal(const struct tar_record *record)
{
	char text[32], *end;
	if (record->length == 0 || record->length >= sizeof text || record->value[0] < '0' || record->value[0] > '9')
		tar_fail_malformed("number");
	memcpy(text, record->value, record->length);
	text[record->length] = 0;
	uint64_t number = strtoull(text, &end, 10);
	if (*end || number > INT64_MAX)
		tar_fail_malformed("number");
	return number;
}

static struct timespec parse_time(const struct tar_record *record)
{
	char text[48], *rest;
	long ns = 0, unit = NS_PER_S / 10;
	if (record->length == 0 || record->length >= sizeof text)
		tar_fail_malformed("time");
	memcpy(text, record->value, record->length);
	text[record->length] = 0;
	long long seconds = strtoll(text, &rest, 10);
	if (*rest == '.') {
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ns += (*rest - '0') * unit;
	}
	if (*rest)
		tar_fail_malformed("time");
	if (text[0] == '-' && ns > 0) {
		seconds--;
		ns = NS_PER_S - ns;
	}
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = ns };
}

static void apply_pax(struct tar_entry *entry)
{
	struct tar_record record;
	bool is_gnu_sparse = false, has_map_in_data = false;
	for (size_t at = 0; tar_next_record(&at, &record);) {
		if (strcmp(record.key, "path") == 0)
			copy_path(entry->path, record.value, record.length);
		else if (strcmp(record.key, "linkpath") == 0)
			copy_path(entry->link, record.value, record.length);
		else if (strcmp(record.key, "size") == 0)
			entry->size = decimal(&record);
		else if (strcmp(record.key, "uid") == 0)
			entry->uid = (uid_t)decimal(&record);
		else if (strcmp(record.key, "gid") == 0)
			entry->gid = (gid_t)decimal(&record);
		else if (strcmp(record.key, "mtime") == 0)
			entry->mtime = parse_time(&record);
		else if (strncmp(record.key, "GNU.sparse.", 11) == 0)
			is_gnu_sparse = true;
		if (strcmp(record.key, "GNU.sparse.major") == 0)
			has_map_in_data = decimal(&record) == 1;
		else if (strcmp(record.key, "GNU.sparse.realsize") == 0)
			entry->real_size = decimal(&record);
	}
	for (size_t at = 0; is_gnu_sparse && tar_next_record(&at, &record);) {
		if (strcmp(record.key, "GNU.sparse.name") == 0)
			copy_path(entry->path, record.value, record.length);
	}
	if (is_gnu_sparse && !has_map_in_data)
		reply_fail("unsupported", "Cannot extract \"%.100s\": unsupported version of GNU sparse", entry->path);
	entry->is_sparse = is_gnu_sparse;
}

/* The header's name, with the prefix of POSIX archives. */
static void header_name(const struct tar_header *header, char *path)
{
	size_t length = 0;
	if (memcmp(header->magic, "ustar", 6) == 0 && header->prefix[0]) {
		length = strnlen(header->prefix, sizeof header->prefix);
		memcpy(path, header->prefix, length);
		path[length++] = '/';
	}
	size_t rest = strnlen(header->name, sizeof header->name);
	memcpy(path + length, header->name, rest);
	path[length + rest] = 0;
}

static void read_meta(const struct tar_header *header)
{
	uint64_t size = parse_size(header->size, sizeof header->size);
	if (header->type == 'g') {
		tar_skip(size);
	} else if (header->type == 'x') {
		if (size > TAR_MAX_PAX_BYTES)
			reply_fail("limit_exceeded", "The archive has an extended header longer than %d bytes", TAR_MAX_PAX_BYTES);
		read_exactly(pax, size);
		pax[size] = 0;
		pax_length = (size_t)size;
	} else {
		char *name = header->type == 'L' ? long_name : long_link;
		if (size > TAR_MAX_PATH_BYTES)
			reply_fail("limit_exceeded", "The archive has a name longer than %d bytes", TAR_MAX_PATH_BYTES - 1);
		memset(name, 0, TAR_MAX_PATH_BYTES);
		read_exactly(name, size);
		name[TAR_MAX_PATH_BYTES - 1] = 0;
	}
	tar_skip(tar_padding(size));
}

/* Applies the pax and GNU headers that precede the entry. */
bool tar_next_entry(struct tar_entry *entry)
{
	struct tar_header header;
	static const struct tar_header zeros;
	uint8_t *bytes;
	pax_length = 0;
	long_name[0] = long_link[0] = 0;
	for (;;) {
		size_t count = tar_take(&bytes, sizeof header);
		if (count == 0)
			return false;
		memcpy(&header, bytes, count);
		if (count < sizeof header)
			read_exactly((uint8_t *)&header + count, sizeof header - count);
		if (memcmp(&header, &zeros, sizeof header) == 0)
			return false;
		if (!has_right_sum(&header))
			tar_fail_malformed("checksum");
		if (!strchr("xgLK", header.type) || header.type == 0)
			break;
		read_meta(&header);
	}
	*entry = (struct tar_entry){
		.type = header.type,
		.mode = (mode_t)parse_size(header.mode, sizeof header.mode) & 07777,
		.uid = (uid_t)parse_size(header.uid, sizeof header.uid),
		.gid = (gid_t)parse_size(header.gid, sizeof header.gid),
		.size = parse_size(header.size, sizeof header.size),
		.mtime = { .tv_sec = (time_t)parse_number(header.mtime, sizeof header.mtime) },
	};
	header_name(&header, entry->path);
	memcpy(entry->link, header.link, sizeof header.link);
	if (long_name[0])
		strcpy(entry->path, long_name);
	if (long_link[0])
		strcpy(entry->link, long_link);
	if (header.type == '3' || header.type == '4')
		entry->device = makedev((unsigned)parse_size(header.major, sizeof header.major), (unsigned)parse_size(header.minor, sizeof header.minor));
	apply_pax(entry);
	size_t length = strlen(entry->path);
	if ((entry->type == 0 || entry->type == '0') && length > 0 && entry->path[length - 1] == '/')
		entry->type = '5';
	return true;
}

uint64_t tar_read_number_line(uint64_t *used)
{
	uint8_t digit;
	uint64_t number = 0;
	for (;;) {
		read_exactly(&digit, 1);
		++*used;
		if (digit == '\n')
			return number;
		if (digit < '0' || digit > '9' || number > INT64_MAX / 10 - 10)
			tar_fail_malformed("sparse map");
		number = number * 10 + (uint64_t)(digit - '0');
	}
}
