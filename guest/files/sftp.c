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

#include "base/io.h"

#define MAX_PACKET_BYTES (256 * 1024)
#define MAX_DATA_BYTES (MAX_PACKET_BYTES - 1024)
#define MAX_HANDLES 128
#define MAX_PATH_BYTES 4096
#define MAX_NAMES 64
#define VERSION 3

enum type {
	INIT = 1, OPEN_VERSION = 2, OPEN = 3, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR,
	REALPATH, STAT, RENAME, READLINK, SYMLINK, STATUS = 101, HANDLE, DATA, NAME, ATTRS, EXTENDED = 200, EXTENDED_REPLY = 201,
};

enum status { OK, END, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, OP_UNSUPPORTED = 8 };

enum open_flag { FLAG_READ = 1, FLAG_WRITE = 2, FLAG_APPEND = 4, FLAG_CREAT = 8, FLAG_TRUNC = 16, FLAG_EXCL = 32 };

enum attribute { ATTR_SIZE = 1, ATTR_OWNER = 2, ATTR_MODE = 4, ATTR_TIMES = 8 };

struct attributes {
	uint32_t flags, uid, gid, mode, atime, mtime;
	uint64_t size;
};

static struct handle {
	bool is_used;
	int fd;
	DIR *folder;
} handles[MAX_HANDLES];

/* ----------------------------------------------------------------------- wire */

static uint8_t in[MAX_PACKET_BYTES], out[MAX_PACKET_BYTES + 64];
static size_t in_at, in_length, out_length;
static bool is_malformed;
static uint32_t request;

