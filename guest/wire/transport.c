#include "wire/transport.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/io.h"
#include "wire/protocol.h"

#define PORTS_DIRECTORY "/sys/class/virtio-ports"

int transport_open(const char *wanted)
{
	char path[512], name[64];
	int fd = -1;
	DIR *directory = opendir(PORTS_DIRECTORY);
	struct dirent *entry;
	while (directory && fd < 0 && (entry = readdir(directory))) {
		format_path(path, sizeof path, PORTS_DIRECTORY "/%s/name", entry->d_name);
		if (entry->d_name[0] == '.' || read_file(path, name, sizeof name) <= 0)
			continue;
		name[strcspn(name, "\n")] = 0;
		if (strcmp(name, wanted) != 0)
			continue;
		format_path(path, sizeof path, "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (directory)
		closedir(directory);
	return fd;
}

int transport_vsock(int flags)
{
	return access("/dev/vsock", F_OK) == 0 ? socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | flags, 0) : -1;
}

int transport_listen_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = VSOCK_PORT, .svm_cid = VMADDR_CID_ANY };
	int fd = transport_vsock(SOCK_NONBLOCK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool transport_is_host(const struct sockaddr_storage *peer)
{
	return peer->ss_family != AF_VSOCK || ((const struct sockaddr_vm *)peer)->svm_cid == VMADDR_CID_HOST;
}

int transport_accept(int listener)
{
	for (;;) {
		struct sockaddr_storage peer = { 0 };
		socklen_t size = sizeof peer;
		int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 || transport_is_host(&peer))
			return fd;
		close(fd);
	}
}

int transport_listen_unix(const char *path)
{
	struct sockaddr_un address;
	if (!address_of_path(path, &address))
		return -1;
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0)
		return fd;
	return -1;
}
