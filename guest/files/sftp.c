#include "files/sftp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "files/sftppacket.h"

#define MAX_HANDLES 128
#define MAX_NAMES 64
#define VERSION 3

static struct handle {
	bool is_used;
	int fd;
	DIR *directory;
} handles[MAX_HANDLES];

/* -------------------------------------------------------------------- handles */

static void send_handle(int fd, DIR *directory)
{
	for (uint32_t i = 0; i < MAX_HANDLES; i++) {
		uint8_t name[4] = { 'h', 0, (uint8_t)(i >> 8), (uint8_t)i };
		if (handles[i].is_used)
			continue;
		handles[i] = (struct handle){ .is_used = true, .fd = fd, .directory = directory };
		sftp_begin(FXP_HANDLE);
		sftp_put_bytes(name, sizeof name);
		sftp_finish();
		return;
	}
	if (directory)
		closedir(directory);
	else
		close(fd);
	sftp_answer_status(FX_FAILURE, "Too many open files");
}

/* Decodes a handle; NULL if it is not open. */
static struct handle *get_any_handle(void)
{
	size_t length;
	const uint8_t *name = sftp_get_bytes(&length);
	uint32_t index = length == 4 && name[0] == 'h' ? (uint32_t)name[2] << 8 | name[3] : MAX_HANDLES;
	return index < MAX_HANDLES && handles[index].is_used ? &handles[index] : NULL;
}

/* Decodes a handle of this kind; NULL if there is none. */
static struct handle *get_handle(bool is_directory)
{
	struct handle *handle = get_any_handle();
	return handle && (handle->directory != NULL) == is_directory ? handle : NULL;
}

static void close_handle(void)
{
	struct handle *handle = get_any_handle();
	if (!handle) {
		sftp_answer_errno(EBADF);
		return;
	}
	int result = handle->directory ? closedir(handle->directory) : close(handle->fd);
	*handle = (struct handle){ .fd = -1 };
	sftp_answer_result(result);
}

/* ---------------------------------------------------------------------- files */

static void open_file(void)
{
	char path[SFTP_MAX_PATH_BYTES];
	struct sftp_attributes attributes;
	sftp_get_path(path);
	uint32_t wanted = sftp_get32();
	sftp_get_attributes(&attributes);
	bool reads = wanted & FXF_READ, writes = wanted & FXF_WRITE;
	int flags = O_CLOEXEC | O_NOCTTY | (reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY);
	if (wanted & FXF_APPEND)
		flags |= O_APPEND;
	if (wanted & FXF_CREAT)
		flags |= O_CREAT;
	if (wanted & FXF_TRUNC)
		flags |= O_TRUNC;
	if (wanted & FXF_EXCL)
		flags |= O_EXCL;
	if (sftp_is_malformed())
		return;
	int fd = open(path, flags, attributes.flags & ATTR_MODE ? attributes.mode & 07777 : 0666);
	if (fd < 0)
		sftp_answer_errno(errno);
	else
		send_handle(fd, NULL);
}

static void read_file_part(void)
{
	struct handle *handle = get_handle(false);
	uint64_t offset = sftp_get64();
	uint32_t wanted = sftp_get32();
	if (sftp_is_malformed())
		return;
	if (!handle) {
		sftp_answer_errno(EBADF);
		return;
	}
	uint8_t *data = sftp_begin_data();
	size_t size = wanted < SFTP_MAX_DATA_BYTES ? wanted : SFTP_MAX_DATA_BYTES;
	ssize_t count;
	while ((count = pread(handle->fd, data, size, (off_t)offset)) < 0 && errno == EINTR) {
	}
	/* A pipe has no offsets. */
	if (count < 0 && errno == ESPIPE)
		count = read(handle->fd, data, size);
	if (count < 0) {
		sftp_answer_errno(errno);
	} else if (count == 0) {
		sftp_answer_status(FX_EOF, "End of file");
	} else {
		sftp_finish_data((size_t)count);
	}
}

