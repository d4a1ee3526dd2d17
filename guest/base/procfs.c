#include "base/procfs.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

int procfs_split(char *line, const char *blanks, char **words, int most)
{
	int count = 0;
	char *rest;
	for (char *word = strtok_r(line, blanks, &rest); word && count < most; word = strtok_r(NULL, blanks, &rest))
		words[count++] = word;
	return count;
}

uint64_t procfs_number(const char *word)
{
	return strtoull(word, NULL, 10);
}

bool procfs_init_is_systemd(void)
{
	char name[32];
	return read_file("/proc/1/comm", name, sizeof name) > 0 && strcmp(name, "systemd\n") == 0;
}
