#include "wire/goodbye.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "wire/protocol.h"
#include "wire/transport.h"

/* A host that does not answer must not delay the power-off. */
#define ANSWER_MS 1000
#define CONNECT_MS 1000

static int host = -1;

static int connect_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = VSOCK_GOODBYE_PORT, .svm_cid = VMADDR_CID_HOST };
	struct timeval limit = { .tv_sec = CONNECT_MS / 1000, .tv_usec = CONNECT_MS % 1000 * 1000 };
	int fd = transport_vsock(0);
	if (fd < 0)
		return -1;
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

void goodbye_prepare(void)
{
	if (host < 0)
		host = transport_open(GOODBYE_PORT_NAME);
	if (host < 0)
		host = connect_vsock();
}

void goodbye_send(const char *how)
{
	char line[16];
	int length = snprintf(line, sizeof line, "%s\n", how);
	if (host < 0 || write(host, line, (size_t)length) != length)
		return;
	/* Without the wait the reset could overtake the line. */
	struct pollfd answer = { .fd = host, .events = POLLIN };
	poll(&answer, 1, ANSWER_MS);
}
