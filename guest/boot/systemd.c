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

#define UNIT_FOLDER "/run/systemd/system"
#define UNIT_NAME "banger-vsock-agent.service"
#define WANTS_FOLDER UNIT_FOLDER "/multi-user.target.wants"
#define CGROUP_FOLDER "/sys/fs/cgroup"

/*
 * No default dependencies: the agent is there before the first unit and stays until the last process
 * is ended. Stopping it ends the agent alone and not what it has started. That the machine is ready
 * is told by a unit of first-boot.sh.
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
	make_dirs(SHUTDOWN_FOLDER, 0755);
	if (link(AGENT_PATH, SHUTDOWN_PATH) < 0)
		say("Cannot install the shutdown program: %s", strerror(errno));
	make_dirs(WANTS_FOLDER, 0755);
	if (!replace_file(UNIT_FOLDER "/" UNIT_NAME, unit, sizeof unit - 1, 0644))
		say("Cannot write the agent's unit");
	if (symlink("../" UNIT_NAME, WANTS_FOLDER "/" UNIT_NAME) < 0 && errno != EEXIST)
		say("Cannot enable the agent's unit");
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
		char path[128];
		format_path(path, sizeof path, UNIT_FOLDER "/%s", masked[i]);
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

/* In both hierarchies the line of systemd's own control group tells where this process was put. */
static bool move_into_own_group(pid_t pid)
{
	char text[4096], path[512], number[32];
	if (read_file("/proc/self/cgroup", text, sizeof text) <= 0)
		return false;
	snprintf(number, sizeof number, "%d", pid);
	char *rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		const char *folder = NULL;
		char *group = strrchr(line, ':');
		if (strncmp(line, "0::", 3) == 0)
			folder = CGROUP_FOLDER;
		else if (strstr(line, ":name=systemd:"))
			folder = CGROUP_FOLDER "/systemd";
		if (!folder || !group)
			continue;
		snprintf(path, sizeof path, "%s%s/cgroup.procs", folder, group + 1);
		if (write_knob(path, number))
			return true;
		/* With both hierarchies the unified one is a folder further down. */
		snprintf(path, sizeof path, "%s/unified%s/cgroup.procs", CGROUP_FOLDER, group + 1);
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
