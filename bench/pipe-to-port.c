/*
 * pipe-to-port PORT COMMAND...: the output of a command, by a pipe and a virtio-serial port, to the host, by
 * a program that has nothing else to do and copies nothing. What any agent could reach at the most.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define PIPE_BYTES (1024 * 1024)

int main(int count, char **arguments)
{
	int pair[2], port = count > 2 ? open(arguments[1], O_WRONLY) : -1;
	if (port < 0 || pipe(pair) < 0 || fcntl(pair[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		return 1;
	if (fork() == 0) {
		dup2(pair[1], STDOUT_FILENO);
		close(pair[0]);
		close(pair[1]);
		execvp(arguments[2], arguments + 2);
		_exit(127);
	}
	close(pair[1]);
	/* The port answers 0 where the pipe is empty, so that its end is not seen by splicing. */
	for (struct pollfd input = { .fd = pair[0], .events = POLLIN }; poll(&input, 1, -1) > 0 && input.revents & POLLIN;) {
		if (splice(pair[0], NULL, port, NULL, PIPE_BYTES, SPLICE_F_MOVE) < 0) {
			perror("splice");
			return 1;
		}
	}
	return 0;
}
