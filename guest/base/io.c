#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void say_list(const char *format, va_list list, int error)
{
	char line[512];
	int length = vsnprintf(line, sizeof line, format, list);
	if (length < 0)
		return;
	if (error)
		dprintf(STDERR_FILENO, "banger: %s: %s\n", line, strerror(error));
	else
		dprintf(STDERR_FILENO, "banger: %s\n", line);
}

void say(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	say_list(format, list, 0);
	va_end(list);
}

void die(const char *format, ...)
{
	int error = errno;
	va_list list;
	va_start(list, format);
	say_list(format, list, error);
	va_end(list);
	tcdrain(STDERR_FILENO);
	_exit(1);
}

void format_path(char *buffer, size_t size, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int length = vsnprintf(buffer, size, format, list);
	va_end(list);
	errno = 0;
	if (length < 0 || (size_t)length >= size)
		die("Cannot build a path: longer than %zu bytes", size);
}

bool make_dirs(const char *path, mode_t mode)
{
	char part[4096];
	struct stat info;
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof part)
		return false;
	if (stat(path, &info) == 0)
		return S_ISDIR(info.st_mode);
	memcpy(part, path, length + 1);
	for (char *slash = part + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = 0;
		mkdir(part, 0755);
		*slash = '/';
	}
	if (mkdir(part, mode) == 0)
		return true;
	return errno == EEXIST && stat(part, &info) == 0 && S_ISDIR(info.st_mode);
}

ssize_t read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t length = 0;
	while (length < size - 1) {
		ssize_t count = read(fd, buffer + length, size - 1 - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			break;
		length += (size_t)count;
	}
	close(fd);
	buffer[length] = 0;
	return (ssize_t)length;
}

bool write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;
	while (length > 0) {
		ssize_t count = write(fd, at, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		at += count;
		length -= (size_t)count;
	}
	return true;
}

bool replace_file(const char *path, const void *bytes, size_t length, mode_t mode)
{
	char staging[512];
	format_path(staging, sizeof staging, "%s.banger-new", path);
	unlink(staging);
	int fd = open(staging, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return false;
	bool done = write_all(fd, bytes, length) && fchmod(fd, mode) == 0;
	close(fd);
	if (done && rename(staging, path) == 0)
		return true;
	int error = errno;
	unlink(staging);
	errno = error;
	return false;
}

bool overwrite_file(const char *path, const void *bytes, size_t length)
{
	struct stat info;
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1 && write_all(fd, bytes, length) &&
		    ((size_t)info.st_size <= length || ftruncate(fd, (off_t)length) == 0);
	close(fd);
	return done;
}

bool write_knob(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = write_all(fd, text, strlen(text));
	close(fd);
	return done;
}

bool copy_file(const char *from, const char *to, mode_t mode)
{
	char block[16384];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return false;
	unlink(to);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	bool done = out >= 0;
	while (done) {
		ssize_t count = read(in, block, sizeof block);
		if (count <= 0) {
			done = count == 0;
			break;
		}
		done = write_all(out, block, (size_t)count);
	}
	if (out >= 0) {
		done = fchmod(out, mode) == 0 && done;
		close(out);
	}
	close(in);
	return done;
}

uint64_t uptime_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
