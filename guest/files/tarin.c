#include "files/tarin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "files/staging.h"
#include "files/tar.h"
#include "files/tarread.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_PARTS 100000
#define MAX_DEPTH 512
#define OPEN_TRIES 16
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static int target = -1;
static bool keeps_owner;

/* ---------------------------------------------------------------------- places */

/* Resolves as if the target were the root: neither ".." nor a symlink escapes it. */
static int open_below(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;
	/* EAGAIN: a directory was moved at the same time. */
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		fd = (int)syscall(SYS_openat2, target, path[0] ? path : ".", &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

/* Removes redundant slashes and dots; fails on "..". */
static void normalize(char *path)
{
	char *to = path;
	for (char *at = path; *at;) {
		size_t length = strcspn(at, "/");
		if (length == 2 && memcmp(at, "..", 2) == 0)
			reply_fail("invalid_argument", "The archive has an entry outside its directory: \"%.100s\"", path);
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

/* Opens the parent of `path`, created if `makes`; it stays open until the next call. `*base` is the last component. */
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
		int next = -1;
		if (mkdirat(above, start, 0755) == 0 || errno == EEXIST)
			next = open_below(parent_path, O_PATH | O_DIRECTORY);
		/* Leaves errno as it is. */
		close(above);
		above = next;
		*at = end;
		if (end == 0)
			break;
	}
	return parent_fd = above;
}

static _Noreturn void fail_entry(const struct tar_entry *entry)
{
	reply_fail_errno("Cannot extract \"%.120s\"", entry->path);
}

/* ------------------------------------------------------------------ attributes */

/* Attributes that the file system or the user cannot set are ignored. */
static void set_xattrs(int directory, const char *name)
{
	char place[32 + 256];
	struct tar_record record;
	snprintf(place, sizeof place, "/proc/self/fd/%d/%.255s", directory, name);
	for (size_t at = 0; tar_next_record(&at, &record);) {
		if (strncmp(record.key, "SCHILY.xattr.", 13) == 0)
			lsetxattr(place, record.key + 13, record.value, record.length, 0);
	}
}

static bool may_fail(int result)
{
	return result == 0 || (errno == EPERM && geteuid() != 0);
}

/* Of `fd` itself without a name. */
static void set_mtime(int fd, const char *name, struct timespec mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, mtime };
	syscall(SYS_utimensat, fd, name, times, name ? AT_SYMLINK_NOFOLLOW : 0);
}

/* For everything except directories and regular files. */
static void set_attributes(int directory, const char *name, const struct tar_entry *entry)
{
	if (keeps_owner && !may_fail(fchownat(directory, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW)))
		fail_entry(entry);
	if (entry->type != '2' && fchmodat(directory, name, entry->mode, 0) < 0)
		fail_entry(entry);
	set_xattrs(directory, name);
	set_mtime(directory, name, entry->mtime);
}

/* Directories get mode and mtime once complete; archives are in tree order. */
static struct {
	int fd;
	size_t path_length;
	mode_t mode;
	struct timespec mtime;
} open_directories[MAX_DEPTH];
static char open_path[TAR_MAX_PATH_BYTES];
static int open_count;

static void close_directory(void)
{
	int fd = open_directories[--open_count].fd;
	fchmod(fd, open_directories[open_count].mode);
	set_mtime(fd, NULL, open_directories[open_count].mtime);
	close(fd);
}

static void close_directories_but_those_of(const char *path)
{
	while (open_count > 0) {
		size_t length = open_directories[open_count - 1].path_length;
		if (strncmp(open_path, path, length) == 0 && path[length] == '/')
			break;
		close_directory();
	}
}

/* ---------------------------------------------------------------------- things */

static void extract_directory(struct tar_entry *entry)
{
	const char *base;
	int parent = open_parent(entry->path, &base, true);
	if (parent < 0 || (mkdirat(parent, base, 0700) < 0 && errno != EEXIST))
		fail_entry(entry);
	int fd = open_below(entry->path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		fail_entry(entry);
	if (keeps_owner && !may_fail(fchown(fd, entry->uid, entry->gid)))
		fail_entry(entry);
	set_xattrs(fd, ".");
	if (open_count == MAX_DEPTH)
		reply_fail("limit_exceeded", "The archive's directories are nested more than %d levels deep", MAX_DEPTH);
	strcpy(open_path, entry->path);
	open_directories[open_count].fd = fd;
	open_directories[open_count].path_length = strlen(entry->path);
	open_directories[open_count].mode = entry->mode;
	open_directories[open_count++].mtime = entry->mtime;
}

static void copy_data(const struct tar_entry *entry, int fd, off_t offset, uint64_t length)
{
	uint8_t *bytes;
	while (length > 0) {
		size_t count = tar_take(&bytes, length);
		if (count == 0)
			reply_fail("invalid_argument", "Unexpected end of archive in \"%.100s\"", entry->path);
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

static void extract_sparse(const struct tar_entry *entry, int fd)
{
	static struct tar_part parts[MAX_PARTS];
	uint64_t used = 0, data = 0;
	uint64_t count = tar_read_number_line(&used);
	if (count > MAX_PARTS)
		reply_fail("limit_exceeded", "Cannot extract \"%.100s\": it has more than %d holes", entry->path, MAX_PARTS);
	for (uint64_t i = 0; i < count; i++) {
		parts[i].offset = tar_read_number_line(&used);
		parts[i].length = tar_read_number_line(&used);
		data += parts[i].length;
		if (parts[i].offset + parts[i].length > entry->real_size)
			tar_fail_malformed("sparse map");
	}
	tar_skip(tar_padding(used));
	used += tar_padding(used);
	if (used + data != entry->size)
		tar_fail_malformed("sparse map");
	for (uint64_t i = 0; i < count; i++)
		copy_data(entry, fd, (off_t)parts[i].offset, parts[i].length);
	if (ftruncate(fd, (off_t)entry->real_size) < 0)
		fail_entry(entry);
}

/* Removes what is at the entry's path, unless it is a directory; returns the parent. */
static int clear_place(struct tar_entry *entry, const char **base)
{
	int parent = open_parent(entry->path, base, true);
	if (parent < 0 || (unlinkat(parent, *base, 0) < 0 && errno != ENOENT))
		fail_entry(entry);
	return parent;
}

/* In a large tree each call for a file counts: a new one is made in its place, and changed only where it differs. */
static void extract_file(struct tar_entry *entry)
{
	const char *base, *name;
	char staged[32];
	struct stat made;
	int parent = open_parent(entry->path, &base, true);
	int fd = parent < 0 ? -1 : staging_open(parent, name = base, entry->mode & 0777);
	if (fd < 0 && errno == EEXIST) {
		snprintf(staged, sizeof staged, ".banger-%d", getpid());
		fd = staging_open(parent, name = staged, entry->mode & 0777);
	}
	if (fd < 0)
		fail_entry(entry);
	if (entry->is_sparse)
		extract_sparse(entry, fd);
	else
		copy_data(entry, fd, 0, entry->size);
	tar_skip(tar_padding(entry->size));
	if (fstat(fd, &made) < 0 ||
	    (keeps_owner && (made.st_uid != entry->uid || made.st_gid != entry->gid) &&
	     !may_fail(fchown(fd, entry->uid, entry->gid))) ||
	    ((made.st_mode & 07777) != entry->mode && fchmod(fd, entry->mode) < 0))
		fail_entry(entry);
	set_xattrs(parent, name);
	set_mtime(fd, NULL, entry->mtime);
	if (!staging_commit(base))
		fail_entry(entry);
}

static void extract_link(struct tar_entry *entry)
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

static void extract_other(struct tar_entry *entry)
{
	const char *base;
	int parent = clear_place(entry, &base);
	mode_t kind = entry->type == '3' ? S_IFCHR : entry->type == '4' ? S_IFBLK : S_IFIFO;
	int result = entry->type == '2' ? symlinkat(entry->link, parent, base) : mknodat(parent, base, kind | 0600, entry->device);
	if (result < 0)
		fail_entry(entry);
	set_attributes(parent, base, entry);
}

static void extract(struct tar_entry *entry)
{
	bool is_file = entry->type == 0 || entry->type == '0' || entry->type == '7';
	normalize(entry->path);
	close_directories_but_those_of(entry->path);
	/* The target directory itself keeps its attributes. */
	if (entry->path[0] == 0 && entry->type == '5')
		return;
	if (entry->path[0] == 0)
		tar_fail_malformed("name");
	if (is_file)
		extract_file(entry);
	else if (entry->type == '5')
		extract_directory(entry);
	else if (entry->type == '1')
		extract_link(entry);
	else if (entry->type >= '2' && entry->type <= '6')
		extract_other(entry);
	else
		reply_fail("unsupported", "Cannot extract \"%.100s\": unknown entry type '%c'", entry->path, entry->type);
}

int tar_in(char **arguments)
{
	static struct tar_entry entry;
	uint8_t answer[64], *bytes;
	struct field_writer writer = { .bytes = answer, .size = sizeof answer };
	keeps_owner = arguments[1][0] == 0 && geteuid() == 0;
	umask(0);
	if (make_dirs(arguments[0], 0755))
		target = open(arguments[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		reply_fail_errno("Cannot create directory \"%.100s\"", arguments[0]);
	while (tar_next_entry(&entry)) {
		extract(&entry);
		tar_entry_count++;
	}
	while (open_count > 0)
		close_directory();
	/* Archives are padded with zeros after their end. */
	while (tar_take(&bytes, TAR_IN_BYTES) > 0) {
	}
	field_put_number(&writer, TAG_COUNT, tar_entry_count);
	reply_put_fields(&writer);
	return 0;
}
