#include "files/tarin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "files/tar.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define IN_BYTES 65536
#define MAX_PARTS 100000
#define MAX_DEPTH 512
#define OPEN_TRIES 16
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

struct entry {
	char type;
	char path[TAR_MAX_PATH_BYTES];
	char link[TAR_MAX_PATH_BYTES];
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t device;
	/* Of the data in the archive. */
	uint64_t size;
	struct timespec mtime;
	bool is_sparse;
	uint64_t real_size;
};

static int target = -1;
static bool keeps_owner;
static uint64_t entry_count;

/* ---------------------------------------------------------------------- input */

static uint8_t in[IN_BYTES];
static size_t in_start, in_end;

/* What there is, at most `wanted` bytes; 0 at the end. */
static size_t take(uint8_t **bytes, uint64_t wanted)
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

static void read_exactly(void *to, uint64_t length)
{
	uint8_t *bytes;
	for (uint8_t *at = to; length > 0;) {
		size_t count = take(&bytes, length);
		if (count == 0)
			reply_fail("invalid_argument", "The archive ends early, after %llu entries", (unsigned long long)entry_count);
		memcpy(at, bytes, count);
		at += count;
		length -= count;
	}
}

static void skip(uint64_t length)
{
	uint8_t *bytes;
	while (length > 0) {
		size_t count = take(&bytes, length);
		if (count == 0)
			reply_fail("invalid_argument", "The archive ends early, after %llu entries", (unsigned long long)entry_count);
		length -= count;
	}
}

static uint64_t padding(uint64_t size)
{
	return (TAR_BLOCK_BYTES - size % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES;
}

/* -------------------------------------------------------------------- headers */

static uint8_t pax[TAR_MAX_PAX_BYTES + 1];
static size_t pax_length;
static char long_name[TAR_MAX_PATH_BYTES], long_link[TAR_MAX_PATH_BYTES];

static _Noreturn void fail_malformed(const char *what)
{
	reply_fail("invalid_argument", "The archive is malformed: %s of entry %llu", what, (unsigned long long)entry_count + 1);
}

/* Octal digits, or a binary number with the first bit set. */
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
				fail_malformed("a number");
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
		fail_malformed("a number");
	return (int64_t)number;
}

static uint64_t parse_size(const char *field, size_t size)
{
	int64_t number = parse_number(field, size);
	if (number < 0)
		fail_malformed("the size");
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

struct record {
	const char *key;
	const char *value;
	size_t length;
};

/* The next record of the extended header; false at its end. Keys end with NUL in place. */
static bool next_record(size_t *at, struct record *record)
{
	char *start = (char *)pax + *at, *space, *equals;
	if (*at >= pax_length)
		return false;
	size_t size = strtoul(start, &space, 10);
	if (space == start || *space != ' ' || size > pax_length - *at || size < (size_t)(space - start) + 3 || start[size - 1] != '\n')
		fail_malformed("the extended header");
	/* Seen before: its "=" is a NUL already. */
	size_t length = (size_t)(start + size - 1 - (space + 1));
	equals = memchr(space + 1, '=', length);
	char *nul = memchr(space + 1, 0, length);
	if (nul && (!equals || nul < equals))
		equals = nul;
	if (!equals)
		fail_malformed("the extended header");
	*equals = 0;
	*record = (struct record){ .key = space + 1, .value = equals + 1, .length = (size_t)(start + size - 1 - (equals + 1)) };
	*at += size;
	return true;
}

static void copy_path(char *to, const char *from, size_t length)
{
	if (length >= TAR_MAX_PATH_BYTES || memchr(from, 0, length))
		fail_malformed("the name");
	memcpy(to, from, length);
	to[length] = 0;
}

static uint64_t decimal(const struct record *record)
{
	char text[32], *end;
	if (record->length == 0 || record->length >= sizeof text || record->value[0] < '0' || record->value[0] > '9')
		fail_malformed("a number");
	memcpy(text, record->value, record->length);
	text[record->length] = 0;
	uint64_t number = strtoull(text, &end, 10);
	if (*end || number > INT64_MAX)
		fail_malformed("a number");
	return number;
}

static struct timespec parse_time(const struct record *record)
{
	char text[48], *rest;
	long ns = 0, unit = NS_PER_S / 10;
	if (record->length == 0 || record->length >= sizeof text)
		fail_malformed("the time");
	memcpy(text, record->value, record->length);
	text[record->length] = 0;
	long long seconds = strtoll(text, &rest, 10);
	if (*rest == '.') {
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ns += (*rest - '0') * unit;
	}
	if (*rest)
		fail_malformed("the time");
	if (text[0] == '-' && ns > 0) {
		seconds--;
		ns = NS_PER_S - ns;
	}
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = ns };
}

