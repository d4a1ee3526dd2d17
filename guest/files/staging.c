#include "files/staging.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char staged[4096 + 32];
static int staged_directory;
static int staged_fd = -1;

/* By the name, which is known before the file is there: a signal may come in between. */
static void remove_staged(void)
{
	if (staged[0])
		unlinkat(staged_directory, staged, 0);
}

/* The agent sends SIGHUP to a program whose caller is gone. */
static void cancelled(int signal_number)
{
	remove_staged();
	_exit(128 + signal_number);
}

int staging_open(int directory, const char *path)
{
	static bool is_prepared;
	if (!is_prepared) {
		is_prepared = true;
		atexit(remove_staged);
		signal(SIGHUP, cancelled);
		signal(SIGTERM, cancelled);
	}
	snprintf(staged, sizeof staged, "%s", path);
	staged_directory = directory;
	staged_fd = openat(directory, staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (staged_fd < 0)
		staged[0] = '\0';
	return staged_fd;
}

bool staging_commit(const char *target)
{
	if (renameat(staged_directory, staged, staged_directory, target) < 0)
		return false;
	int fd = staged_fd;
	staged[0] = '\0';
	return close(fd) == 0;
}