static void write_file_part(void)
{
	size_t length;
	struct handle *handle = get_handle(false);
	off_t offset = (off_t)sftp_get64();
	const uint8_t *bytes = sftp_get_bytes(&length);
	if (sftp_is_malformed())
		return;
	int error = handle ? 0 : EBADF;
	while (error == 0 && length > 0) {
		ssize_t count = pwrite(handle->fd, bytes, length, offset);
		if (count < 0 && errno == ESPIPE)
			count = write(handle->fd, bytes, length);
		if (count < 0 && errno != EINTR)
			error = errno;
		if (count > 0) {
			bytes += count;
			offset += count;
			length -= (size_t)count;
		}
	}
	sftp_answer_errno(error);
}

/* Of a descriptor or, if that is -1, of a path. */
static void set_attributes(const char *path, int fd, const struct sftp_attributes *attributes)
{
	int result = 0;
	uint32_t flags = attributes->flags;
	struct timespec times[2] = { { .tv_sec = attributes->atime }, { .tv_sec = attributes->mtime } };
	if (flags & ATTR_SIZE)
		result = fd >= 0 ? ftruncate(fd, (off_t)attributes->size) : truncate(path, (off_t)attributes->size);
	if (result == 0 && flags & ATTR_OWNER)
		result = fd >= 0 ? fchown(fd, attributes->uid, attributes->gid) : chown(path, attributes->uid, attributes->gid);
	if (result == 0 && flags & ATTR_MODE)
		result = fd >= 0 ? fchmod(fd, attributes->mode & 07777) : chmod(path, attributes->mode & 07777);
	if (result == 0 && flags & ATTR_TIMES)
		result = fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, 0);
	sftp_answer_result(result);
}

/* -------------------------------------------------------------------- directories */

static void open_directory(void)
{
	char path[SFTP_MAX_PATH_BYTES];
	sftp_get_path(path);
	if (sftp_is_malformed())
		return;
	DIR *directory = opendir(path);
	if (directory)
		send_handle(-1, directory);
	else
		sftp_answer_errno(errno);
}

/* A line like that of "ls -l", which clients display. */
static void put_long_name(const char *name, const struct stat *info)
{
	static const char kinds[] = "?pc?d?b?-?l?s???";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char line[512], mode[11] = "----------";
	struct tm time = { .tm_mon = 0 };
	mode[0] = kinds[(info->st_mode & S_IFMT) >> 12];
	for (int bit = 0; bit < 9; bit++) {
		if (info->st_mode & (0400u >> bit))
			mode[1 + bit] = "rwx"[bit % 3];
	}
	if (info->st_mode & S_ISUID)
		mode[3] = mode[3] == 'x' ? 's' : 'S';
	if (info->st_mode & S_ISGID)
		mode[6] = mode[6] == 'x' ? 's' : 'S';
	if (info->st_mode & S_ISVTX)
		mode[9] = mode[9] == 'x' ? 't' : 'T';
	gmtime_r(&info->st_mtime, &time);
	snprintf(line, sizeof line, "%s %4u %-8u %-8u %8llu %.3s %2d  %d %.255s", mode, (unsigned)info->st_nlink, (unsigned)info->st_uid,
		 (unsigned)info->st_gid, (unsigned long long)info->st_size, months + 3 * (time.tm_mon % 12), time.tm_mday, time.tm_year + 1900, name);
	sftp_put_text(line);
}

