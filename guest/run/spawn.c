#include "run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"

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

bool become(const struct account *account)
{
	if (geteuid() != 0 && account->uid == geteuid())
		return true;
	return setgroups((size_t)account->group_count, account->groups) == 0 && setgid(account->gid) == 0 &&
	       setuid(account->uid) == 0;
}

/* Numbers in threes: resource, soft and hard limit. */
static void set_own_limits(void)
{
	char text[1024];
	if (read_file(LIMITS_PATH, text, sizeof text) < 0)
		return;
	for (char *at = text; *at;) {
		int resource = (int)strtol(at, &at, 10);
		struct rlimit limit = { .rlim_cur = strtoul(at, &at, 10) };
		limit.rlim_max = strtoul(at, &at, 10);
		setrlimit((__typeof__(RLIMIT_NOFILE))resource, &limit);
	}
}

void limits_set(void)
{
	struct rlimit files = { .rlim_cur = OPEN_FILES_SOFT, .rlim_max = OPEN_FILES_HARD };
	struct rlimit processes = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NPROC, &processes);
	set_own_limits();
}

static bool enter(const char *cwd)
{
	return chdir("/") == 0 && chdir(cwd) == 0;
}

void execute(const struct launch *launch)
{
	const char *name = launch->arguments[0];
	/* The agent's own programs run from /proc/self/exe: users cannot enter its directory. */
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

static void reset_signals(void)
{
	sigset_t none;
	for (int number = 1; number <= HIGHEST_SIGNAL; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool enter_namespace(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
	       mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

/* Returns the failed step, with errno; does not return if the program runs. */
static enum stage run_child(const struct launch *launch)
{
	reset_signals();
	if (setsid() < 0 || (launch->is_terminal && ioctl(launch->fds[CHANNEL_IN], TIOCSCTTY, 0) < 0))
		return STAGE_SESSION;
	for (int channel = 0; channel < CHANNELS; channel++) {
		if (dup2(launch->fds[channel], channel) < 0)
			return STAGE_SESSION;
	}
	if (launch->is_init && !enter_namespace())
		return STAGE_SESSION;
	limits_set();
	write_knob("/proc/self/oom_score_adj", "0");
	umask(022);
	if (launch->makes_cwd && chdir("/") == 0)
		make_dirs(launch->cwd, 0755);
	/* Tried as root and as the user: either may be denied access, for instance on a network file system. */
	bool is_inside = enter(launch->cwd);
	if (!become(&launch->account))
		return STAGE_USER;
	if (!is_inside && !enter(launch->cwd))
		return STAGE_CWD;
	execute(launch);
	return STAGE_EXEC;
}

/*
 * As with vfork(), the child uses this memory until it executes its program or exits: no page is copied, and it can
 * write to `failure`. It is reaped like any other.
 */
pid_t spawn(const struct launch *launch, struct failure *failure)
{
	*failure = (struct failure){ .stage = STAGE_SESSION };
	int own = launch->is_init ? open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) : -1;
	if (launch->is_init && (own < 0 || unshare(CLONE_NEWPID) < 0)) {
		failure->error = errno;
		if (own >= 0)
			close(own);
		return -1;
	}
	pid_t pid = vfork();
	if (pid == 0) {
		failure->stage = run_child(launch);
		failure->error = errno;
		_exit(127);
	}
	if (pid < 0)
		failure->error = errno;
	if (own >= 0) {
		setns(own, CLONE_NEWPID);
		close(own);
	}
	return failure->error ? -1 : pid;
}
