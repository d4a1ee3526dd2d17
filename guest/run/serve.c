#include "run/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/device.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"
#include "run/exec.h"
#include "run/power.h"
#include "run/process.h"
#include "run/stream.h"
#include "wire/bootrecord.h"
#include "wire/event.h"
#include "wire/fields.h"
#include "wire/goodbye.h"
#include "wire/link.h"
#include "wire/transport.h"
#include "wire/watch.h"

#define EVENTS_PER_WAIT 32
/* Rounds of moving data before events are polled. */
#define ROUNDS_PER_WAIT 32
/* A host that does not read must not delay the power-off. */
#define FAREWELL_MS 1000
#define BACKGROUND_WAIT_MS 5000

static struct {
	struct link link;
	int listener;
	int devices;
	int signals;
	bool is_port;
	/* "direct", "systemd", or empty if the agent serves a unix socket. */
	char mode[16];
	char boot_id[40];
} agent;

/* The kernel makes it up when it is first read: a template leaves that to the machines made from it. */
static void read_boot_id(void)
{
	if (read_file(BOOT_ID_PATH, agent.boot_id, sizeof agent.boot_id) < 0)
		agent.boot_id[0] = 0;
	agent.boot_id[strcspn(agent.boot_id, "\n")] = 0;
}

static void send_hello(const uint8_t *nonce)
{
	bool is_template = boot_record_has(TAG_BOOT_TEMPLATE);
	static const char *const features[] = AGENT_FEATURES;
	uint8_t bytes[512];
	struct field_writer writer = { .bytes = bytes + NONCE_BYTES, .size = sizeof bytes - NONCE_BYTES };
	if (!is_template)
		read_boot_id();
	memcpy(bytes, nonce, NONCE_BYTES);
	field_put_number(&writer, TAG_PROTOCOL, PROTOCOL_NUMBER);
	field_put_text(&writer, TAG_VERSION, BANGER_VERSION);
	field_put_text(&writer, TAG_BOOT_ID, agent.boot_id);
	field_put_text(&writer, TAG_MODE, agent.mode);
	if (is_template)
		field_put_number(&writer, TAG_IS_TEMPLATE, 1);
	field_put_number(&writer, TAG_MAX_STREAMS, MAX_STREAMS);
	for (size_t i = 0; i < sizeof features / sizeof *features; i++)
		field_put_text(&writer, TAG_FEATURE, features[i]);
	link_send(&agent.link, FRAME_HELLO, 0, 0, bytes, NONCE_BYTES + writer.length);
}

static void handle_sync(const struct frame *frame)
{
	if (frame->length < SYNC_MAGIC_BYTES + NONCE_BYTES || memcmp(frame->payload, SYNC_MAGIC, SYNC_MAGIC_BYTES) != 0)
		return;
	streams_end_all();
	link_drop_output(&agent.link);
	agent.link.synced = true;
	send_hello(frame->payload + SYNC_MAGIC_BYTES);
	events_replay();
}

/* A virtio-serial port stays open for the next host; a connection is closed. */
static void handle_disconnect(void)
{
	streams_end_all();
	if (agent.is_port) {
		agent.link.synced = false;
		agent.link.in_start = agent.link.in_end = 0;
		link_drop_output(&agent.link);
	} else {
		link_detach(&agent.link);
	}
}

static bool read_input(void)
{
	struct frame frame;
	bool host_is_there = link_read(&agent.link);
	bool moved = false;
	while (link_next(&agent.link, &frame)) {
		moved = true;
		if (frame.type == FRAME_SYNC)
			handle_sync(&frame);
		else
			streams_frame(&frame);
	}
	if (agent.link.lost) {
		agent.link.lost = false;
		streams_end_all();
	}
	if (!host_is_there)
		handle_disconnect();
	return moved;
}

/* True if more work is ready. */
static bool pump(void)
{
	bool moved = false, was_passing = false;
	for (int round = 0; round < ROUNDS_PER_WAIT; round++) {
		agent.link.has_passed = false;
		moved = agent.link.fd >= 0 && agent.link.readable && (read_input() || agent.link.readable);
		if (agent.link.synced) {
			moved |= events_pump(&agent.link);
			moved |= streams_pump(&agent.link);
		}
		if (agent.link.fd >= 0)
			link_flush(&agent.link);
		/* Lets the command produce more output first: context switches cost more than copying. */
		if (was_passing && !agent.link.has_passed)
			sched_yield();
		was_passing = agent.link.has_passed;
		if (!moved && !agent.link.readable)
			return false;
	}
	return moved;
}

/* A new connection replaces the current one, whose host may have vanished. */
static void accept_host(void)
{
	int fd;
	while ((fd = transport_accept(agent.listener)) >= 0) {
		if (agent.is_port) {
			close(fd);
			continue;
		}
		if (agent.link.fd >= 0)
			handle_disconnect();
		link_attach(&agent.link, fd);
		watch_add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, (struct watch){ .role = WATCH_LINK });
	}
}

