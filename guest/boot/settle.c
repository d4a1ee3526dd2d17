#include "boot/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"

#define HOOK_DIRECTORY "/etc/banger/restore.d"
#define HOOK_LOG_PATH STATE_DIRECTORY "/restore.log"
#define HOOK_LIMIT_MS 30000
#define SSH_LIMIT_MS 15000
#define STEP_US 2000

static const char *const ssh_paths[] = { "/run/sshd.pid", "/var/run/sshd.pid" };
static const char *const marks[] = { STATE_DIRECTORY "/unsettled-ssh", STATE_DIRECTORY "/unsettled-machine-id" };

/* Whether something runs that has to be told. */
static bool has_readers(enum unsettled what)
{
	if (what == UNSETTLED_MACHINE_ID)
		return procfs_init_is_systemd();
	return access(ssh_paths[0], F_OK) == 0 || access(ssh_paths[1], F_OK) == 0;
}

void settle_later(enum unsettled what, const char *old)
{
	if (has_readers(what) && access(marks[what], F_OK) < 0 && !replace_file(marks[what], old, strlen(old), 0600))
		say("Cannot write \"%s\": %s", marks[what], strerror(errno));
}

bool settle_is_due(void)
{
	return access(marks[UNSETTLED_SSH], F_OK) == 0 || access(marks[UNSETTLED_MACHINE_ID], F_OK) == 0 ||
	       access(HOOK_DIRECTORY, F_OK) == 0;
}

static void warn(const char *what, const char *why, int number)
{
	dprintf(STDOUT_FILENO, number < 0 ? "%s %s\n" : "%s %s %d\n", what, why, number);
}

/* The ssh server that listens, 0 if there is none. Its children have another session's connection. */
static pid_t ssh_server(const char *path)
{
	char text[32], name[64];
	if (read_file(path, text, sizeof text) <= 0)
		return 0;
	pid_t pid = (pid_t)procfs_number(text);
	format_path(name, sizeof name, "/proc/%d/comm", pid);
	return pid > 1 && read_file(name, text, sizeof text) > 0 && strcmp(text, "sshd\n") == 0 ? pid : 0;
}

/* It executes itself again, and writes its PID once it listens. */
static void reload_ssh(void)
{
	for (size_t i = 0; i < sizeof ssh_paths / sizeof *ssh_paths; i++) {
		pid_t pid = ssh_server(ssh_paths[i]);
		if (pid == 0)
			continue;
		uint64_t until = uptime_ms() + SSH_LIMIT_MS;
		unlink(ssh_paths[i]);
		kill(pid, SIGHUP);
		while (access(ssh_paths[i], F_OK) < 0) {
			if (uptime_ms() > until || kill(pid, 0) < 0) {
				warn("sshd", "does not listen after its reload", -1);
				break;
			}
			usleep(STEP_US);
		}
	}
}

/* The exit status as in a shell, -1 after the time limit. */
static int run(const char *path, const char *argument, int output)
{
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
		execl(path, path, argument, (char *)NULL);
		_exit(errno == ENOENT ? 127 : 126);
	}
	uint64_t until = uptime_ms() + HOOK_LIMIT_MS;
	int status = 0;
	pid_t ended;
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && uptime_ms() < until)
		usleep(STEP_US);
	if (ended == 0) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The first name after `last`; false if there is none. */
static bool next_hook(char *name, size_t size, const char *last)
{
	DIR *directory = opendir(HOOK_DIRECTORY);
	struct dirent *entry;
	name[0] = 0;
	while (directory && (entry = readdir(directory))) {
		const char *other = entry->d_name;
		if (other[0] != '.' && strlen(other) < size && strcmp(other, last) > 0 && (!name[0] || strcmp(other, name) < 0))
			strcpy(name, other);
	}
	if (directory)
		closedir(directory);
	return name[0] != 0;
}

static void run_hooks(void)
{
	char name[256], last[256] = "", path[300];
	int log = open(HOOK_LOG_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (; next_hook(name, sizeof name, last); strcpy(last, name)) {
		struct stat info;
		format_path(path, sizeof path, HOOK_DIRECTORY "/%s", name);
		if (stat(path, &info) < 0 || !S_ISREG(info.st_mode) || access(path, X_OK) < 0)
			continue;
		int status = run(path, NULL, log);
		if (status < 0)
			warn(path, "was killed after 30 s", -1);
		else if (status > 0)
			warn(path, "failed with exit status", status);
	}
}

int settle_run(void)
{
	if (access(marks[UNSETTLED_SSH], F_OK) == 0)
		reload_ssh();
	if (access(marks[UNSETTLED_MACHINE_ID], F_OK) == 0) {
		int status = run(FIRST_BOOT_PATH, "settle", STDERR_FILENO);
		if (status != 0)
			warn(FIRST_BOOT_PATH, "failed with exit status", status);
	}
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		unlink(marks[i]);
	run_hooks();
	return 0;
}
