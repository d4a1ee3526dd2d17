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

#define MAX_FOLDERS 8192
#define MAX_DEPTH 128
#define WATCHED (IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)

/* Each folder that is watched, and for a path that is none, the path itself. */
static struct folder {
	int watch;
	char *path;
} folders[MAX_FOLDERS];
static int folder_count;

static int inotify;
static bool is_recursive;

static void tell(enum change change, const char *folder, const char *name, bool is_folder)
{
	static uint8_t bytes[PATH_MAX + NAME_MAX + 64], entry[sizeof bytes + 8];
	char path[PATH_MAX + NAME_MAX + 2];
	struct field_writer one = { .bytes = bytes, .size = sizeof bytes };
	struct field_writer all = { .bytes = entry, .size = sizeof entry };
	snprintf(path, sizeof path, "%s%s%s", folder, name[0] && strcmp(folder, "/") != 0 ? "/" : "", name);
	field_put_number(&one, TAG_KIND, change);
	field_put_text(&one, TAG_PATH, path);
	if (is_folder)
		field_put_number(&one, TAG_FILE_MODE, S_IFDIR);
	field_put(&all, TAG_ENTRY, one.bytes, one.length);
	reply_put_fields(&all);
}

static struct folder *folder_of(int watch)
{
	for (int i = 0; i < folder_count; i++) {
		if (folders[i].watch == watch)
			return &folders[i];
	}
	return NULL;
}

static void forget(struct folder *folder)
{
	free(folder->path);
	*folder = folders[--folder_count];
}

/* It and what is below it, which has another path now or none. */
static void forget_tree(const char *path)
{
	size_t length = strlen(path);
	for (int i = folder_count - 1; i >= 0; i--) {
		const char *other = folders[i].path;
		if (strncmp(other, path, length) == 0 && (other[length] == 0 || other[length] == '/')) {
			inotify_rm_watch(inotify, folders[i].watch);
			forget(&folders[i]);
		}
	}
}

/* False if it is gone, or too many are watched: what happens in it is then not seen. */
static bool watch_one(const char *path)
{
	int watch = folder_count < MAX_FOLDERS ? inotify_add_watch(inotify, path, WATCHED | IN_DONT_FOLLOW) : -1;
	if (watch < 0)
		return errno == ENOENT || errno == ENOTDIR;
	struct folder *known = folder_of(watch);
	char *copy = strdup(path);
	if (!copy)
		return false;
	if (known)
		forget(known);
	folders[folder_count++] = (struct folder){ .watch = watch, .path = copy };
	return true;
}

/*
 * A new folder is told of once it is watched: who then writes into it finds it told. What is in it by then is
 * told as new, since it may have come before the watch did.
 */
static void watch_tree(const char *path, bool tells, int depth)
{
	struct dirent *entry;
	DIR *folder;
	bool is_watched = watch_one(path);
	if (tells)
		tell(CHANGE_CREATED, path, "", true);
	if (!is_watched) {
		tell(CHANGE_OVERFLOW, path, "", true);
		return;
	}
	if (!is_recursive || depth == MAX_DEPTH || !(folder = opendir(path)))
		return;
	while ((entry = readdir(folder))) {
		struct stat info;
		char below[PATH_MAX];
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    snprintf(below, sizeof below, "%s%s%s", path, strcmp(path, "/") == 0 ? "" : "/", name) >= (int)sizeof below ||
		    fstatat(dirfd(folder), name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(info.st_mode))
			watch_tree(below, tells, depth + 1);
		else if (tells)
			tell(CHANGE_CREATED, path, name, false);
	}
	closedir(folder);
}

/* False when the watched path itself is gone. */
static bool take(const struct inotify_event *event, const char *root)
{
	char path[PATH_MAX];
	const char *name = event->len > 0 ? event->name : "";
	bool is_folder = event->mask & IN_ISDIR;
	struct folder *folder = folder_of(event->wd);
	if (event->mask & IN_Q_OVERFLOW)
		tell(CHANGE_OVERFLOW, root, "", true);
	if (!folder)
		return true;
	bool is_root = strcmp(folder->path, root) == 0;
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		if (is_root)
			tell(CHANGE_REMOVED, root, "", is_folder);
		else if (event->mask & IN_IGNORED)
			forget(folder);
		return !is_root;
	}
	/* Of a folder itself its own entry in the one above tells. */
	if (!name[0] && is_folder && !is_root)
		return true;
	snprintf(path, sizeof path, "%s", folder->path);
	if (event->mask & IN_MODIFY)
		tell(CHANGE_CHANGED, path, name, is_folder);
	if (event->mask & IN_ATTRIB)
		tell(CHANGE_ATTRIBUTES, path, name, is_folder);
	if (event->mask & (IN_DELETE | IN_MOVED_FROM))
		tell(CHANGE_REMOVED, path, name, is_folder);
	if (event->mask & (IN_CREATE | IN_MOVED_TO) && !(is_recursive && is_folder))
		tell(CHANGE_CREATED, path, name, is_folder);
	if (!is_recursive || !is_folder)
		return true;
	size_t length = strlen(path);
	if (snprintf(path + length, sizeof path - length, "%s%s", strcmp(path, "/") == 0 ? "" : "/", name) >= (int)(sizeof path - length)) {
		tell(CHANGE_OVERFLOW, folder->path, "", true);
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
	/* A link to a folder stands for the folder. */
	if (!realpath(arguments[0], root))
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	inotify = inotify_init1(IN_CLOEXEC);
	if (inotify < 0)
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	watch_tree(root, false, 0);
	if (folder_count == 0)
		reply_fail_errno("Cannot watch \"%.100s\"", arguments[0]);
	tell(CHANGE_READY, root, "", false);
	for (;;) {
		/* When nobody reads any more, nothing may ever happen that a write could tell it by. */
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
