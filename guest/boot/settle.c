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
#include "boot/journal.h"

#define HOOK_DIRECTORY "/etc/banger/restore.d"
#define HOOK_LOG_PATH STATE_DIRECTORY "/restore.log"
/* Written by the host when it makes a template, if keeps_host_keys() is false for its ssh server. */
#define SSH_NOTE_PATH STATE_DIRECTORY "/ssh-rereads"
#define HOOK_LIMIT_MS 30000
#define SSH_LIMIT_MS 15000
#define STEP_US 2000

static const char *const ssh_paths[] = { "/run/sshd.pid", "/var/run/sshd.pid" };
static const char *const marks[] = { STATE_DIRECTORY "/unsettled-ssh", STATE_DIRECTORY "/unsettled-machine-id" };

/* Whether something runs that has to be told. */
static bool has_readers(enum unsettled what)
{
	return what == UNSETTLED_MACHINE_ID || (access(SSH_NOTE_PATH, F_OK) < 0 &&
					       (access(ssh_paths[0], F_OK) == 0 || access(ssh_paths[1], F_OK) == 0));
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

/*
 * Before OpenSSH 9.8 a process for each connection reads the host keys from their files; since then it has them from the
 * server, which knows the name of that program.
 */
static bool keeps_host_keys(pid_t pid)
{
	static const char name[] = "sshd-session";
	static char bytes[65536];
	char path[64];
	size_t kept = 0;
	ssize_t count;
	bool found = false;
	format_path(path, sizeof path, "/proc/%d/exe", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	while (!found && (count = read(fd, bytes + kept, sizeof bytes - kept)) > 0) {
		size_t length = kept + (size_t)count;
		found = memmem(bytes, length, name, strlen(name)) != NULL;
		kept = length < strlen(name) ? length : strlen(name);
		memmove(bytes, bytes + length - kept, kept);
	}
	close(fd);
	return found;
}

/* It executes itself again, and writes its PID once it listens. */
static void reload_ssh(void)
{
	for (size_t i = 0; i < sizeof ssh_paths / sizeof *ssh_paths; i++) {
		pid_t pid = ssh_server(ssh_paths[i]);
		if (pid == 0 || !keeps_host_keys(pid))
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
static int run(const char *path, int output)
{
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
		execl(path, path, (char *)NULL);
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
		int status = run(path, log);
		if (status < 0)
			warn(path, "was killed after 30 s", -1);
		else if (status > 0)
			warn(path, "failed with exit status", status);
	}
}

int settle_run(void)
{
	struct journal_ids old;
	if (access(marks[UNSETTLED_SSH], F_OK) == 0)
		reload_ssh();
	if (read_file(marks[UNSETTLED_MACHINE_ID], (char *)&old, sizeof old) == sizeof old - 1 && !journal_renew(&old))
		warn("systemd-journald", "does not log after its restart", -1);
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		unlink(marks[i]);
	run_hooks();
	return 0;
}
