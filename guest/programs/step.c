#include "programs/step.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/account.h"
#include "base/io.h"
#include "base/paths.h"
#include "run/spawn.h"

#define STATUS_NOT_BEGUN 125
#define STATUS_NOT_RUNNABLE 126
#define STATUS_NOT_FOUND 127
/* Path components created for mount targets. */
#define MAX_STUBS 256

/* Missing in some C libraries; the kernel's header conflicts with others. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

extern char **environ;

static _Noreturn void fail(const char *what, const char *name)
{
	fprintf(stderr, "Cannot %s \"%s\": %s\n", what, name, strerror(errno));
	exit(STATUS_NOT_BEGUN);
}

/* A file or directory that was created only as a mount target. */
struct stub {
	char *path;
	bool is_directory;
	/* The parent's times before it was created. */
	struct timespec times[2];
};

static struct stub stubs[MAX_STUBS];
static size_t stub_count;

static void remember(const char *path, bool is_directory)
{
	char parent[4096];
	struct stat info;
	if (stub_count == MAX_STUBS)
		return;
	struct stub *stub = &stubs[stub_count];
	snprintf(parent, sizeof parent, "%s", path);
	*strrchr(parent, '/') = 0;
	if (stat(parent[0] ? parent : "/", &info) < 0 || !(stub->path = strdup(path)))
		return;
	stub->times[0] = info.st_atim;
	stub->times[1] = info.st_mtim;
	stub->is_directory = is_directory;
	stub_count++;
}

/* Creates a mount target with its parents: a directory, or an empty file for a file. */
static void make_target(const char *target, bool is_directory)
{
	char part[4096];
	size_t length = strlen(target);
	if (target[0] != '/' || length >= sizeof part) {
		errno = ENAMETOOLONG;
		fail("mount at", target);
	}
	for (size_t at = 1; at <= length; at++) {
		if (target[at] != '/' && target[at] != 0)
			continue;
		memcpy(part, target, at);
		part[at] = 0;
		if (access(part, F_OK) == 0)
			continue;
		bool is_last = at == length;
		remember(part, is_directory || !is_last);
		int fd = is_last && !is_directory ? open(part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644) : -1;
		if (fd < 0 && (is_directory || !is_last ? mkdir(part, 0755) : -1) < 0)
			fail("create the mount target", part);
		if (fd >= 0)
			close(fd);
	}
}

static void remove_stubs(void)
{
	for (size_t i = stub_count; i-- > 0;) {
		struct stub *stub = &stubs[i];
		struct stat info;
		bool is_gone = stub->is_directory ? rmdir(stub->path) == 0
					       : lstat(stub->path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0 &&
							 unlink(stub->path) == 0;
		if (!is_gone)
			continue;
		*strrchr(stub->path, '/') = 0;
		utimensat(AT_FDCWD, stub->path[0] ? stub->path : "/", stub->times, 0);
	}
}

static bool is_directory(const char *path)
{
	struct stat info;
	if (stat(path, &info) < 0)
		fail("mount", path);
	return S_ISDIR(info.st_mode);
}

struct step {
	struct account account;
	const char *cwd;
	bool has_network;
	char **command;
};

/* Called twice: by the parent, to create the targets, and in the command's namespace, to mount. */
static void each_mount(char **words, bool mounts)
{
	for (; strcmp(*words, "--") != 0;) {
		bool is_bind = strcmp(*words, "bind") == 0, is_tmpfs = strcmp(*words, "tmpfs") == 0;
		const char *target = is_bind ? words[3] : words[2];
		/* Again for targets inside of an earlier mount. */
		if (is_bind || is_tmpfs)
			make_target(target, is_tmpfs || is_directory(words[2]));
		if (is_bind && mounts) {
			if (mount(words[2], target, NULL, MS_BIND, NULL) < 0 ||
			    (strcmp(words[1], "ro") == 0 && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0))
				fail("mount at", target);
		}
		if (is_tmpfs && mounts) {
			char options[64] = "mode=1777";
			if (strcmp(words[1], "0") != 0)
				snprintf(options, sizeof options, "mode=1777,size=%.40s", words[1]);
			if (mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
				fail("mount a tmpfs at", target);
		}
		words += is_bind ? 4 : is_tmpfs ? 3 : strcmp(*words, "home") == 0 || strcmp(*words, "no-network") == 0 ? 1 : 2;
	}
}

/* Parses the options; false if they are malformed. */
static bool read_words(char **words, struct step *step)
{
	while (*words && strcmp(*words, "--") != 0) {
		if (strcmp(*words, "home") == 0) {
			setenv("HOME", step->account.home, 1);
		} else if (strcmp(*words, "no-network") == 0) {
			step->has_network = false;
		} else if (!words[1]) {
			return false;
		} else if (strcmp(*words, "user") == 0) {
			if (!account_find(*++words, &step->account)) {
				errno = ENOENT;
				fail("find user", *words);
			}
		} else if (strcmp(*words, "cwd") == 0) {
			step->cwd = *++words;
		} else if (strcmp(*words, "unset") == 0) {
			unsetenv(*++words);
		} else if (strcmp(*words, "bind") == 0 && words[2] && words[3]) {
			words += 3;
		} else if (strcmp(*words, "tmpfs") == 0 && words[2]) {
			words += 2;
		} else {
			return false;
		}
		words++;
	}
	step->command = *words ? words + 1 : NULL;
	return step->command && step->command[0];
}

static void leave_network(void)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	if (unshare(CLONE_NEWNET) < 0)
		fail("unshare", "the network namespace");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback) < 0)
		fail("bring up", "lo");
	close(fd);
}