static bool read_exactly(uint8_t *to, size_t length)
{
	while (length > 0) {
		ssize_t count = read(STDIN_FILENO, to, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		to += count;
		length -= (size_t)count;
	}
	return true;
}

static uint32_t big32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t get32(void)
{
	if (in_length - in_at < 4) {
		is_malformed = true;
		return 0;
	}
	in_at += 4;
	return big32(in + in_at - 4);
}

static uint64_t get64(void)
{
	uint64_t high = get32();
	return high << 32 | get32();
}

static const uint8_t *get_bytes(size_t *length)
{
	*length = get32();
	if (is_malformed || *length > in_length - in_at) {
		is_malformed = true;
		*length = 0;
		return in;
	}
	in_at += *length;
	return in + in_at - *length;
}

/* An empty path is the folder of the session. */
static void get_path(char *path)
{
	size_t length;
	const uint8_t *bytes = get_bytes(&length);
	if (length >= MAX_PATH_BYTES || memchr(bytes, 0, length))
		is_malformed = true;
	else
		memcpy(path, bytes, length);
	path[is_malformed ? 0 : length] = 0;
	if (!path[0])
		strcpy(path, ".");
}

static void get_attributes(struct attributes *attributes)
{
	*attributes = (struct attributes){ .flags = get32() };
	if (attributes->flags & ATTR_SIZE)
		attributes->size = get64();
	if (attributes->flags & ATTR_OWNER) {
		attributes->uid = get32();
		attributes->gid = get32();
	}
	if (attributes->flags & ATTR_MODE)
		attributes->mode = get32();
	if (attributes->flags & ATTR_TIMES) {
		attributes->atime = get32();
		attributes->mtime = get32();
	}
}

static void put32(uint32_t number)
{
	uint8_t bytes[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };
	memcpy(out + out_length, bytes, 4);
	out_length += 4;
}

static void put64(uint64_t number)
{
	put32((uint32_t)(number >> 32));
	put32((uint32_t)number);
}

static void put_bytes(const void *bytes, size_t length)
{
	put32((uint32_t)length);
	memcpy(out + out_length, bytes, length);
	out_length += length;
}

static void put_text(const char *text)
{
	put_bytes(text, strlen(text));
}

/* Begins an answer; the length is put in when it is sent. */
static void begin(enum type type)
{
	out_length = 4;
	out[out_length++] = (uint8_t)type;
	if (type != OPEN_VERSION)
		put32(request);
}

static void finish(void)
{
	size_t length = out_length;
	out_length = 0;
	put32((uint32_t)(length - 4));
	if (!write_all(STDOUT_FILENO, out, length))
		exit(1);
}

static void answer_status(enum status status, const char *message)
{
	begin(STATUS);
	put32(status);
	put_text(message);
	put_text("");
	finish();
}

static void answer_errno(int error)
{
	enum status status = error == 0 ? OK
			   : error == ENOENT || error == ENOTDIR || error == ELOOP || error == EBADF ? NO_SUCH_FILE
			   : error == EACCES || error == EPERM || error == EROFS ? PERMISSION_DENIED
			   : error == ENOSYS || error == EOPNOTSUPP ? OP_UNSUPPORTED
								    : FAILURE;
	answer_status(status, error == 0 ? "Success" : strerror(error));
}

static void answer_result(int result)
{
	answer_errno(result < 0 ? errno : 0);
}

static void put_attributes(const struct stat *info)
{
	put32(ATTR_SIZE | ATTR_OWNER | ATTR_MODE | ATTR_TIMES);
	put64((uint64_t)info->st_size);
	put32(info->st_uid);
	put32(info->st_gid);
	put32(info->st_mode);
	put32((uint32_t)info->st_atime);
	put32((uint32_t)info->st_mtime);
}

static void answer_attributes(int result, const struct stat *info)
{
	if (result < 0) {
		answer_errno(errno);
		return;
	}
	begin(ATTRS);
	put_attributes(info);
	finish();
}

/* -------------------------------------------------------------------- handles */

static void answer_handle(int fd, DIR *folder)
{
	for (uint32_t i = 0; i < MAX_HANDLES; i++) {
		uint8_t name[4] = { 'h', 0, (uint8_t)(i >> 8), (uint8_t)i };
		if (handles[i].is_used)
			continue;
		handles[i] = (struct handle){ .is_used = true, .fd = fd, .folder = folder };
		begin(HANDLE);
		put_bytes(name, sizeof name);
		finish();
		return;
	}
	if (folder)
		closedir(folder);
	else
		close(fd);
	answer_status(FAILURE, "Too many open files");
}

/* NULL, and answered, for a handle that is not open, or not of this kind. */
static struct handle *get_handle(bool is_folder)
{
	size_t length;
	const uint8_t *name = get_bytes(&length);
	uint32_t index = length == 4 && name[0] == 'h' ? (uint32_t)name[2] << 8 | name[3] : MAX_HANDLES;
	if (index < MAX_HANDLES && handles[index].is_used && (handles[index].folder != NULL) == is_folder)
		return &handles[index];
	return NULL;
}

static struct handle *get_any_handle(void)
{
	size_t at = in_at;
	struct handle *handle = get_handle(false);
	if (handle)
		return handle;
	in_at = at;
	return get_handle(true);
}

static void close_handle(void)
{
	struct handle *handle = get_any_handle();
	if (!handle) {
		answer_errno(EBADF);
		return;
	}
	int result = handle->folder ? closedir(handle->folder) : close(handle->fd);
	*handle = (struct handle){ .fd = -1 };
	answer_result(result);
}

/* ---------------------------------------------------------------------- files */

static void open_file(void)
{
	char path[MAX_PATH_BYTES];
	struct attributes attributes;
	get_path(path);
	uint32_t wanted = get32();
	get_attributes(&attributes);
	bool reads = wanted & FLAG_READ, writes = wanted & FLAG_WRITE;
	int flags = O_CLOEXEC | O_NOCTTY | (reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY);
	if (wanted & FLAG_APPEND)
		flags |= O_APPEND;
	if (wanted & FLAG_CREAT)
		flags |= O_CREAT;
	if (wanted & FLAG_TRUNC)
		flags |= O_TRUNC;
	if (wanted & FLAG_EXCL)
		flags |= O_EXCL;
	if (is_malformed)
		return;
	int fd = open(path, flags, attributes.flags & ATTR_MODE ? attributes.mode & 07777 : 0666);
	if (fd < 0)
		answer_errno(errno);
	else
		answer_handle(fd, NULL);
}

static void read_file_part(void)
{
	struct handle *handle = get_handle(false);
	uint64_t offset = get64();
	uint32_t wanted = get32();
	if (is_malformed)
		return;
	if (!handle) {
		answer_errno(EBADF);
		return;
	}
	begin(DATA);
	size_t start = out_length + 4;
	ssize_t count;
	while ((count = pread(handle->fd, out + start, wanted < MAX_DATA_BYTES ? wanted : MAX_DATA_BYTES, (off_t)offset)) < 0 && errno == EINTR) {
	}
	/* A pipe has no places. */
	if (count < 0 && errno == ESPIPE)
		count = read(handle->fd, out + start, wanted < MAX_DATA_BYTES ? wanted : MAX_DATA_BYTES);
	if (count < 0) {
		answer_errno(errno);
	} else if (count == 0) {
		answer_status(END, "End of file");
	} else {
		put32((uint32_t)count);
		out_length += (size_t)count;
		finish();
	}
}

static void write_file_part(void)
{
	size_t length;
	struct handle *handle = get_handle(false);
	off_t offset = (off_t)get64();
	const uint8_t *bytes = get_bytes(&length);
	if (is_malformed)
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
	answer_errno(error);
}

/* Path or descriptor: -1 is no descriptor. */
static void set_attributes(const char *path, int fd, const struct attributes *attributes)
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
	answer_result(result);
}

