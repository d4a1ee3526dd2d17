#include "programs/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/procfs.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_PROCESSES 4096
#define MAX_COMMAND_BYTES 512
/* USER_HZ, the unit of /proc/PID/stat, is the same on all architectures. */
#define MS_PER_TICK 10
#define KERNEL_THREADS_PARENT 2

/* Fields of /proc/PID/stat after the name. */
enum { STAT_STATE = 0, STAT_PARENT = 1, STAT_USER = 11, STAT_SYSTEM = 12, STAT_STARTED = 19, STAT_RESIDENT = 21, STAT_WORDS = 22 };

/* The name is in parentheses and may contain any character, so its end is searched from the right. */
static void put_process(const char *pid, long page_bytes)
{
	char path[64], stat_text[1024], command[MAX_COMMAND_BYTES];
	struct stat info;
	uint8_t bytes[MAX_COMMAND_BYTES + 512], outer[sizeof bytes + 8];
	struct field_writer one = { .bytes = bytes, .size = sizeof bytes };
	struct field_writer all = { .bytes = outer, .size = sizeof outer };
	char *words[STAT_WORDS];
	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	if (read_file(path, stat_text, sizeof stat_text) <= 0 || stat(path, &info) < 0)
		return;
	char *begin = strchr(stat_text, '('), *end = strrchr(stat_text, ')');
	if (!begin || !end || procfs_split(end + 1, " \n", words, STAT_WORDS) < STAT_WORDS)
		return;
	uint64_t parent = procfs_number(words[STAT_PARENT]);
	if (parent == KERNEL_THREADS_PARENT || procfs_number(pid) == KERNEL_THREADS_PARENT)
		return;
	*end = 0;
	field_put_number(&one, TAG_PID, procfs_number(pid));
	field_put_number(&one, TAG_PARENT, parent);
	field_put_text(&one, TAG_FILE_NAME, begin + 1);
	field_put(&one, TAG_STATE, words[STAT_STATE], 1);
	field_put_number(&one, TAG_FILE_UID, info.st_uid);
	field_put_number(&one, TAG_CPU_USER_MS, procfs_number(words[STAT_USER]) * MS_PER_TICK);
	field_put_number(&one, TAG_CPU_SYSTEM_MS, procfs_number(words[STAT_SYSTEM]) * MS_PER_TICK);
	field_put_number(&one, TAG_RESIDENT_BYTES, procfs_number(words[STAT_RESIDENT]) * (uint64_t)page_bytes);
	field_put_number(&one, TAG_UPTIME_MS, procfs_number(words[STAT_STARTED]) * MS_PER_TICK);
	snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
	ssize_t length = read_file(path, command, sizeof command);
	for (ssize_t i = 0; i + 1 < length; i++)
		command[i] = command[i] ? command[i] : ' ';
	if (length > 0)
		field_put_text(&one, TAG_TEXT, command);
	field_put(&all, TAG_ENTRY, one.bytes, one.length);
	reply_put_fields(&all);
}

int processes_list(char **arguments)
{
	struct dirent *entry;
	long page_bytes = sysconf(_SC_PAGESIZE);
	DIR *directory = opendir("/proc");
	(void)arguments;
	if (!directory)
		reply_fail_errno("Cannot list the processes");
	for (int count = 0; count < MAX_PROCESSES && (entry = readdir(directory));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		put_process(entry->d_name, page_bytes);
		count++;
	}
	closedir(directory);
	return 0;
}
