#include "files/tarout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files/tar.h"
#include "wire/reply.h"

#define MAX_DEPTH 512
#define MAX_PARTS 4096
#define MAX_XATTR_NAMES_BYTES 65536
#define MAX_XATTR_BYTES 65536
/* Names of hard-linked files; those that do not fit are archived as separate files. */
#define LINKS_BYTES (8 * 1024 * 1024)
#define LINK_BUCKETS 4096
#define OUT_BYTES 65536
#define SEND_BYTES (1024 * 1024)
#define OCTAL_7_DIGITS 07777777ULL
#define OCTAL_11_DIGITS 077777777777ULL

static char path[TAR_MAX_PATH_BYTES];
static size_t path_length;
/* Records of a tree instead of an archive. */
static bool is_tree;

static uint8_t out[OUT_BYTES];
static size_t out_length;

static void flush(void)
{
	reply_put(out, out_length);
	out_length = 0;
}

static void put(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	while (length > 0) {
		size_t count = OUT_BYTES - out_length < length ? OUT_BYTES - out_length : length;
		memcpy(out + out_length, at, count);
		out_length += count;
		at += count;
		length -= count;
		if (out_length == OUT_BYTES)
			flush();
	}
}

static void put_zeros(uint64_t count)
{
	static const uint8_t zeros[TAR_BLOCK_BYTES];
	for (; count > 0; count -= count < sizeof zeros ? count : sizeof zeros)
		put(zeros, count < sizeof zeros ? (size_t)count : sizeof zeros);
}