static void try_port(void)
{
	int fd = agent.link.fd < 0 && !agent.is_port ? transport_open(PORT_NAME) : -1;
	if (fd < 0)
		return;
	agent.is_port = true;
	link_attach(&agent.link, fd);
	watch_add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, (struct watch){ .role = WATCH_LINK });
	if (agent.devices >= 0)
		close(agent.devices);
	agent.devices = -1;
}

/* An init other than systemd kills all processes and stops the VM without further notice. */
static _Noreturn void stop_unattended(void)
{
	if (agent.mode[0] != 0 && !procfs_init_is_systemd()) {
		goodbye_prepare();
		goodbye_send("leaving");
	}
	_exit(0);
}

/* As PID 1: busybox's `reboot` sends SIGTERM, `halt` and `poweroff` SIGUSR1 and SIGUSR2, and the kernel SIGINT on ctrl-alt-del. */
static void handle_signals(void)
{
	struct signalfd_siginfo info;
	while (read(agent.signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			process_reap();
		else if (getpid() != 1)
			stop_unattended();
		else
			power_request(info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM);
	}
}

static void dispatch(const struct watch_event *event)
{
	switch (event->watch.role) {
	case WATCH_LINK:
		if (event->events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
			agent.link.readable = true;
		if (event->events & EPOLLOUT)
			agent.link.writable = true;
		break;
	case WATCH_LISTENER:
		accept_host();
		break;
	case WATCH_UEVENT:
		if (agent.devices >= 0)
			device_drain(agent.devices);
		try_port();
		break;
	case WATCH_SIGNAL:
		handle_signals();
		break;
	case WATCH_NOTIFY:
		events_receive(&agent.link);
		break;
	case WATCH_STREAM_IN:
	case WATCH_STREAM_OUT:
	case WATCH_STREAM_ERR:
		streams_ready(event);
		break;
	}
}

static void power_off_when_requested(void)
{
	uint64_t until = uptime_ms() + FAREWELL_MS;
	struct watch_event events[EVENTS_PER_WAIT];
	while (agent.link.fd >= 0 && agent.link.synced && link_has_output(&agent.link) && uptime_ms() < until) {
		int count = watch_wait(events, EVENTS_PER_WAIT, 50);
		for (int i = 0; i < count; i++) {
			if (events[i].watch.role == WATCH_LINK && events[i].events & EPOLLOUT)
				agent.link.writable = true;
		}
		link_flush(&agent.link);
	}
	power_perform();
}

static void watch_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (getpid() == 1) {
		sigaddset(&set, SIGUSR1);
		sigaddset(&set, SIGUSR2);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	agent.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (agent.signals < 0 || !watch_add(agent.signals, EPOLLIN, (struct watch){ .role = WATCH_SIGNAL }))
		die("Cannot watch signals");
}

static void serve_machine(void)
{
	char pid[32];
	boot_record_load(KEPT_RECORD_PATH);
	boot_record_each(TAG_BOOT_ENV, exec_add_default_env);
	boot_record_text(TAG_BOOT_MODE, agent.mode, sizeof agent.mode);
	power_enable();
	prctl(PR_SET_NAME, "banger-agent");
	write_knob("/proc/self/oom_score_adj", "-1000");
	events_load();
	if (!events_listen())
		say("Cannot listen for boot events");
	snprintf(pid, sizeof pid, "%d\n", getpid());
	if (!replace_file(PID_PATH, pid, strlen(pid), 0644))
		say("Cannot write %s", PID_PATH);
	/* Watched before the first attempt, so that a new port is not missed. */
	agent.devices = device_watch();
	if (agent.devices >= 0)
		watch_add(agent.devices, EPOLLIN, (struct watch){ .role = WATCH_UEVENT });
	agent.listener = transport_listen_vsock();
	try_port();
	if (getpid() == 1)
		events_phase("ready", "direct");
}

_Noreturn void serve(const char *socket_path)
{
	struct watch_event events[EVENTS_PER_WAIT];
	agent.link.fd = agent.listener = agent.devices = -1;
	watch_init();
	streams_init();
	watch_signals();
	if (socket_path) {
		agent.listener = transport_listen_unix(socket_path);
		if (agent.listener < 0)
			die("Cannot listen on \"%s\"", socket_path);
	} else {
		serve_machine();
	}
	if (agent.listener >= 0)
		watch_add(agent.listener, EPOLLIN, (struct watch){ .role = WATCH_LISTENER });
	process_reap();
	for (;;) {
		bool busy = pump();
		if (power_is_requested())
			power_off_when_requested();
		int timeout_ms = process_kill_overdue();
		int count = watch_wait(events, EVENTS_PER_WAIT, busy ? 0 : timeout_ms);
		for (int i = 0; i < count; i++)
			dispatch(&events[i]);
	}
}

pid_t serve_in_background(void)
{
	unlink(PID_PATH);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		execl(AGENT_PATH, AGENT_PATH, "serve", (char *)NULL);
		_exit(127);
	}
	for (int waited_ms = 0; pid > 0 && waited_ms < BACKGROUND_WAIT_MS; waited_ms += 10) {
		if (access(PID_PATH, F_OK) == 0)
			return pid;
		usleep(10000);
	}
	return -1;
}
