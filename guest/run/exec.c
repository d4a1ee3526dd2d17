#include "run/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/account.h"
#include "base/io.h"
#include "run/process.h"
#include "run/spawn.h"
#include "wire/fields.h"

#define PIPE_BYTES (1024 * 1024)

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* A NULL-terminated list of texts. Unlimited here: the kernel has its own limit. */
struct texts {
	char **all;
	size_t count;
	size_t size;
};

static struct texts arguments, environment, default_env;

static void put_text(struct texts *list, char *text)
{
	if (list->count + 1 >= list->size) {
		list->size = list->size ? 2 * list->size : 64;
		list->all = realloc(list->all, list->size * sizeof *list->all);
		if (!list->all)
			die("Cannot allocate memory for the command");
	}
	list->all[list->count++] = text;
	list->all[list->count] = NULL;
}

void exec_add_default_env(const uint8_t *text, size_t length)
{
	char *copy = memchr(text, '=', length) ? strndup((const char *)text, length) : NULL;
	if (copy)
		put_text(&default_env, copy);
}

void exec_clear_default_env(void)
{
	while (default_env.count > 0)
		free(default_env.all[--default_env.count]);
}

/* Adds "NAME=value" unless NAME is there already. */
static void add_env(char *text)
{
	size_t name = strcspn(text, "=");
	for (size_t i = 0; i < environment.count; i++) {
		if (strncmp(environment.all[i], text, name + 1) == 0)
			return;
	}
	put_text(&environment, text);
}

/* Collects arguments and variables; NUL-terminates each text once the next field is read. */
static bool collect_texts(struct stream *stream, uint8_t *bytes, size_t length)
{
	struct field_reader reader = { .at = bytes, .left = length };
	struct field field, previous = { .value = NULL };
	arguments.count = environment.count = 0;
	while (field_next(&reader, &field)) {
		if (previous.value)
			previous.value[previous.length] = 0;
		previous = field;
		bool is_argument = field.tag == TAG_ARGUMENT;
		if (!is_argument && field.tag != TAG_ENV)
			continue;
		if (!field_is_text(&field)) {
			stream_fail(stream, "invalid_argument", "An argument or variable holds a NUL byte");
			return false;
		}
		if (is_argument)
			put_text(&arguments, (char *)field.value);
		else if (memchr(field.value, '=', field.length))
			put_text(&environment, (char *)field.value);
	}
	if (previous.value)
		previous.value[previous.length] = 0;
	if (arguments.count == 0 || !arguments.all[0][0]) {
		stream_fail(stream, "invalid_argument", "Missing command");
		return false;
	}
	return true;
}

static void complete_env(const struct launch *launch)
{
	static char home[272], user[80], logname[80];
	static char path[] = "PATH=" DEFAULT_PATH;
	static char term[] = "TERM=xterm-256color";
	for (size_t i = 0; i < default_env.count; i++)
		add_env(default_env.all[i]);
	snprintf(home, sizeof home, "HOME=%s", launch->account.home);
	snprintf(user, sizeof user, "USER=%s", launch->account.name);
	snprintf(logname, sizeof logname, "LOGNAME=%s", launch->account.name);
	add_env(path);
	add_env(home);
	add_env(user);
	add_env(logname);
	if (launch->is_terminal)
		add_env(term);
}

static const char *code_of(int error)
{
	return error == ENOENT || error == ENOTDIR ? "not_found" : error == EACCES || error == EPERM ? "permission_denied" : "internal";
}

static void fail_launch(struct stream *stream, const struct launch *launch, const struct failure *failure)
{
	int error = failure->error;
	const char *text = error == ENOEXEC ? "exec format error" : strerror(error);
	switch (failure->stage) {
	case STAGE_CWD:
		stream_fail(stream, code_of(error), "Cannot change directory to \"%.100s\": %s", launch->cwd, text);
		break;
	case STAGE_USER:
		stream_fail(stream, code_of(error), "Cannot switch to user \"%s\": %s", launch->account.name, text);
		break;
	case STAGE_EXEC:
		/* Shells exit with 127 and 126 for these. */
		stream_fail(stream, error == ENOENT || error == ENOTDIR ? "command_not_found" : "command_not_executable",
			    "Cannot run \"%.100s\": %s", launch->arguments[0], text);
		break;
	case STAGE_SESSION:
		stream_fail(stream, code_of(error), "Cannot set up the process: %s", text);
		break;
	}
}

static void launch(struct stream *stream, struct launch *plan)
{
	struct failure failure;
	plan->arguments = arguments.all;
	plan->environment = environment.all;
	const char *slash = strrchr(arguments.all[0], '/');
	plan->is_init = slash && strcmp(slash, "/init") == 0 && geteuid() == 0;
	pid_t pid = spawn(plan, &failure);
	if (pid < 0) {
		fail_launch(stream, plan, &failure);
		return;
	}
	stream->pid = stream->host_pid = pid;
	stream->opened_due = true;
	if (!process_add(pid, stream->id)) {
		kill(-pid, SIGKILL);
		stream->pid = 0;
		stream_fail(stream, "limit_exceeded", "Too many processes are still exiting");
	}
}

