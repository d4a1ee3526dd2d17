#include "run/process.h"

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "base/io.h"
#include "run/stream.h"

#define HANG_UP_MS 2000
/* Those of all streams, and as many that are still exiting. */
#define MAX_PROCESSES (2 * MAX_STREAMS)

static struct {
	/* 0: this slot is free. */
	pid_t pid;
	uint32_t stream;
	/* Uptime at which the group is killed; 0: never. */
	uint64_t kill_at_ms;
} processes[MAX_PROCESSES];

bool process_add(pid_t pid, uint32_t stream)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		if (processes[i].pid != 0)
			continue;
		processes[i].pid = pid;
		processes[i].stream = stream;
		processes[i].kill_at_ms = 0;
		return true;
	}
	return false;
}

void process_hang_up(pid_t pid)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		if (processes[i].pid != pid)
			continue;
		kill(-pid, SIGHUP);
		kill(-pid, SIGCONT);
		processes[i].stream = 0;
		processes[i].kill_at_ms = uptime_ms() + HANG_UP_MS;
	}
}

static void ended(pid_t pid, int status)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		if (processes[i].pid != pid)
			continue;
		processes[i].pid = 0;
		if (processes[i].stream != 0)
			streams_process_ended(processes[i].stream, status);
	}
}

/* Before its leader is reaped, the group's ID cannot be reused. */
static void kill_group_of_dying(pid_t pid)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		if (processes[i].pid == pid && processes[i].kill_at_ms != 0)
			kill(-pid, SIGKILL);
	}
}

void process_reap(void)
{
	for (;;) {
		siginfo_t info = { .si_pid = 0 };
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		kill_group_of_dying(info.si_pid);
		int status;
		if (waitpid(info.si_pid, &status, 0) == info.si_pid)
			ended(info.si_pid, status);
	}
}

int process_kill_overdue(void)
{
	uint64_t now = uptime_ms();
	int next = -1;
	for (int i = 0; i < MAX_PROCESSES; i++) {
		if (processes[i].pid == 0 || processes[i].kill_at_ms == 0)
			continue;
		if (processes[i].kill_at_ms <= now) {
			kill(-processes[i].pid, SIGKILL);
			processes[i].kill_at_ms = now + HANG_UP_MS;
		}
		int wait = (int)(processes[i].kill_at_ms - now);
		if (next < 0 || wait < next)
			next = wait;
	}
	return next;
}