static void pad(uint64_t length)
{
	put_zeros((TAR_BLOCK_BYTES - length % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}

/* -------------------------------------------------------------------- headers */

static uint8_t pax[TAR_MAX_PAX_BYTES];
static size_t pax_length;

static void pax_put(const char *key, const void *value, size_t length)
{
	char number[32];
	size_t rest = 1 + strlen(key) + 1 + length + 1;
	size_t size = rest + 1;
	/* The length includes its own digits. */
	while ((size_t)snprintf(number, sizeof number, "%zu", size) + rest != size)
		size = rest + strlen(number);
	if (size > sizeof pax - pax_length)
		reply_fail("limit_exceeded", "Cannot archive \"%.100s\": too many extended attributes", path);
	pax_length += (size_t)sprintf((char *)pax + pax_length, "%s %s=", number, key);
	memcpy(pax + pax_length, value, length);
	pax_length += length;
	pax[pax_length++] = '\n';
}

static void pax_number(const char *key, uint64_t number)
{
	char text[32];
	pax_put(key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

static void pax_time(const struct timespec *time)
{
	char text[48];
	long long seconds = time->tv_sec;
	long ns = time->tv_nsec;
	const char *sign = "";
	if (seconds < 0) {
		sign = "-";
		seconds = ns ? -seconds - 1 : -seconds;
		ns = ns ? NS_PER_S - ns : 0;
	}
	pax_put("mtime", text, (size_t)snprintf(text, sizeof text, "%s%lld.%09ld", sign, seconds, ns));
}

static void octal(char *field, size_t digits, uint64_t number)
{
	for (size_t i = digits; i > 0; i--, number >>= 3)
		field[i - 1] = (char)('0' + (number & 7));
	field[digits] = 0;
}

/* Truncates to the field's size; a pax record holds the whole text. */
static void put_text(char *field, size_t size, const char *text)
{
	size_t length = strnlen(text, size);
	memcpy(field, text, length);
}

static void put_header(struct tar_header *header)
{
	unsigned sum = 0;
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	memset(header->checksum, ' ', sizeof header->checksum);
	for (size_t i = 0; i < sizeof *header; i++)
		sum += ((const uint8_t *)header)[i];
	octal(header->checksum, 6, sum);
	put(header, sizeof *header);
}

static void put_pax(void)
{
	struct tar_header header = { .type = 'x' };
	if (pax_length == 0)
		return;
	put_text(header.name, sizeof header.name, "PaxHeaders/entry");
	octal(header.mode, 7, 0644);
	octal(header.uid, 7, 0);
	octal(header.gid, 7, 0);
	octal(header.size, 11, pax_length);
	octal(header.mtime, 11, 0);
	put_header(&header);
	put(pax, pax_length);
	pad(pax_length);
	pax_length = 0;
}

/* Adds records for values that the header cannot hold. */
static void put_entry(const struct stat *info, const char *name, char type, const char *link, uint64_t size)
{
	struct tar_header header = { .type = type };
	bool is_device = type == '3' || type == '4';
	if (strlen(name) > sizeof header.name)
		pax_put("path", name, strlen(name));
	if (strlen(link) > sizeof header.link)
		pax_put("linkpath", link, strlen(link));
	if (size > OCTAL_11_DIGITS)
		pax_number("size", size);
	if (info->st_uid > OCTAL_7_DIGITS)
		pax_number("uid", info->st_uid);
	if (info->st_gid > OCTAL_7_DIGITS)
		pax_number("gid", info->st_gid);
	bool is_whole = info->st_mtim.tv_nsec == 0 && info->st_mtim.tv_sec >= 0 && (uint64_t)info->st_mtim.tv_sec <= OCTAL_11_DIGITS;
	if (!is_whole)
		pax_time(&info->st_mtim);
	put_pax();
	put_text(header.name, sizeof header.name, name);
	put_text(header.link, sizeof header.link, link);
	octal(header.mode, 7, info->st_mode & 07777);
	octal(header.uid, 7, info->st_uid > OCTAL_7_DIGITS ? 0 : info->st_uid);
	octal(header.gid, 7, info->st_gid > OCTAL_7_DIGITS ? 0 : info->st_gid);
	octal(header.size, 11, size > OCTAL_11_DIGITS ? 0 : size);
	octal(header.mtime, 11, info->st_mtim.tv_sec < 0 ? 0 : (uint64_t)info->st_mtim.tv_sec & OCTAL_11_DIGITS);
	octal(header.major, 7, is_device ? major(info->st_rdev) : 0);
	octal(header.minor, 7, is_device ? minor(info->st_rdev) : 0);
	put_header(&header);
}

/* Adds the extended attributes of `place`, a path through /proc. */
static void pax_xattrs(const char *place)
{
	static char names[MAX_XATTR_NAMES_BYTES], value[MAX_XATTR_BYTES];
	char key[32 + XATTR_NAME_MAX];
	ssize_t length = llistxattr(place, names, sizeof names);
	for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(place, name, value, sizeof value);
		if (size < 0 || strchr(name, '='))
			continue;
		snprintf(key, sizeof key, "SCHILY.xattr.%.*s", XATTR_NAME_MAX, name);
		pax_put(key, value, (size_t)size);
	}
}

/* ----------------------------------------------------------------- hard links */

struct linked {
	uint32_t next;
	dev_t device;
	ino_t inode;
	char name[];
};

static uint32_t buckets[LINK_BUCKETS];
static uint8_t links[LINKS_BYTES] __attribute__((aligned(8)));
static size_t links_length = 8;

/* The name of an earlier link to the file in the archive; NULL, and remembered, for the first. */
static const char *find_link(const struct stat *info)
{
	uint32_t *bucket = &buckets[(info->st_ino ^ info->st_dev) % LINK_BUCKETS];
	for (uint32_t at = *bucket; at != 0;) {
		struct linked *linked = (struct linked *)(links + at);
		if (linked->device == info->st_dev && linked->inode == info->st_ino)
			return linked->name;
		at = linked->next;
	}
	size_t size = (sizeof(struct linked) + path_length + 1 + 7) & ~(size_t)7;
	if (size > LINKS_BYTES - links_length)
		return NULL;
	struct linked *linked = (struct linked *)(links + links_length);
	linked->device = info->st_dev;
	linked->inode = info->st_ino;
	linked->next = *bucket;
	memcpy(linked->name, path, path_length + 1);
	*bucket = (uint32_t)links_length;
	links_length += size;
	return NULL;
}

/* ------------------------------------------------------------------ file data */

static struct tar_part parts[MAX_PARTS];

/* Finds the data segments; 0 if the file has no holes. Holes beyond the table's size are archived as data. */
static size_t find_parts(int fd, const struct stat *info)
{
	size_t count = 0;
	off_t at = 0;
	if (info->st_blocks * 512 >= info->st_size)
		return 0;
	while (at < info->st_size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return 0;
		if (data < 0 || data >= info->st_size)
			break;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > info->st_size || count == MAX_PARTS - 2)
			hole = info->st_size;
		parts[count].offset = (uint64_t)data;
		parts[count++].length = (uint64_t)(hole - data);
		at = hole;
	}
	if (count == 1 && parts[0].offset == 0 && parts[0].length == (uint64_t)info->st_size)
		return 0;
	/* An empty segment marks the end of the file. */
	if (at < info->st_size || count == 0) {
		parts[count].offset = (uint64_t)info->st_size;
		parts[count++].length = 0;
	}
	return count;
}

/* A file that was truncated meanwhile is padded: its header has been written. */
static void put_data(int fd, uint64_t offset, uint64_t length)
{
	off_t at = (off_t)offset;
	flush();
	while (length > 0) {
		size_t wanted = length < SEND_BYTES ? (size_t)length : SEND_BYTES;
		ssize_t count = sendfile(STDOUT_FILENO, fd, &at, wanted);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && (errno == EINVAL || errno == ENOSYS)) {
			count = pread(fd, out, length < OUT_BYTES ? (size_t)length : OUT_BYTES, at);
			if (count > 0) {
				reply_put(out, (size_t)count);
				at += count;
			}
		}
		if (count < 0)
			reply_fail_errno("Cannot read \"%.100s\"", path);
		if (count == 0)
			break;
		length -= (uint64_t)count;
	}
	put_zeros(length);
}

static void put_sparse(int fd, const struct stat *info, size_t count)
{
	static char map[MAX_PARTS * 48];
	uint64_t data = 0;
	size_t length = (size_t)sprintf(map, "%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		length += (size_t)sprintf(map + length, "%llu\n%llu\n", parts[i].offset, parts[i].length);
		data += parts[i].length;
	}
	uint64_t padded = (length + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
	pax_number("GNU.sparse.major", 1);
	pax_number("GNU.sparse.minor", 0);
	pax_put("GNU.sparse.name", path, path_length);
	pax_number("GNU.sparse.realsize", (uint64_t)info->st_size);
	put_entry(info, "GNUSparseFile.0/entry", '0', "", padded + data);
	put(map, length);
	pad(length);
	for (size_t i = 0; i < count; i++)
		put_data(fd, parts[i].offset, parts[i].length);
	pad(data);
}

static void put_file(int fd, const struct stat *info)
{
	const char *first = info->st_nlink > 1 ? find_link(info) : NULL;
	if (first) {
		pax_length = 0;
		put_entry(info, path, '1', first, 0);
		return;
	}
	size_t count = find_parts(fd, info);
	if (count > 0) {
		put_sparse(fd, info, count);
		return;
	}
	put_entry(info, path, '0', "", (uint64_t)info->st_size);
	put_data(fd, 0, (uint64_t)info->st_size);
	pad((uint64_t)info->st_size);
}

/* -------------------------------------------------------------------- the tree */

static void put_thing(int directory, const char *name, int depth);

/* Kernel file systems. */
static bool is_virtual(int fd)
{
	struct statfs info;
	if (fstatfs(fd, &info) < 0)
		return false;
	switch ((unsigned long)info.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case BPF_FS_MAGIC:
	case PSTOREFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static void put_directory(int fd, const struct stat *info, int depth)
{
	struct dirent *entry;
	size_t length = path_length;
	if (path_length == 0 || path[path_length - 1] != '/')
		path[path_length++] = '/';
	path[path_length] = 0;
	if (!is_tree)
		put_entry(info, path, '5', "", 0);
	if (depth == MAX_DEPTH)
		reply_fail("limit_exceeded", "Cannot archive directories nested more than %d levels deep", MAX_DEPTH);
	DIR *directory = is_virtual(fd) ? NULL : fdopendir(fd);
	if (!directory)
		close(fd);
	while (directory && (entry = readdir(directory))) {
		const char *name = entry->d_name;
		size_t start = path_length;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		/* One byte is reserved for a directory's slash. */
		if (strlen(name) + 2 > sizeof path - path_length)
			reply_fail("limit_exceeded", "Cannot archive \"%.100s\": its path is too long", path);
		strcpy(path + path_length, name);
		path_length += strlen(name);
		put_thing(dirfd(directory), name, depth + 1);
		path_length = start;
		path[path_length] = 0;
	}
	if (directory)
		closedir(directory);
	path_length = length;
	path[path_length] = 0;
}

static void put_symlink(int directory, const char *name, const struct stat *info)
{
	static char target[TAR_MAX_PATH_BYTES];
	ssize_t length = readlinkat(directory, name, target, sizeof target - 1);
	if (length < 0)
		reply_fail_errno("Cannot read \"%.100s\"", path);
	target[length] = 0;
	put_entry(info, path, '2', target, 0);
}

static void put_record(int directory, const char *name, const struct stat *info)
{
	static char target[TAR_MAX_PATH_BYTES];
	int length = sprintf(target, "%o %lld %lld.%09ld ", info->st_mode, (long long)info->st_size, (long long)info->st_mtim.tv_sec, info->st_mtim.tv_nsec);
	put(target, (size_t)length);
	put(path, path_length + 1);
	if (!S_ISLNK(info->st_mode))
		return;
	ssize_t size = readlinkat(directory, name, target, sizeof target - 1);
	target[size < 0 ? 0 : size] = 0;
	put(target, strlen(target) + 1);
}

/* Opens the file only if it is still the same one; files that have vanished are skipped. */
static int open_same(int directory, const char *name, struct stat *info)
{
	struct stat opened;
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0 || fstat(fd, &opened) < 0)
		reply_fail_errno("Cannot open \"%.100s\"", path);
	if ((opened.st_mode & S_IFMT) == (info->st_mode & S_IFMT)) {
		*info = opened;
		return fd;
	}
	close(fd);
	return -1;
}

static void put_thing(int directory, const char *name, int depth)
{
	struct stat info;
	char place[64 + 256];
	if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT && depth > 0)
			return;
		reply_fail_errno("Cannot stat \"%.100s\"", path);
	}
	if (is_tree) {
		put_record(directory, name, &info);
		int fd = S_ISDIR(info.st_mode) ? open_same(directory, name, &info) : -1;
		if (fd >= 0)
			put_directory(fd, &info, depth);
		return;
	}
	if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) {
		int fd = open_same(directory, name, &info);
		if (fd < 0)
			return;
		snprintf(place, sizeof place, "/proc/self/fd/%d/.", fd);
		if (S_ISREG(info.st_mode))
			snprintf(place, sizeof place, "/proc/self/fd/%d/%.255s", directory, name);
		pax_xattrs(place);
		if (S_ISREG(info.st_mode)) {
			put_file(fd, &info);
			close(fd);
		} else {
			put_directory(fd, &info, depth);
		}
		return;
	}
	snprintf(place, sizeof place, "/proc/self/fd/%d/%.255s", directory, name);
	if (!S_ISSOCK(info.st_mode))
		pax_xattrs(place);
	if (S_ISLNK(info.st_mode))
		put_symlink(directory, name, &info);
	else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode) || S_ISFIFO(info.st_mode))
		put_entry(&info, path, S_ISCHR(info.st_mode) ? '3' : S_ISBLK(info.st_mode) ? '4' : '6', "", 0);
}