static void apply_pax(struct entry *entry)
{
	struct record record;
	bool is_gnu_sparse = false, has_map_in_data = false;
	for (size_t at = 0; next_record(&at, &record);) {
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
	for (size_t at = 0; is_gnu_sparse && next_record(&at, &record);) {
		if (strcmp(record.key, "GNU.sparse.name") == 0)
			copy_path(entry->path, record.value, record.length);
	}
	if (is_gnu_sparse && !has_map_in_data)
		reply_fail("unsupported", "Cannot extract \"%.100s\": its holes are written in an old way", entry->path);
	entry->is_sparse = is_gnu_sparse;
}

/* The header's name, with the prefix that only POSIX archives have. */
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
		skip(size);
	} else if (header->type == 'x') {
		if (size > TAR_MAX_PAX_BYTES)
			reply_fail("limit_exceeded", "The archive has an extended header of more than %d bytes", TAR_MAX_PAX_BYTES);
		read_exactly(pax, size);
		pax[size] = 0;
		pax_length = (size_t)size;
	} else {
		char *name = header->type == 'L' ? long_name : long_link;
		if (size > TAR_MAX_PATH_BYTES)
			reply_fail("limit_exceeded", "The archive has a name of more than %d bytes", TAR_MAX_PATH_BYTES - 1);
		memset(name, 0, TAR_MAX_PATH_BYTES);
		read_exactly(name, size);
		name[TAR_MAX_PATH_BYTES - 1] = 0;
	}
	skip(padding(size));
}

