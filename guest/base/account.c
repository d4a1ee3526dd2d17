#include "base/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 7
#define MAX_LINE_BYTES 8192

/* Splits a line at its colons, in place. */
static int split(char *line, char **columns)
{
	int count = 0;
	line[strcspn(line, "\n")] = 0;
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
	char line[MAX_LINE_BYTES];
	unsigned uid, gid, wanted = 0;
	bool numeric = parse_number(name, &wanted);
	bool found = false;
	FILE *file = fopen("/etc/passwd", "re");
	while (file && !found && fgets(line, sizeof line, file)) {
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
	if (file)
		fclose(file);
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
	char line[MAX_LINE_BYTES];
	bool found = !group || parse_number(group, &account->gid);
	FILE *file = fopen("/etc/group", "re");
	while (file && fgets(line, sizeof line, file)) {
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
	if (file)
		fclose(file);
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
