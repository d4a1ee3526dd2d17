#include "files/changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_DIRECTORIES 8192
#define MAX_DEPTH 128
#define WATCHED (IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)

/* The watched directories, or the watched path itself if it is not one. */
static struct directory {
	int watch;
	char *path;
} directories[MAX_DIRECTORIES];
static int directory_count;

static int inotify;
static bool is_recursive;

static void report(enum change change, const char *directory, const char *name, bool is_directory)
{
	static uint8_t bytes[PATH_MAX + NAME_MAX + 64], entry[sizeof bytes + 8];
	char path[PATH_MAX + NAME_MAX + 2];
	struct field_writer one = { .bytes = bytes, .size = sizeof bytes };
	struct field_writer all = { .bytes = entry, .size = sizeof entry };
	snprintf(path, sizeof path, "%s%s%s", directory, name[0] && strcmp(directory, "/") != 0 ? "/" : "", name);
	field_put_number(&one, TAG_KIND, change);
	field_put_text(&one, TAG_PATH, path);
	if (is_directory)
		field_put_number(&one, TAG_FILE_MODE, S_IFDIR);
	field_put(&all, TAG_ENTRY, one.bytes, one.length);
	reply_put_fields(&all);
}

static struct directory *directory_of(int watch)
{
	for (int i = 0; i < directory_count; i++) {
		if (directories[i].watch == watch)
			return &directories[i];
	}
	return NULL;
}

static void forget(struct directory *directory)
{
	free(directory->path);
	*directory = directories[--directory_count];
}

/* Removes the watches of a directory that was moved or removed, and of all below it. */
static void forget_tree(const char *path)
{
	size_t length = strlen(path);
	for (int i = directory_count - 1; i >= 0; i--) {
		const char *other = directories[i].path;
		if (strncmp(other, path, length) == 0 && (other[length] == 0 || other[length] == '/')) {
			inotify_rm_watch(inotify, directories[i].watch);
			forget(&directories[i]);
		}
	}
}

/* False if it no longer exists or too many are watched: its changes are then missed. */
static bool watch_one(const char *path)
{
	int watch = directory_count < MAX_DIRECTORIES ? inotify_add_watch(inotify, path, WATCHED | IN_DONT_FOLLOW) : -1;
	if (watch < 0)
		return errno == ENOENT || errno == ENOTDIR;
	struct directory *known = directory_of(watch);
	char *copy = strdup(path);
	if (!copy)
		return false;
	if (known)
		forget(known);
	directories[directory_count++] = (struct directory){ .watch = watch, .path = copy };
	return true;
}

/*
 * A new directory is reported once it is watched, so that later changes in it are not missed. Its entries at that
 * time are reported as new, since they may have been created before the watch.
 */
static void watch_tree(const char *path, bool reports, int depth)
{
	struct dirent *entry;
	DIR *directory;
	bool is_watched = watch_one(path);
	if (reports)
		report(CHANGE_CREATED, path, "", true);
	if (!is_watched) {
		report(CHANGE_OVERFLOW, path, "", true);
		return;
	}
	if (!is_recursive || depth == MAX_DEPTH || !(directory = opendir(path)))
		return;
	while ((entry = readdir(directory))) {
		struct stat info;
		char below[PATH_MAX];
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    snprintf(below, sizeof below, "%s%s%s", path, strcmp(path, "/") == 0 ? "" : "/", name) >= (int)sizeof below ||
		    fstatat(dirfd(directory), name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(info.st_mode))
			watch_tree(below, reports, depth + 1);
		else if (reports)
			report(CHANGE_CREATED, path, name, false);
	}
	closedir(directory);
}

/* False when the watched path itself was removed. */
static bool take(const struct inotify_event *event, const char *root)
{
	char path[PATH_MAX];
	const char *name = event->len > 0 ? event->name : "";
	bool is_directory = event->mask & IN_ISDIR;
	struct directory *directory = directory_of(event->wd);
	if (event->mask & IN_Q_OVERFLOW)
		report(CHANGE_OVERFLOW, root, "", true);
	if (!directory)
		return true;
	bool is_root = strcmp(directory->path, root) == 0;
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		if (is_root)
			report(CHANGE_REMOVED, root, "", is_directory);
		else if (event->mask & IN_IGNORED)
			forget(directory);
		return !is_root;
	}
	/* A directory's own changes are reported by the watch of its parent. */
	if (!name[0] && is_directory && !is_root)
		return true;
	snprintf(path, sizeof path, "%s", directory->path);
	if (event->mask & IN_MODIFY)
		report(CHANGE_CHANGED, path, name, is_directory);
	if (event->mask & IN_ATTRIB)
		report(CHANGE_ATTRIBUTES, path, name, is_directory);
	if (event->mask & (IN_DELETE | IN_MOVED_FROM))
		report(CHANGE_REMOVED, path, name, is_directory);
	if (event->mask & (IN_CREATE | IN_MOVED_TO) && !(is_recursive && is_directory))
		report(CHANGE_CREATED, path, name, is_directory);
	if (!is_recursive || !is_directory)
		return true;
	size_t length = strlen(path);
	if (snprintf(path + length, sizeof path - length, "%s%s", strcmp(path, "/") == 0 ? "" : "/", name) >= (int)(sizeof path - length)) {
		report(CHANGE_OVERFLOW, directory->path, "", true);
		return true;
	}
	if (event->mask & IN_MOVED_FROM)
		forget_tree(path);
	if (event->mask & (IN_CREATE | IN_MOVED_TO))
		watch_tree(path, true, 1);
	return true;
}

int changes_watch(char **arguments)
{
	static uint8_t bytes[65536] __attribute__((aligned(__alignof__(struct inotify_event))));
	static char root[PATH_MAX];
	is_recursive = arguments[1][0] != 0;
	/* A symlink to a directory is followed. */
	if (!realpath(arguments[0], root))
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	inotify = inotify_init1(IN_CLOEXEC);
	if (inotify < 0)
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	watch_tree(root, false, 0);
	if (directory_count == 0)
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	report(CHANGE_READY, root, "", false);
	for (;;) {
		/* A closed stdout is noticed without waiting for a change to write. */
		struct pollfd polled[2] = { { .fd = inotify, .events = POLLIN }, { .fd = STDOUT_FILENO } };
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
		if (polled[1].revents & (POLLERR | POLLHUP))
			return 0;
		ssize_t count = polled[0].revents ? read(inotify, bytes, sizeof bytes) : 0;
		for (ssize_t at = 0; at < count;) {
			const struct inotify_event *event = (const void *)(bytes + at);
			if (!take(event, root))
				return 0;
			at += (ssize_t)(sizeof *event + event->len);
		}
	}
}