static void set_size(int terminal, const struct field *field)
{
	if (field->length < 4)
		return;
	struct winsize size = { .ws_col = load16(field->value), .ws_row = load16(field->value + 2) };
	ioctl(terminal, TIOCSWINSZ, &size);
}

static bool open_terminal(struct stream *stream, struct launch *launch, const struct field *size)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0) {
		stream_fail(stream, "unavailable", "Cannot create a terminal: %s", strerror(errno));
		if (master >= 0)
			close(master);
		return false;
	}
	set_size(master, size);
	/* Two descriptors of one terminal: each direction is watched and closed separately. */
	int input = fcntl(master, F_DUPFD_CLOEXEC, 3);
	bool is_watched = stream_set_output(stream, CHANNEL_OUT, master) && input >= 0 && stream_set_input(stream, input);
	int slave = is_watched ? ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	if (slave < 0) {
		stream_fail(stream, "unavailable", "Cannot create a terminal: %s", strerror(errno));
		return false;
	}
	if (fchown(slave, launch->account.uid, (gid_t)-1) < 0 || fchmod(slave, 0620) < 0)
		say("Cannot change the owner of the terminal");
	for (int channel = 0; channel < CHANNELS; channel++)
		launch->fds[channel] = slave;
	stream->is_terminal = launch->is_terminal = true;
	return true;
}

/* The user must own the pipes to open /dev/stdout and its like. */
static void change_owner(int fd, const struct account *account)
{
	if (fd >= 0 && account->uid != 0 && geteuid() == 0 && fchown(fd, account->uid, (gid_t)-1) < 0)
		say("Cannot change the owner of the command's pipes");
}

/* Larger pipes mean fewer context switches. Best effort: the guest may limit them. */
static void enlarge(int fd)
{
	fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
}

static bool open_pipes(struct stream *stream, struct launch *launch, bool wants_input)
{
	int pair[2];
	if (!wants_input) {
		launch->fds[CHANNEL_IN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	} else if (pipe2(pair, O_CLOEXEC) == 0) {
		launch->fds[CHANNEL_IN] = pair[0];
		enlarge(pair[0]);
		stream_set_input(stream, pair[1]);
	}
	for (enum channel channel = CHANNEL_OUT; channel < CHANNELS; channel++) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			break;
		launch->fds[channel] = pair[1];
		enlarge(pair[1]);
		stream_set_output(stream, channel, pair[0]);
	}
	for (int channel = wants_input ? CHANNEL_IN : CHANNEL_OUT; channel < CHANNELS; channel++)
		change_owner(launch->fds[channel], &launch->account);
	if (launch->fds[CHANNEL_IN] >= 0 && launch->fds[CHANNEL_OUT] >= 0 && launch->fds[CHANNEL_ERR] >= 0)
		return true;
	stream_fail(stream, "unavailable", "Cannot create pipes: %s", strerror(errno));
	return false;
}

void exec_start(struct stream *stream, uint8_t *bytes, size_t length)
{
	char user[256] = "", cwd[4096] = "/";
	struct field terminal;
	struct launch plan = { .cwd = cwd, .fds = { -1, -1, -1 } };
	plan.makes_cwd = field_number_of(bytes, length, TAG_MAKE_CWD, 0) != 0;
	bool wants_terminal = field_find(bytes, length, TAG_TERMINAL, &terminal);
	bool wants_input = field_number_of(bytes, length, TAG_STDIN, 0) != 0;
	struct field given;
	if ((!field_text_of(bytes, length, TAG_USER, user, sizeof user) && field_find(bytes, length, TAG_USER, &given)) ||
	    (!field_text_of(bytes, length, TAG_CWD, cwd, sizeof cwd) && field_find(bytes, length, TAG_CWD, &given))) {
		stream_fail(stream, "invalid_argument", "The user name or working directory is too long");
		return;
	}
	if (!account_find(user, &plan.account)) {
		stream_fail(stream, "not_found", "No such user or group: \"%.100s\"", user);
		return;
	}
	if (strcmp(cwd, "~") == 0)
		plan.cwd = plan.account.home;
	if (wants_terminal ? !open_terminal(stream, &plan, &terminal) : !open_pipes(stream, &plan, wants_input))
		goto done;
	if (!collect_texts(stream, bytes, length))
		goto done;
	complete_env(&plan);
	launch(stream, &plan);
done:
	for (int channel = 0; channel < CHANNELS; channel++) {
		if (plan.fds[channel] >= 0 && (channel == 0 || plan.fds[channel] != plan.fds[0]))
			close(plan.fds[channel]);
	}
}

void exec_control(struct stream *stream, const uint8_t *bytes, size_t length)
{
	struct field size;
	if (stream->is_terminal && stream->in_fd >= 0 && field_find(bytes, length, TAG_TERMINAL, &size))
		set_size(stream->in_fd, &size);
	uint64_t number = field_number_of(bytes, length, TAG_SIGNAL, 0);
	if (number == 0 || number > HIGHEST_SIGNAL || stream->pid <= 0)
		return;
	/* A terminal's foreground job may be in a process group of its own. */
	pid_t front = 0;
	if (stream->is_terminal && stream->in_fd >= 0 && ioctl(stream->in_fd, TIOCGPGRP, &front) == 0 && front > 0 && front != stream->pid)
		kill(-front, (int)number);
	kill(-stream->pid, (int)number);
}
