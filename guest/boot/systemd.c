#include "boot/systemd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "boot/rootfs.h"
#include "run/serve.h"

#define UNIT_DIRECTORY "/run/systemd/system"
#define UNIT_NAME "banger-vsock-agent.service"
#define WANTS_DIRECTORY UNIT_DIRECTORY "/multi-user.target.wants"
#define CGROUP_DIRECTORY "/sys/fs/cgroup"

/*
 * No default dependencies: the agent starts before the first unit and stays until the last process is killed.
 * Stopping the unit kills the agent only, not the processes that it has started. A unit written by first-boot.sh
 * reports that the VM is ready.
 */
static const char unit[] =
	"[Unit]\n"
	"Description=banger guest agent\n"
	"DefaultDependencies=no\n"
	"After=sysinit.target\n"
	"\n"
	"[Service]\n"
	"Type=forking\n"
	"PIDFile=" PID_PATH "\n"
	"ExecStart=" AGENT_PATH " join\n"
	"KillMode=process\n"
	"Restart=always\n"
	"RestartSec=1\n"
	"OOMScoreAdjust=-999\n"
	"TasksMax=infinity\n";

void systemd_prepare(void)
{
	char disk[] = "dev-vdX.device";
	const char *const masked[] = { "dev-ttyS0.device", disk, "serial-getty@ttyS0.service", "systemd-hwdb-update.service" };
	*strchr(disk, 'X') = rootfs_writable_disk();
	make_dirs(SHUTDOWN_DIRECTORY, 0755);
	if (link(AGENT_PATH, SHUTDOWN_PATH) < 0)
		say("Cannot install the shutdown program: %s", strerror(errno));
	make_dirs(WANTS_DIRECTORY, 0755);
	if (!replace_file(UNIT_DIRECTORY "/" UNIT_NAME, unit, sizeof unit - 1, 0644))
		say("Cannot write the agent's unit");
	if (symlink("../" UNIT_NAME, WANTS_DIRECTORY "/" UNIT_NAME) < 0 && errno != EEXIST)
		say("Cannot enable the agent's unit");
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
		char path[128];
		format_path(path, sizeof path, UNIT_DIRECTORY "/%s", masked[i]);
		if (symlink("/dev/null", path) < 0 && errno != EEXIST)
			say("Cannot mask %s", masked[i]);
	}
}

static pid_t running_agent(void)
{
	char text[32], path[64], target[128];
	if (read_file(PID_PATH, text, sizeof text) <= 0)
		return 0;
	int pid = atoi(text);
	format_path(path, sizeof path, "/proc/%d/exe", pid);
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (pid <= 1 || length < 0)
		return 0;
	target[length] = 0;
	return strcmp(target, AGENT_PATH) == 0 ? pid : 0;
}

/* The line of the unified hierarchy, or of systemd's named one, has this process's cgroup. */
static bool move_into_own_group(pid_t pid)
{
	char text[4096], path[512], number[32];
	if (read_file("/proc/self/cgroup", text, sizeof text) <= 0)
		return false;
	snprintf(number, sizeof number, "%d", pid);
	char *rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		const char *directory = NULL;
		char *group = strrchr(line, ':');
		if (strncmp(line, "0::", 3) == 0)
			directory = CGROUP_DIRECTORY;
		else if (strstr(line, ":name=systemd:"))
			directory = CGROUP_DIRECTORY "/systemd";
		if (!directory || !group)
			continue;
		snprintf(path, sizeof path, "%s%s/cgroup.procs", directory, group + 1);
		if (write_knob(path, number))
			return true;
		/* In hybrid mode the unified hierarchy is mounted one directory further down. */
		snprintf(path, sizeof path, "%s/unified%s/cgroup.procs", CGROUP_DIRECTORY, group + 1);
		if (write_knob(path, number))
			return true;
	}
	return false;
}

int systemd_join(void)
{
	pid_t pid = running_agent();
	if (pid == 0)
		pid = serve_in_background();
	else if (!move_into_own_group(pid))
		say("Cannot move the agent into the cgroup of its unit");
	if (pid <= 0) {
		say("Cannot start the agent");
		return 1;
	}
	return 0;
}
