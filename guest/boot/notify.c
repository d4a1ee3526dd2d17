#include "boot/notify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "wire/event.h"

#define MAX_LINE_BYTES 1024
#define MAX_LOG_TAIL_BYTES 6000

static int pass_lines(void)
{
	char line[MAX_LINE_BYTES];
	int log = open(INSTALL_LOG_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	while (fgets(line, sizeof line, stdin)) {
		size_t length = strlen(line);
		write_all(STDOUT_FILENO, line, length);
		if (log >= 0)
			write_all(log, line, length);
		line[strcspn(line, "\r\n")] = 0;
		events_notify(NULL, line);
	}
	return 0;
}

/* Appends the tail of a file to a text. */
static void append_tail(char *text, size_t size, const char *path)
{
	size_t used = strlen(text);
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &info) == 0 && info.st_size > MAX_LOG_TAIL_BYTES)
		lseek(fd, -MAX_LOG_TAIL_BYTES, SEEK_END);
	text[used++] = '\n';
	ssize_t count = read(fd, text + used, size - used - 1);
	text[used + (count > 0 ? (size_t)count : 0)] = 0;
	close(fd);
}

int notify_run(int count, char **arguments)
{
	static char text[MAX_EVENT_TEXT_BYTES];
	const char *log = NULL;
	if (count == 1 && strcmp(arguments[0], "--lines") == 0)
		return pass_lines();
	if (count >= 2 && strcmp(arguments[0], "--log") == 0) {
		log = arguments[1];
		arguments += 2;
		count -= 2;
	}
	if (count < 1 || count > 2)
		return 2;
	snprintf(text, MAX_EVENT_TEXT_BYTES / 4, "%s", count == 2 ? arguments[1] : "");
	if (log)
		append_tail(text, sizeof text, log);
	events_notify(arguments[0], text);
	return 0;
}