static void read_directory(void)
{
	struct dirent *entry = NULL;
	uint32_t count = 0;
	struct handle *handle = get_handle(true);
	if (!handle) {
		sftp_answer_errno(EBADF);
		return;
	}
	sftp_begin_names();
	while (count < MAX_NAMES && (entry = readdir(handle->directory))) {
		struct stat info;
		if (fstatat(dirfd(handle->directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sftp_put_text(entry->d_name);
		put_long_name(entry->d_name, &info);
		sftp_put_attributes(&info);
		count++;
	}
	if (count == 0) {
		sftp_answer_status(FX_EOF, "End of directory");
		return;
	}
	sftp_finish_names(count);
}

static void send_name(const char *name)
{
	sftp_begin(FXP_NAME);
	sftp_put32(1);
	sftp_put_text(name);
	sftp_put_text(name);
	sftp_put32(0);
	sftp_finish();
}

/* Clients also ask for the path of a file that does not exist yet. */
static void real_path(void)
{
	char path[SFTP_MAX_PATH_BYTES], full[2 * SFTP_MAX_PATH_BYTES];
	sftp_get_path(path);
	if (sftp_is_malformed())
		return;
	char *found = realpath(path, NULL);
	if (found) {
		send_name(found);
		free(found);
		return;
	}
	int error = errno;
	char *slash = strrchr(path, '/');
	char *base = slash ? slash + 1 : path;
	if (error != ENOENT || !*base) {
		sftp_answer_errno(error);
		return;
	}
	if (slash)
		*slash = 0;
	found = realpath(!slash ? "." : path[0] ? path : "/", NULL);
	if (!found) {
		sftp_answer_errno(errno);
		return;
	}
	snprintf(full, sizeof full, "%s/%s", strcmp(found, "/") == 0 ? "" : found, base);
	free(found);
	send_name(full);
}

static void read_link(void)
{
	char path[SFTP_MAX_PATH_BYTES], target[SFTP_MAX_PATH_BYTES];
	sftp_get_path(path);
	if (sftp_is_malformed())
		return;
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (length < 0) {
		sftp_answer_errno(errno);
		return;
	}
	target[length] = 0;
	send_name(target);
}

/* Version 3 must not replace an existing file; link() checks that atomically. */
static int rename_without_replacing(const char *from, const char *to)
{
	struct stat info;
	if (lstat(from, &info) < 0)
		return -1;
	if (S_ISREG(info.st_mode) && link(from, to) == 0)
		return unlink(from);
	if (lstat(to, &info) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

static void handle_two_paths(enum sftp_type type)
{
	char first[SFTP_MAX_PATH_BYTES], second[SFTP_MAX_PATH_BYTES];
	sftp_get_path(first);
	sftp_get_path(second);
	if (sftp_is_malformed())
		return;
	/* The target comes first: OpenSSH deviates from the draft, and all clients follow it. */
	sftp_answer_result(type == FXP_SYMLINK ? symlink(first, second) : rename_without_replacing(first, second));
}

/* ----------------------------------------------------------------- extensions */

static void send_space(const char *path, int fd)
{
	struct statvfs info;
	if ((fd >= 0 ? fstatvfs(fd, &info) : statvfs(path, &info)) < 0) {
		sftp_answer_errno(errno);
		return;
	}
	const uint64_t numbers[] = { info.f_bsize, info.f_frsize, info.f_blocks, info.f_bfree, info.f_bavail, info.f_files,
				     info.f_ffree, info.f_favail, info.f_fsid, (info.f_flag & ST_RDONLY ? 1 : 0) | (info.f_flag & ST_NOSUID ? 2 : 0),
				     info.f_namemax };
	sftp_begin(FXP_EXTENDED_REPLY);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sftp_put64(numbers[i]);
	sftp_finish();
}

static void send_limits(void)
{
	sftp_begin(FXP_EXTENDED_REPLY);
	sftp_put64(SFTP_MAX_PACKET_BYTES);
	sftp_put64(SFTP_MAX_DATA_BYTES);
	sftp_put64(SFTP_MAX_DATA_BYTES);
	sftp_put64(MAX_HANDLES);
	sftp_finish();
}

static void handle_extended(void)
{
	char name[SFTP_MAX_PATH_BYTES], first[SFTP_MAX_PATH_BYTES], second[SFTP_MAX_PATH_BYTES];
	sftp_get_path(name);
	if (strcmp(name, "posix-rename@openssh.com") == 0 || strcmp(name, "hardlink@openssh.com") == 0) {
		sftp_get_path(first);
		sftp_get_path(second);
		if (!sftp_is_malformed())
			sftp_answer_result(name[0] == 'p' ? rename(first, second) : link(first, second));
	} else if (strcmp(name, "fsync@openssh.com") == 0) {
		struct handle *handle = get_handle(false);
		errno = EBADF;
		sftp_answer_result(handle ? fsync(handle->fd) : -1);
	} else if (strcmp(name, "statvfs@openssh.com") == 0) {
		sftp_get_path(first);
		if (!sftp_is_malformed())
			send_space(first, -1);
	} else if (strcmp(name, "fstatvfs@openssh.com") == 0) {
		struct handle *handle = get_handle(false);
		send_space("", handle ? handle->fd : -1);
	} else if (strcmp(name, "limits@openssh.com") == 0) {
		send_limits();
	} else {
		sftp_answer_status(FX_OP_UNSUPPORTED, "Unknown extension");
	}
}

/* -------------------------------------------------------------------- requests */

static void handle_path(enum sftp_type type)
{
	char path[SFTP_MAX_PATH_BYTES];
	struct stat info;
	struct sftp_attributes attributes = { .flags = 0 };
	sftp_get_path(path);
	if (type == FXP_SETSTAT || type == FXP_MKDIR)
		sftp_get_attributes(&attributes);
	if (sftp_is_malformed())
		return;
	if (type == FXP_LSTAT)
		sftp_answer_attributes(lstat(path, &info), &info);
	else if (type == FXP_STAT)
		sftp_answer_attributes(stat(path, &info), &info);
	else if (type == FXP_SETSTAT)
		set_attributes(path, -1, &attributes);
	else if (type == FXP_MKDIR)
		sftp_answer_result(mkdir(path, attributes.flags & ATTR_MODE ? attributes.mode & 07777 : 0777));
	else
		sftp_answer_result(type == FXP_RMDIR ? rmdir(path) : unlink(path));
}

static void handle_file(enum sftp_type type)
{
	struct stat info;
	struct sftp_attributes attributes;
	struct handle *handle = get_any_handle();
	int fd = !handle ? -1 : handle->directory ? dirfd(handle->directory) : handle->fd;
	if (type == FXP_FSTAT) {
		sftp_answer_attributes(fstat(fd, &info), &info);
		return;
	}
	sftp_get_attributes(&attributes);
	if (fd < 0)
		sftp_answer_errno(EBADF);
	else if (!sftp_is_malformed())
		set_attributes("", fd, &attributes);
}

static void handle_request(enum sftp_type type)
{
	switch (type) {
	case FXP_OPEN:
		open_file();
		break;
	case FXP_CLOSE:
		close_handle();
		break;
	case FXP_READ:
		read_file_part();
		break;
	case FXP_WRITE:
		write_file_part();
		break;
	case FXP_FSTAT:
	case FXP_FSETSTAT:
		handle_file(type);
		break;
	case FXP_OPENDIR:
		open_directory();
		break;
	case FXP_READDIR:
		read_directory();
		break;
	case FXP_REALPATH:
		real_path();
		break;
	case FXP_READLINK:
		read_link();
		break;
	case FXP_RENAME:
	case FXP_SYMLINK:
		handle_two_paths(type);
		break;
	case FXP_LSTAT:
	case FXP_STAT:
	case FXP_SETSTAT:
	case FXP_MKDIR:
	case FXP_RMDIR:
	case FXP_REMOVE:
		handle_path(type);
		break;
	case FXP_EXTENDED:
		handle_extended();
		break;
	default:
		sftp_answer_status(FX_OP_UNSUPPORTED, "Unknown request");
	}
	if (sftp_is_malformed())
		sftp_answer_status(FX_BAD_MESSAGE, "The request is malformed");
}

static void send_version(void)
{
	static const char *const extensions[][2] = {
		{ "posix-rename@openssh.com", "1" }, { "hardlink@openssh.com", "1" }, { "fsync@openssh.com", "1" },
		{ "statvfs@openssh.com", "2" },	     { "fstatvfs@openssh.com", "2" }, { "limits@openssh.com", "1" },
	};
	sftp_begin(FXP_VERSION);
	sftp_put32(VERSION);
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
		sftp_put_text(extensions[i][0]);
		sftp_put_text(extensions[i][1]);
	}
	sftp_finish();
}

int sftp_serve(char **arguments)
{
	uint8_t type;
	(void)arguments;
	const char *home = getenv("HOME");
	if ((!home || chdir(home) < 0) && chdir("/") < 0)
		return 1;
	while (sftp_receive(&type)) {
		if (type == FXP_INIT)
			send_version();
		else
			handle_request(type);
	}
	return 0;
}