/*
 * The agent's own mount is hidden from the command, because it is not part of the image. A command that removes the
 * then empty directory removes the mount in the VM as well, so it is restored afterwards.
 */
static int keep_state(void)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, STATE_DIRECTORY, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static void restore_state(int tree)
{
	if (tree < 0 || access(DISK_PATH, F_OK) == 0)
		return;
	make_dirs(STATE_DIRECTORY, 0700);
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, STATE_DIRECTORY, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		fail("remount", STATE_DIRECTORY);
}

/* The user must own the pipes to open /dev/stdout and its like. */
static void give_pipes(const struct account *account)
{
	struct stat info;
	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode) && fchown(fd, account->uid, (gid_t)-1) < 0)
			fail("change the owner of the pipes to", account->name);
	}
}

static _Noreturn void run(char **words, const struct step *step)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail("unshare", "the mount namespace");
	if (!step->has_network)
		leave_network();
	each_mount(words, true);
	umount2(STATE_DIRECTORY, MNT_DETACH);
	give_pipes(&step->account);
	/* Missing directories are created by root, as in a container; existing ones may be accessible to the user only. */
	make_dirs(step->cwd, 0755);
	bool is_inside = chdir(step->cwd) == 0;
	if (!become(&step->account))
		fail("switch to user", step->account.name);
	if (!is_inside && chdir(step->cwd) < 0)
		fail("change directory to", step->cwd);
	struct launch launch = { .arguments = step->command, .environment = environ };
	execute(&launch);
	int status = errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_RUNNABLE;
	fprintf(stderr, "Cannot run \"%s\": %s\n", step->command[0],
		errno == ENOEXEC ? "exec format error" : strerror(errno));
	exit(status);
}

int step_run(char **arguments)
{
	struct step step = { .cwd = "/", .has_network = true };
	int status = 0;
	if (!account_find("", &step.account) || !read_words(arguments, &step)) {
		errno = EINVAL;
		fail("parse option", arguments[0] ? arguments[0] : "");
	}
	each_mount(arguments, false);
	int state = keep_state();
	pid_t pid = fork();
	if (pid == 0)
		run(arguments, &step);
	/* Signals for the command do not concern this process. */
	for (int number = 1; number <= HIGHEST_SIGNAL; number++) {
		if (number != SIGCHLD)
			signal(number, SIG_IGN);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	restore_state(state);
	remove_stubs();
	if (pid < 0)
		fail("start", step.command[0]);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	kill(getpid(), WTERMSIG(status));
	return 128 + WTERMSIG(status);
}