/* Splits a path into its parent, opened through symlinks, and its last component. */
static void put_path(const char *source, const char *wanted, bool may_vanish)
{
	static char parent[TAR_MAX_PATH_BYTES + 1];
	const char *name = ".";
	if (snprintf(parent, sizeof parent, "%s", source) >= TAR_MAX_PATH_BYTES || strlen(wanted) >= sizeof path - 2)
		reply_fail("invalid_argument", "The path is longer than %d bytes", TAR_MAX_PATH_BYTES);
	path_length = (size_t)sprintf(path, "%s", wanted);
	size_t length = strlen(parent);
	while (length > 1 && parent[length - 1] == '/')
		parent[--length] = 0;
	char *slash = strrchr(parent, '/');
	const char *last = slash ? slash + 1 : parent;
	if (strcmp(last, "") != 0 && strcmp(last, ".") != 0 && strcmp(last, "..") != 0) {
		name = last;
		if (slash)
			*slash = 0;
	}
	int directory = open(name == parent ? "." : parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 && may_vanish && (errno == ENOENT || errno == ENOTDIR))
		return;
	if (directory < 0)
		reply_fail_errno("Cannot open the parent directory of \"%.100s\"", source);
	put_thing(directory, name, may_vanish);
	close(directory);
}

int tar_out(char **arguments)
{
	bool is_list = arguments[0] && arguments[1] && arguments[2];
	for (; arguments[0] && arguments[1]; arguments += 2)
		put_path(arguments[0], arguments[1], is_list);
	put_zeros(2 * TAR_BLOCK_BYTES);
	flush();
	return 0;
}

int tar_tree(char **arguments)
{
	is_tree = true;
	put_path(arguments[0], "", false);
	flush();
	return 0;
}
