#include "files/staging.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char staged[4096 + 32];
static int staged_directory;
static int staged_fd = -1;

static volatile sig_atomic_t is_opening, signal_meanwhile;

static void remove_staged(void)
{
	if (staged[0])
		unlinkat(staged_directory, staged, 0);
}

/*
 * The agent sends SIGHUP to a program whose caller is gone. While the file is created, it waits: only what follows
 * tells whether it is this program's own.
 */
static void cancelled(int signal_number)
{
	signal_meanwhile = signal_number;
	if (is_opening)
		return;
	remove_staged();
	_exit(128 + signal_number);
}

int staging_open(int directory, const char *path, mode_t mode)
{
	static bool is_prepared;
	if (!is_prepared) {
		is_prepared = true;
		atexit(remove_staged);
		signal(SIGHUP, cancelled);
		signal(SIGTERM, cancelled);
	}
	is_opening = 1;
	staged_fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (staged_fd >= 0) {
		staged_directory = directory;
		strcpy(staged, path);
	}
	is_opening = 0;
	if (signal_meanwhile)
		cancelled(signal_meanwhile);
	return staged_fd;
}

bool staging_commit(const char *target)
{
	if (strcmp(staged, target) != 0 && renameat(staged_directory, staged, staged_directory, target) < 0)
		return false;
	int fd = staged_fd;
	staged[0] = '\0';
	return close(fd) == 0;
}
