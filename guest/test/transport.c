#include "wire/transport.h"

#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

static bool is_host(unsigned cid)
{
	struct sockaddr_storage peer = { 0 };
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = 5000 };
	memcpy(&peer, &address, sizeof address);
	return transport_is_host(&peer);
}

void test_transport(void)
{
	const char *path = "/tmp/banger-test-port.sock";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = transport_listen_unix(path);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(is_host(VMADDR_CID_HOST));
	CHECK(!is_host(VMADDR_CID_LOCAL));
	CHECK(!is_host(3));
	CHECK(!is_host(VMADDR_CID_ANY));
	strcpy(address.sun_path, path);
	CHECK(listener >= 0 && transport_accept(listener) == -1);
	CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
	int fd = transport_accept(listener);
	CHECK(fd >= 0);
	close(fd);
	close(client);
	close(listener);
	unlink(path);
}
