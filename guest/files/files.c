#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "files/staging.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define NS_PER_S 1000000000ULL
#define MAX_DEPTH 1024
#define MAX_TARGET_BYTES 4096
#define BLOCK_BYTES 65536

static uint8_t block[BLOCK_BYTES];

static void put_entry(struct field_writer *writer, int directory, const char *name, const struct stat *info)
{
	field_put_number(writer, TAG_FILE_MODE, info->st_mode);
	field_put_number(writer, TAG_FILE_SIZE_BYTES, (uint64_t)info->st_size);
	field_put_number(writer, TAG_FILE_UID, info->st_uid);
	field_put_number(writer, TAG_FILE_GID, info->st_gid);
	field_put_number(writer, TAG_FILE_LINKS, info->st_nlink);
	/* Times before 1970 are negative, in two's complement. */
	field_put_number(writer, TAG_TIME_NS, (uint64_t)info->st_mtim.tv_sec * NS_PER_S + (uint64_t)info->st_mtim.tv_nsec);
	if (S_ISLNK(info->st_mode)) {
		char target[MAX_TARGET_BYTES];
		ssize_t length = readlinkat(directory, name, target, sizeof target);
		if (length > 0)
			field_put(writer, TAG_FILE_TARGET, target, (size_t)length);
	}
}

int files_stat(char **arguments)
{
	struct stat info;
	struct field_writer writer = { .bytes = block, .size = sizeof block };
	if (lstat(arguments[0], &info) < 0)
		reply_fail_errno("Cannot stat \"%.100s\"", arguments[0]);
	put_entry(&writer, AT_FDCWD, arguments[0], &info);
	reply_put_fields(&writer);
	return 0;
}

int files_list(char **arguments)
{
	static uint8_t bytes[2 * MAX_TARGET_BYTES];
	struct field_writer all = { .bytes = block, .size = sizeof block };
	struct dirent *entry;
	DIR *directory = opendir(arguments[0]);
	if (!directory)
		reply_fail_errno("Cannot list \"%.100s\"", arguments[0]);
	while ((entry = readdir(directory))) {
		struct stat info;
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fstatat(dirfd(directory), name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		struct field_writer one = { .bytes = bytes, .size = sizeof bytes };
		field_put_text(&one, TAG_FILE_NAME, name);
		put_entry(&one, dirfd(directory), name, &info);
		if (all.size - all.length < sizeof bytes) {
			reply_put_fields(&all);
			all.length = 0;
		}
		field_put(&all, TAG_ENTRY, one.bytes, one.length);
	}
	closedir(directory);
	reply_put_fields(&all);
	return 0;
}

int files_read(char **arguments)
{
	struct stat info;
	off_t offset = (off_t)strtoull(arguments[1], NULL, 10);
	uint64_t left = arguments[2][0] ? strtoull(arguments[2], NULL, 10) : UINT64_MAX;
	int fd = open(arguments[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &info) < 0)
		reply_fail_errno("Cannot read \"%.100s\"", arguments[0]);
	if (S_ISDIR(info.st_mode)) {
		errno = EISDIR;
		reply_fail_errno("Cannot read \"%.100s\"", arguments[0]);
	}
	fcntl(fd, F_SETFL, 0);
	if (offset > 0 && lseek(fd, offset, SEEK_SET) < 0)
		reply_fail_errno("Cannot read \"%.100s\" at offset %llu", arguments[0], (unsigned long long)offset);
	while (left > 0) {
		ssize_t count = read(fd, block, left < sizeof block ? (size_t)left : sizeof block);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			reply_fail_errno("Cannot read \"%.100s\"", arguments[0]);
		if (count == 0)
			break;
		reply_put(block, (size_t)count);
		left -= (uint64_t)count;
	}
	return 0;
}

static _Noreturn void fail_write(const char *path)
{
	reply_fail_errno("Cannot write \"%.100s\"", path);
}

int files_write(char **arguments)
{
	struct stat old;
	char staged[4096 + 32];
	const char *path = arguments[0];
	mode_t mode = (mode_t)strtoul(arguments[1], NULL, 8) & 07777;
	bool is_there = stat(path, &old) == 0;
	/* Devices, pipes and the targets of symlinks are written in place. */
	bool is_direct = is_there && (!S_ISREG(old.st_mode) || (lstat(path, &old) == 0 && S_ISLNK(old.st_mode)));
	snprintf(staged, sizeof staged, "%.4000s.banger-%d", path, getpid());
	int fd = is_direct ? open(path, O_WRONLY | O_CLOEXEC | O_TRUNC) : staging_open(AT_FDCWD, staged, 0600);
	if (fd < 0)
		fail_write(path);
	for (;;) {
		ssize_t count = read(STDIN_FILENO, block, sizeof block);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 || (count > 0 && !write_all(fd, block, (size_t)count)))
			fail_write(path);
		if (count == 0)
			break;
	}
	if (is_direct)
		return 0;
	/* An existing file keeps its owner and, unless a mode is given, its mode. */
	if (is_there && geteuid() == 0 && fchown(fd, old.st_uid, old.st_gid) < 0)
		fail_write(path);
	if (fchmod(fd, arguments[1][0] ? mode : is_there ? old.st_mode & 07777 : 0644) < 0 || !staging_commit(path))
		fail_write(path);
	return 0;
}

int files_mkdir(char **arguments)
{
	mode_t mode = arguments[1][0] ? (mode_t)strtoul(arguments[1], NULL, 8) & 07777 : 0755;
	umask(0);
	errno = EEXIST;
	bool done = arguments[2][0] ? make_dirs(arguments[0], mode) : mkdir(arguments[0], mode) == 0;
	if (!done)
		reply_fail_errno("Cannot create directory \"%.100s\"", arguments[0]);
	return 0;
}

/* Follows no symlink, so it never leaves the directory. */
static void remove_contents(int directory_fd, const char *shown, int depth)
{
	struct dirent *entry;
	DIR *directory = directory_fd >= 0 ? fdopendir(directory_fd) : NULL;
	if (!directory)
		reply_fail_errno("Cannot open a directory below \"%.100s\"", shown);
	while ((entry = readdir(directory))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || unlinkat(dirfd(directory), name, 0) == 0)
			continue;
		if (errno == ENOENT)
			continue;
		if ((errno != EISDIR && errno != EPERM) || depth == MAX_DEPTH)
			reply_fail_errno("Cannot remove \"%.60s\" below \"%.80s\"", name, shown);
		int child = openat(dirfd(directory), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		remove_contents(child, shown, depth + 1);
		if (unlinkat(dirfd(directory), name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			reply_fail_errno("Cannot remove \"%.60s\" below \"%.80s\"", name, shown);
	}
	closedir(directory);
}

int files_remove(char **arguments)
{
	struct stat info;
	const char *path = arguments[0];
	if (lstat(path, &info) < 0)
		reply_fail_errno("Cannot remove \"%.100s\"", path);
	if (S_ISDIR(info.st_mode) && arguments[1][0])
		remove_contents(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), path, 0);
	if (unlinkat(AT_FDCWD, path, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0) < 0)
		reply_fail_errno("Cannot remove \"%.100s\"", path);
	return 0;
}