/* -------------------------------------------------------------------- folders */

static void open_folder(void)
{
	char path[MAX_PATH_BYTES];
	get_path(path);
	if (is_malformed)
		return;
	DIR *folder = opendir(path);
	if (folder)
		answer_handle(-1, folder);
	else
		answer_errno(errno);
}

/* A line as "ls -l" has it: clients show it as it is. */
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
	put_text(line);
}

static void read_folder(void)
{
	struct dirent *entry = NULL;
	uint32_t count = 0;
	struct handle *handle = get_handle(true);
	if (!handle) {
		answer_errno(EBADF);
		return;
	}
	begin(NAME);
	size_t count_at = out_length;
	put32(0);
	while (count < MAX_NAMES && (entry = readdir(handle->folder))) {
		struct stat info;
		if (fstatat(dirfd(handle->folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		put_text(entry->d_name);
		put_long_name(entry->d_name, &info);
		put_attributes(&info);
		count++;
	}
	if (count == 0) {
		answer_status(END, "End of folder");
		return;
	}
	size_t end = out_length;
	out_length = count_at;
	put32(count);
	out_length = end;
	finish();
}

static void answer_name(const char *name)
{
	begin(NAME);
	put32(1);
	put_text(name);
	put_text(name);
	put32(0);
	finish();
}

/* Clients ask for the full path of what is still to be made as well. */
static void real_path(void)
{
	char path[MAX_PATH_BYTES], full[2 * MAX_PATH_BYTES];
	get_path(path);
	if (is_malformed)
		return;
	char *found = realpath(path, NULL);
	if (found) {
		answer_name(found);
		free(found);
		return;
	}
	int error = errno;
	char *slash = strrchr(path, '/');
	char *base = slash ? slash + 1 : path;
	if (error != ENOENT || !*base) {
		answer_errno(error);
		return;
	}
	if (slash)
		*slash = 0;
	found = realpath(!slash ? "." : path[0] ? path : "/", NULL);
	if (!found) {
		answer_errno(errno);
		return;
	}
	snprintf(full, sizeof full, "%s/%s", strcmp(found, "/") == 0 ? "" : found, base);
	free(found);
	answer_name(full);
}

static void read_link(void)
{
	char path[MAX_PATH_BYTES], target[MAX_PATH_BYTES];
	get_path(path);
	if (is_malformed)
		return;
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (length < 0) {
		answer_errno(errno);
		return;
	}
	target[length] = 0;
	answer_name(target);
}

/* Version 3 may not replace: without a link to the new name first there would be a moment for others. */
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

static void take_two_paths(enum type type)
{
	char first[MAX_PATH_BYTES], second[MAX_PATH_BYTES];
	get_path(first);
	get_path(second);
	if (is_malformed)
		return;
	/* OpenSSH sends the target first, whatever the draft says, and so does everybody else. */
	answer_result(type == SYMLINK ? symlink(first, second) : rename_without_replacing(first, second));
}

/* ----------------------------------------------------------------- extensions */

static void answer_space(const char *path, int fd)
{
	struct statvfs info;
	if ((fd >= 0 ? fstatvfs(fd, &info) : statvfs(path, &info)) < 0) {
		answer_errno(errno);
		return;
	}
	const uint64_t numbers[] = { info.f_bsize, info.f_frsize, info.f_blocks, info.f_bfree, info.f_bavail, info.f_files,
				     info.f_ffree, info.f_favail, info.f_fsid, (info.f_flag & ST_RDONLY ? 1 : 0) | (info.f_flag & ST_NOSUID ? 2 : 0),
				     info.f_namemax };
	begin(EXTENDED_REPLY);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		put64(numbers[i]);
	finish();
}

static void answer_limits(void)
{
	begin(EXTENDED_REPLY);
	put64(MAX_PACKET_BYTES);
	put64(MAX_DATA_BYTES);
	put64(MAX_DATA_BYTES);
	put64(MAX_HANDLES);
	finish();
}

static void take_extended(void)
{
	char name[MAX_PATH_BYTES], first[MAX_PATH_BYTES], second[MAX_PATH_BYTES];
	get_path(name);
	if (strcmp(name, "posix-rename@openssh.com") == 0 || strcmp(name, "hardlink@openssh.com") == 0) {
		get_path(first);
		get_path(second);
		if (!is_malformed)
			answer_result(name[0] == 'p' ? rename(first, second) : link(first, second));
	} else if (strcmp(name, "fsync@openssh.com") == 0) {
		struct handle *handle = get_handle(false);
		errno = EBADF;
		answer_result(handle ? fsync(handle->fd) : -1);
	} else if (strcmp(name, "statvfs@openssh.com") == 0) {
		get_path(first);
		if (!is_malformed)
			answer_space(first, -1);
	} else if (strcmp(name, "fstatvfs@openssh.com") == 0) {
		struct handle *handle = get_handle(false);
		answer_space("", handle ? handle->fd : -1);
	} else if (strcmp(name, "limits@openssh.com") == 0) {
		answer_limits();
	} else {
		answer_status(OP_UNSUPPORTED, "This extension is not known");
	}
}

/* -------------------------------------------------------------------- requests */

static void take_path(enum type type)
{
	char path[MAX_PATH_BYTES];
	struct stat info;
	struct attributes attributes = { .flags = 0 };
	get_path(path);
	if (type == SETSTAT || type == MKDIR)
		get_attributes(&attributes);
	if (is_malformed)
		return;
	if (type == LSTAT)
		answer_attributes(lstat(path, &info), &info);
	else if (type == STAT)
		answer_attributes(stat(path, &info), &info);
	else if (type == SETSTAT)
		set_attributes(path, -1, &attributes);
	else if (type == MKDIR)
		answer_result(mkdir(path, attributes.flags & ATTR_MODE ? attributes.mode & 07777 : 0777));
	else
		answer_result(type == RMDIR ? rmdir(path) : unlink(path));
}

static void take_file(enum type type)
{
	struct stat info;
	struct attributes attributes;
	struct handle *handle = get_any_handle();
	int fd = !handle ? -1 : handle->folder ? dirfd(handle->folder) : handle->fd;
	if (type == FSTAT) {
		answer_attributes(fstat(fd, &info), &info);
		return;
	}
	get_attributes(&attributes);
	if (fd < 0)
		answer_errno(EBADF);
	else if (!is_malformed)
		set_attributes("", fd, &attributes);
}

static void take_request(enum type type)
{
	switch (type) {
	case OPEN:
		open_file();
		break;
	case CLOSE:
		close_handle();
		break;
	case READ:
		read_file_part();
		break;
	case WRITE:
		write_file_part();
		break;
	case FSTAT:
	case FSETSTAT:
		take_file(type);
		break;
	case OPENDIR:
		open_folder();
		break;
	case READDIR:
		read_folder();
		break;
	case REALPATH:
		real_path();
		break;
	case READLINK:
		read_link();
		break;
	case RENAME:
	case SYMLINK:
		take_two_paths(type);
		break;
	case LSTAT:
	case STAT:
	case SETSTAT:
	case MKDIR:
	case RMDIR:
	case REMOVE:
		take_path(type);
		break;
	case EXTENDED:
		take_extended();
		break;
	default:
		answer_status(OP_UNSUPPORTED, "This request is not known");
	}
	if (is_malformed)
		answer_status(BAD_MESSAGE, "The request is malformed");
}

static void answer_version(void)
{
	static const char *const extensions[][2] = {
		{ "posix-rename@openssh.com", "1" }, { "hardlink@openssh.com", "1" }, { "fsync@openssh.com", "1" },
		{ "statvfs@openssh.com", "2" },	     { "fstatvfs@openssh.com", "2" }, { "limits@openssh.com", "1" },
	};
	begin(OPEN_VERSION);
	put32(VERSION);
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
		put_text(extensions[i][0]);
		put_text(extensions[i][1]);
	}
	finish();
}

int sftp_serve(char **arguments)
{
	uint8_t header[5];
	(void)arguments;
	const char *home = getenv("HOME");
	if ((!home || chdir(home) < 0) && chdir("/") < 0)
		return 1;
	while (read_exactly(header, sizeof header)) {
		uint32_t length = big32(header);
		if (length < 5 || length - 1 > sizeof in || !read_exactly(in, length - 1))
			return 1;
		in_at = 0;
		in_length = length - 1;
		is_malformed = false;
		request = header[4] == INIT ? 0 : get32();
		if (header[4] == INIT)
			answer_version();
		else
			take_request(header[4]);
	}
	return 0;
}