/* The next entry with all that was said before it; false at the end of the archive. */
static bool read_entry(struct entry *entry)
{
	struct tar_header header;
	static const struct tar_header zeros;
	uint8_t *bytes;
	pax_length = 0;
	long_name[0] = long_link[0] = 0;
	for (;;) {
		size_t count = take(&bytes, sizeof header);
		if (count == 0)
			return false;
		memcpy(&header, bytes, count);
		if (count < sizeof header)
			read_exactly((uint8_t *)&header + count, sizeof header - count);
		if (memcmp(&header, &zeros, sizeof header) == 0)
			return false;
		if (!has_right_sum(&header))
			fail_malformed("the checksum");
		if (!strchr("xgLK", header.type) || header.type == 0)
			break;
		read_meta(&header);
	}
	*entry = (struct entry){
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

/* ---------------------------------------------------------------------- places */

/* As if the target were the root: neither ".." nor a symlink leads out of it. */
static int open_below(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;
	/* EAGAIN: somebody moved a folder meanwhile. */
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		fd = (int)syscall(SYS_openat2, target, path[0] ? path : ".", &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

/* Takes out slashes and dots that mean nothing; fails on "..". */
static void normalize(char *path)
{
	char *to = path;
	for (char *at = path; *at;) {
		size_t length = strcspn(at, "/");
		if (length == 2 && memcmp(at, "..", 2) == 0)
			reply_fail("invalid_argument", "The archive has an entry that leads out of its folder: \"%.100s\"", path);
		if (length > 0 && !(length == 1 && *at == '.')) {
			if (to != path)
				*to++ = '/';
			memmove(to, at, length);
			to += length;
			at += length;
		} else {
			at += length;
		}
		while (*at == '/')
			at++;
	}
	*to = 0;
}

static char parent_path[TAR_MAX_PATH_BYTES];
static int parent_fd = -1;

/* The folder that `path` is in, made if need be; stays open until the next call. `*base` is the last name. */
static int open_parent(char *path, const char **base, bool makes)
{
	char *slash = strrchr(path, '/');
	*base = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	if (parent_fd >= 0 && strlen(parent_path) == length && memcmp(parent_path, path, length) == 0)
		return parent_fd;
	if (parent_fd >= 0)
		close(parent_fd);
	memcpy(parent_path, path, length);
	parent_path[length] = 0;
	parent_fd = open_below(parent_path, O_PATH | O_DIRECTORY);
	if (parent_fd >= 0 || errno != ENOENT || !makes)
		return parent_fd;
	int above = open_below("", O_PATH | O_DIRECTORY);
	for (char *at = parent_path, *start = at; above >= 0; start = ++at) {
		at += strcspn(at, "/");
		char end = *at;
		*at = 0;
		int next = open_below(parent_path, O_PATH | O_DIRECTORY);
		if (next < 0 && errno == ENOENT && (mkdirat(above, start, 0755) == 0 || errno == EEXIST))
			next = open_below(parent_path, O_PATH | O_DIRECTORY);
		int error = errno;
		close(above);
		errno = error;
		above = next;
		*at = end;
		if (end == 0)
			break;
	}
	return parent_fd = above;
}

static _Noreturn void fail_entry(const struct entry *entry)
{
	reply_fail_errno("Cannot extract \"%.120s\"", entry->path);
}

/* ------------------------------------------------------------------ attributes */

/* `place` is a path through /proc; what a file system or a user cannot set is left out. */
static void set_xattrs(const char *place)
{
	struct record record;
	for (size_t at = 0; next_record(&at, &record);) {
		if (strncmp(record.key, "SCHILY.xattr.", 13) == 0)
			lsetxattr(place, record.key + 13, record.value, record.length, 0);
	}
}

static bool may_fail(int result)
{
	return result == 0 || (errno == EPERM && geteuid() != 0);
}

static void set_times(int folder, const char *name, const struct timespec *mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW);
}

/* For everything but folders and regular files. */
static void set_attributes(int folder, const char *name, const struct entry *entry)
{
	char place[64 + 256];
	if (keeps_owner && !may_fail(fchownat(folder, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW)))
		fail_entry(entry);
	if (entry->type != '2' && fchmodat(folder, name, entry->mode, 0) < 0)
		fail_entry(entry);
	snprintf(place, sizeof place, "/proc/self/fd/%d/%.255s", folder, name);
	set_xattrs(place);
	set_times(folder, name, &entry->mtime);
}

/* Folders get mode and time when nothing more comes into them: archives are in the order of the tree. */
static struct {
	int fd;
	size_t path_length;
	mode_t mode;
	struct timespec mtime;
} open_folders[MAX_DEPTH];
static char open_path[TAR_MAX_PATH_BYTES];
static int open_count;

static void close_folder(void)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, open_folders[--open_count].mtime };
	int fd = open_folders[open_count].fd;
	fchmod(fd, open_folders[open_count].mode);
	futimens(fd, times);
	close(fd);
}

static void close_folders_but_those_of(const char *path)
{
	while (open_count > 0) {
		size_t length = open_folders[open_count - 1].path_length;
		if (strncmp(open_path, path, length) == 0 && path[length] == '/')
			break;
		close_folder();
	}
}

/* ---------------------------------------------------------------------- things */

static void extract_folder(struct entry *entry)
{
	const char *base;
	char place[64];
	int parent = open_parent(entry->path, &base, true);
	if (parent < 0 || (mkdirat(parent, base, 0700) < 0 && errno != EEXIST))
		fail_entry(entry);
	int fd = open_below(entry->path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		fail_entry(entry);
	if (keeps_owner && !may_fail(fchown(fd, entry->uid, entry->gid)))
		fail_entry(entry);
	snprintf(place, sizeof place, "/proc/self/fd/%d/.", fd);
	set_xattrs(place);
	if (open_count == MAX_DEPTH)
		reply_fail("limit_exceeded", "The archive is more than %d folders deep", MAX_DEPTH);
	strcpy(open_path, entry->path);
	open_folders[open_count].fd = fd;
	open_folders[open_count].path_length = strlen(entry->path);
	open_folders[open_count].mode = entry->mode;
	open_folders[open_count++].mtime = entry->mtime;
}

static void copy_data(const struct entry *entry, int fd, off_t offset, uint64_t length)
{
	uint8_t *bytes;
	while (length > 0) {
		size_t count = take(&bytes, length);
		if (count == 0)
			reply_fail("invalid_argument", "The archive ends early, in \"%.100s\"", entry->path);
		for (size_t done = 0; done < count;) {
			ssize_t written = pwrite(fd, bytes + done, count - done, offset);
			if (written < 0 && errno != EINTR)
				fail_entry(entry);
			if (written > 0) {
				done += (size_t)written;
				offset += written;
			}
		}
		length -= count;
	}
}

/* A line with a decimal number, counted in `used`. */
static uint64_t read_line(uint64_t *used)
{
	uint8_t digit;
	uint64_t number = 0;
	for (;;) {
		read_exactly(&digit, 1);
		++*used;
		if (digit == '\n')
			return number;
		if (digit < '0' || digit > '9' || number > INT64_MAX / 10 - 10)
			fail_malformed("the map of holes");
		number = number * 10 + (uint64_t)(digit - '0');
	}
}

static void extract_sparse(const struct entry *entry, int fd)
{
	static struct tar_part parts[MAX_PARTS];
	uint64_t used = 0, data = 0;
	uint64_t count = read_line(&used);
	if (count > MAX_PARTS)
		reply_fail("limit_exceeded", "Cannot extract \"%.100s\": it has more than %d holes", entry->path, MAX_PARTS);
	for (uint64_t i = 0; i < count; i++) {
		parts[i].offset = read_line(&used);
		parts[i].length = read_line(&used);
		data += parts[i].length;
		if (parts[i].offset + parts[i].length > entry->real_size)
			fail_malformed("the map of holes");
	}
	skip(padding(used));
	used += padding(used);
	if (used + data != entry->size)
		fail_malformed("the map of holes");
	for (uint64_t i = 0; i < count; i++)
		copy_data(entry, fd, (off_t)parts[i].offset, parts[i].length);
	if (ftruncate(fd, (off_t)entry->real_size) < 0)
		fail_entry(entry);
}

/* Makes way for a thing that is no folder. */
static int clear_place(struct entry *entry, const char **base)
{
	int parent = open_parent(entry->path, base, true);
	if (parent < 0 || (unlinkat(parent, *base, 0) < 0 && errno != ENOENT))
		fail_entry(entry);
	return parent;
}

static void extract_file(struct entry *entry)
{
	const char *base;
	char place[64 + 256];
	int parent = clear_place(entry, &base);
	int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		fail_entry(entry);
	if (entry->is_sparse)
		extract_sparse(entry, fd);
	else
		copy_data(entry, fd, 0, entry->size);
	skip(padding(entry->size));
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry->mtime };
	if ((keeps_owner && !may_fail(fchown(fd, entry->uid, entry->gid))) || fchmod(fd, entry->mode) < 0)
		fail_entry(entry);
	snprintf(place, sizeof place, "/proc/self/fd/%d/%.255s", parent, base);
	set_xattrs(place);
	futimens(fd, times);
	if (close(fd) < 0)
		fail_entry(entry);
}

static void extract_link(struct entry *entry)
{
	const char *base, *first;
	normalize(entry->link);
	int source = open_parent(entry->link, &first, false);
	if (source < 0 || (source = fcntl(source, F_DUPFD_CLOEXEC, 3)) < 0)
		fail_entry(entry);
	if (strcmp(entry->link, entry->path) != 0) {
		int parent = clear_place(entry, &base);
		if (linkat(source, first, parent, base, 0) < 0)
			fail_entry(entry);
	}
	close(source);
}

static void extract_other(struct entry *entry)
{
	const char *base;
	int parent = clear_place(entry, &base);
	mode_t kind = entry->type == '3' ? S_IFCHR : entry->type == '4' ? S_IFBLK : S_IFIFO;
	int result = entry->type == '2' ? symlinkat(entry->link, parent, base) : mknodat(parent, base, kind | 0600, entry->device);
	if (result < 0)
		fail_entry(entry);
	set_attributes(parent, base, entry);
}

static void extract(struct entry *entry)
{
	bool is_file = entry->type == 0 || entry->type == '0' || entry->type == '7';
	normalize(entry->path);
	close_folders_but_those_of(entry->path);
	/* The folder itself belongs to the machine: it stays as it is. */
	if (entry->path[0] == 0 && entry->type == '5')
		return;
	if (entry->path[0] == 0)
		fail_malformed("the name");
	if (!is_file && entry->type >= '1' && entry->type <= '6')
		entry->size = 0;
	if (is_file)
		extract_file(entry);
	else if (entry->type == '5')
		extract_folder(entry);
	else if (entry->type == '1')
		extract_link(entry);
	else if (entry->type >= '2' && entry->type <= '6')
		extract_other(entry);
	else
		reply_fail("unsupported", "Cannot extract \"%.100s\": it is of the unknown type '%c'", entry->path, entry->type);
}

int tar_in(char **arguments)
{
	static struct entry entry;
	uint8_t answer[64], *bytes;
	struct field_writer writer = { .bytes = answer, .size = sizeof answer };
	keeps_owner = arguments[1][0] == 0 && geteuid() == 0;
	umask(0);
	if (!make_dirs(arguments[0], 0755))
		reply_fail_errno("Cannot make folder \"%.100s\"", arguments[0]);
	target = open(arguments[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		reply_fail_errno("Cannot open folder \"%.100s\"", arguments[0]);
	while (read_entry(&entry)) {
		extract(&entry);
		entry_count++;
	}
	while (open_count > 0)
		close_folder();
	/* Archives are filled up with zeros beyond their end. */
	while (take(&bytes, IN_BYTES) > 0) {
	}
	field_put_number(&writer, TAG_COUNT, entry_count);
	reply_put_fields(&writer);
	return 0;
}
