#include "base/account.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_COLUMNS 7
#define MAX_LINE_BYTES 8192

/* Lines of a file. stdio would map and unmap memory for each, which is dear where nothing is translated yet. */
struct lines {
	int fd;
	size_t at;
	size_t end;
	char bytes[MAX_LINE_BYTES];
};

/* The next line without its end, or a part of one that is too long; NULL after the last. */
static char *next_line(struct lines *lines)
{
	for (;;) {
		char *line = lines->bytes + lines->at;
		char *end = memchr(line, '\n', lines->end - lines->at);
		size_t left = lines->end - lines->at;
		if (end || left == sizeof lines->bytes - 1) {
			lines->at = end ? (size_t)(end + 1 - lines->bytes) : lines->end;
			*(end ? end : lines->bytes + lines->end) = 0;
			return line;
		}
		memmove(lines->bytes, line, left);
		lines->at = 0;
		lines->end = left;
		ssize_t count = lines->fd < 0 ? 0 : read(lines->fd, lines->bytes + left, sizeof lines->bytes - 1 - left);
		if (count > 0) {
			lines->end += (size_t)count;
			continue;
		}
		lines->at = lines->end;
		lines->bytes[left] = 0;
		return left > 0 ? lines->bytes : NULL;
	}
}

static void open_lines(struct lines *lines, const char *path)
{
	lines->fd = open(path, O_RDONLY | O_CLOEXEC);
	lines->at = lines->end = 0;
}

static void close_lines(const struct lines *lines)
{
	if (lines->fd >= 0)
		close(lines->fd);
}

/* Splits a line at its colons, in place. */
static int split(char *line, char **columns)
{
	int count = 0;
	for (char *at = line; at && count < MAX_COLUMNS;) {
		columns[count++] = at;
		at = strchr(at, ':');
		if (at)
			*at++ = 0;
	}
	return count;
}

static bool parse_number(const char *text, unsigned *number)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || value >= 0xffffffffUL)
		return false;
	*number = (unsigned)value;
	return true;
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static bool find_user(const char *name, struct account *account)
{
	struct lines lines;
	unsigned uid, gid, wanted = 0;
	bool numeric = parse_number(name, &wanted);
	bool found = false;
	open_lines(&lines, "/etc/passwd");
	for (char *line = next_line(&lines); line && !found; line = next_line(&lines)) {
		char *columns[MAX_COLUMNS];
		if (split(line, columns) < 6 || !parse_number(columns[2], &uid) || !parse_number(columns[3], &gid))
			continue;
		if (numeric ? uid != wanted : strcmp(columns[0], name) != 0)
			continue;
		account->uid = uid;
		account->gid = gid;
		copy_text(account->name, sizeof account->name, columns[0]);
		copy_text(account->home, sizeof account->home, columns[5][0] ? columns[5] : "/");
		found = true;
	}
	close_lines(&lines);
	if (found)
		return true;
	if (numeric) {
		account->uid = wanted;
		account->gid = 0;
		copy_text(account->name, sizeof account->name, wanted == 0 ? "root" : name);
		copy_text(account->home, sizeof account->home, wanted == 0 ? "/root" : "/");
		return true;
	}
	if (strcmp(name, "root") != 0)
		return false;
	copy_text(account->name, sizeof account->name, "root");
	copy_text(account->home, sizeof account->home, "/root");
	return true;
}

static bool is_member(char *members, const char *name)
{
	char *rest = members;
	for (char *member = strsep(&rest, ","); member; member = strsep(&rest, ",")) {
		if (strcmp(member, name) == 0)
			return true;
	}
	return false;
}

/* Looks up the group `group`; without one, collects the user's supplementary groups. */
static bool read_groups(const char *group, struct account *account)
{
	struct lines lines;
	bool found = !group || parse_number(group, &account->gid);
	open_lines(&lines, "/etc/group");
	for (char *line = next_line(&lines); line; line = next_line(&lines)) {
		char *columns[MAX_COLUMNS];
		unsigned gid;
		if (split(line, columns) < 4 || !parse_number(columns[2], &gid))
			continue;
		if (!found && strcmp(columns[0], group) == 0) {
			account->gid = gid;
			found = true;
		}
		if (!group && account->group_count < MAX_GROUPS && is_member(columns[3], account->name))
			account->groups[account->group_count++] = gid;
	}
	close_lines(&lines);
	return found;
}

bool account_find(const char *user, struct account *account)
{
	char name[256];
	*account = (struct account){ .uid = 0 };
	if (strlen(user) >= sizeof name)
		return false;
	copy_text(name, sizeof name, user);
	char *group = strchr(name, ':');
	if (group)
		*group++ = 0;
	if (!find_user(name[0] ? name : "0", account))
		return false;
	return read_groups(group && *group ? group : NULL, account);
}
