/* Sends a line to a unix socket and prints the answer, as a client of an ssh agent would. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char answer[256];
	if (count != 3)
		return 2;
	strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return 1;
	if (write(fd, arguments[2], strlen(arguments[2])) < 0)
		return 1;
	for (ssize_t length; (length = read(fd, answer, sizeof answer)) > 0;) {
		if (write(STDOUT_FILENO, answer, (size_t)length) < 0)
			return 1;
	}
	return 0;
}
