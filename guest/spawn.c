#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "paths.h"

#define OPEN_FILES_SOFT 1024
#define OPEN_FILES_HARD 524288

static const char *find_path(char **environment)
{
	for (char **text = environment; *text; text++) {
		if (strncmp(*text, "PATH=", 5) == 0)
			return *text + 5;
	}
	return NULL;
}

static bool become(const struct account *account)
{
	if (geteuid() != 0 && account->uid == geteuid())
		return true;
	return setgroups((size_t)account->group_count, account->groups) == 0 && setgid(account->gid) == 0 &&
	       setuid(account->uid) == 0;
}

/* Tries the folders of PATH as the shell does: a file that may not be run counts only if no other is found. */
static void execute(const struct launch *launch)
{
	const char *name = launch->arguments[0];
	/* The agent's own programs: wherever its file is, and for users who cannot enter the folder. */
	if (strcmp(name, AGENT_PATH) == 0) {
		execve("/proc/self/exe", launch->arguments, launch->environment);
		return;
	}
	if (strchr(name, '/')) {
		execve(name, launch->arguments, launch->environment);
		return;
	}
	int error = ENOENT;
	const char *path = find_path(launch->environment);
	for (const char *at = path ? path : DEFAULT_PATH; at;) {
		char file[4096];
		size_t length = strcspn(at, ":");
		int size = snprintf(file, sizeof file, "%.*s/%s", (int)length, length ? at : ".", name);
		if (length == 0)
			size = snprintf(file, sizeof file, "./%s", name);
		if (size > 0 && (size_t)size < sizeof file) {
			execve(file, launch->arguments, launch->environment);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				break;
		}
		at = at[length] ? at + length + 1 : NULL;
	}
	errno = error;
}

static _Noreturn void give_up(int report, enum stage stage)
{
	struct failure failure = { .stage = stage, .error = errno };
	write_all(report, &failure, sizeof failure);
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;
	for (int number = 1; number <= HIGHEST_SIGNAL; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_child(const struct launch *launch, int report)
{
	reset_signals();
	if (setsid() < 0 || (launch->is_terminal && ioctl(launch->fds[CHANNEL_IN], TIOCSCTTY, 0) < 0))
		give_up(report, STAGE_SESSION);
	for (int channel = 0; channel < CHANNELS; channel++) {
		if (dup2(launch->fds[channel], channel) < 0)
			give_up(report, STAGE_SESSION);
	}
	struct rlimit files = { .rlim_cur = OPEN_FILES_SOFT, .rlim_max = OPEN_FILES_HARD };
	setrlimit(RLIMIT_NOFILE, &files);
	write_knob("/proc/self/oom_score_adj", "0");
	umask(022);
	if (!become(&launch->account))
		give_up(report, STAGE_USER);
	if (chdir(launch->cwd) < 0)
		give_up(report, STAGE_CWD);
	execute(launch);
	give_up(report, STAGE_EXEC);
}

pid_t spawn(const struct launch *launch, struct failure *failure)
{
	int report[2];
	*failure = (struct failure){ .stage = STAGE_SESSION };
	if (pipe2(report, O_CLOEXEC) < 0) {
		failure->error = errno;
		return -1;
	}
	pid_t pid = fork();
	if (pid == 0)
		run_child(launch, report[1]);
	failure->error = errno;
	close(report[1]);
	ssize_t count = 0;
	while (pid > 0 && (count = read(report[0], failure, sizeof *failure)) < 0 && errno == EINTR) {
	}
	close(report[0]);
	/* A child that failed is reaped like any other. */
	return count == (ssize_t)sizeof *failure ? -1 : pid;
}
